public import Consensus

/// One thing to do to the local Postgres, whole and without judgement: deciding is done before it is given.
///
/// An order either succeeds or fails with a reason; giving the same one twice is harmless. Its plan lies
/// apart, so that the steps that only ask which order is running copy none.
public indirect enum PostgresOrder: Hashable, Codable, Sendable {
    /// Make the cluster's first database (initdb with checksums) and leave the marker of the attempt in it.
    case initialize(attempt: Term, Credentials)
    /// Start as a standby that receives nothing: gate closed, standby.signal, placeholder synchronous name,
    /// history files newer than the followed lineage removed. Ends when the postmaster is started.
    case startStandby(ManagedConfiguration)
    /// Start as primary. The guard must be armed.
    case startPrimary(ManagedConfiguration)
    /// Fast stop through the guard, which kills at the bound. Ends with proof of death.
    case stop(bound: Duration)
    /// Close the gate, end the walreceiver, and wait until the position is settled.
    case freeze
    /// Open the gate towards this upstream (also from another one, without a restart).
    case follow(Upstream)
    /// Promote on exactly this timeline. The guard must be armed, the gate closed.
    case promote(PromotionPlan)
    /// Replace the data directory by a copy of the source's; the old one is kept beside it until this one is
    /// valid.
    case clone(ClonePlan)
    /// Take a directory that left the history back onto it, copying only what differs from the source.
    /// Postgres must be stopped. Fails with nothing changed, or is impossible: then the data is of no use.
    case rewind(RewindPlan)
    /// Bring roles, slots, pg_hba and settings of a running Postgres in line.
    case configure(ManagedConfiguration)
    /// Move the slots kept for siblings on, and make those again that lost their WAL.
    case tendSlots([SlotGoal])
    case checkpoint
    /// Look again now (the data directory when stopped).
    case examine

    /// Orders of the background lane may run beside one of the foreground lane.
    public var isBackground: Bool {
        switch self {
        case .configure, .tendSlots, .checkpoint: true
        case .initialize, .startStandby, .startPrimary, .stop, .freeze, .follow, .promote, .clone, .rewind,
            .examine:
            false
        }
    }
}

/// Where a standby streams from.
public struct Upstream: Hashable, Codable, Sendable {
    public var member: MemberID
    public var address: String
    public var port: Int
    /// The walreceiver's application_name (`Member.synchronousName` or `.joiningName`).
    public var applicationName: String
    public var slot: String
    public var role: String
    public var password: String
    /// The newest timeline of the history being followed: history files past it are removed first.
    public var timeline: Timeline

    public init(
        member: MemberID, address: String, port: Int, applicationName: String, slot: String, role: String,
        password: String, timeline: Timeline
    ) {
        self.member = member
        self.address = address
        self.port = port
        self.applicationName = applicationName
        self.slot = slot
        self.role = role
        self.password = password
        self.timeline = timeline
    }
}

public struct PromotionPlan: Hashable, Codable, Sendable {
    public var timeline: Timeline
    /// Numbers below it that must not be used: a placeholder history file is written for each.
    public var skip: [Timeline]

    public init(timeline: Timeline, skip: [Timeline]) {
        self.timeline = timeline
        self.skip = skip
    }
}

public struct ClonePlan: Hashable, Codable, Sendable {
    /// Whose data it becomes, and whose it was.
    public var member: MemberID
    public var source: Upstream
    public var systemIdentifier: UInt64
    public var configuration: ManagedConfiguration
    /// What the directory that is replaced holds past the history, to be kept; nil when nothing.
    public var divergence: Divergence?

    public init(
        member: MemberID, source: Upstream, systemIdentifier: UInt64, configuration: ManagedConfiguration,
        divergence: Divergence? = nil
    ) {
        self.member = member
        self.source = source
        self.systemIdentifier = systemIdentifier
        self.configuration = configuration
        self.divergence = divergence
    }
}

public struct RewindPlan: Hashable, Codable, Sendable {
    /// Whose data it is.
    public var member: MemberID
    /// The primary; its last checkpoint must be on `source.timeline`.
    public var source: Upstream
    /// Where WAL from before the fork may be had that is gone here and there.
    public var siblings: [Upstream]
    public var systemIdentifier: UInt64
    /// By the document: what Postgres's own programs make of it must agree.
    public var divergence: Divergence

    public init(
        member: MemberID, source: Upstream, siblings: [Upstream], systemIdentifier: UInt64,
        divergence: Divergence
    ) {
        self.member = member
        self.source = source
        self.siblings = siblings
        self.systemIdentifier = systemIdentifier
        self.divergence = divergence
    }
}

/// What the agent manages in Postgres, derived from the committed document.
public struct ManagedConfiguration: Hashable, Codable, Sendable {
    public enum SynchronousStandbys: Hashable, Codable, Sendable {
        /// Acknowledge without a standby.
        case none
        /// A name that nobody bears: a rogue promotion can acknowledge nothing.
        case placeholder
    }

    public var synchronousStandbys: SynchronousStandbys
    /// Addresses from which replication is let in: the members'.
    public var memberAddresses: [String]
    /// Physical slots to keep; others of ours are dropped.
    public var slots: [String]
    public var credentials: Credentials
    public var lease: Duration
    public var isPrimary: Bool
    /// The newest timeline that a start may follow; nil while unknown.
    public var timeline: Timeline?
    /// All that the history goes through, and so the only ones that a start may follow; nil while unknown.
    public var history: [Timeline]?
    /// The data was a standby's when it was last left: without its standby.signal somebody else had it since,
    /// and a start is impossible.
    public var isKnownStandby = false

    public init(
        synchronousStandbys: SynchronousStandbys, memberAddresses: [String], slots: [String],
        credentials: Credentials, lease: Duration, isPrimary: Bool, timeline: Timeline?,
        history: [Timeline]? = nil
    ) {
        self.synchronousStandbys = synchronousStandbys
        self.memberAddresses = memberAddresses
        self.slots = slots
        self.credentials = credentials
        self.lease = lease
        self.isPrimary = isPrimary
        self.timeline = timeline
        self.history = history
    }
}

/// How an order ended; every ending brings a fresh report.
public struct PostgresOutcome: Hashable, Codable, Sendable {
    public enum Result: Hashable, Codable, Sendable {
        case done
        case promoted(timeline: Timeline, switchLSN: LSN)
        case failed(String)
        /// It can't be done, now or later: another way must be taken.
        case impossible(String)

        /// Why it did not succeed; nil when it did.
        public var trouble: String? {
            switch self {
            case .done, .promoted: nil
            case .failed(let reason), .impossible(let reason): reason
            }
        }
    }

    public var result: Result
    public var report: PostgresReport

    public init(result: Result, report: PostgresReport) {
        self.result = result
        self.report = report
    }
}
