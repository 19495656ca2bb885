public import Consensus

/// What is known of the local Postgres, taken at one moment by the poller or at the end of an order.
///
/// Everything that decides, answers a check or prints a metric reads this one report.
public struct PostgresReport: Hashable, Codable, Sendable {
    public enum State: String, Hashable, Codable, Sendable {
        /// No data directory, or an empty one.
        case absent
        case stopped
        /// The postmaster runs but takes no sessions yet.
        case starting
        case standby
        case primary
        /// The postmaster runs and does not answer within the poller's limit.
        case unresponsive
    }

    public enum Gate: String, Hashable, Codable, Sendable {
        /// The walreceiver may connect upstream.
        case open
        /// It can't, and none runs: nothing new is received or acknowledged.
        case closed
    }

    public var state: State
    public var takenAt: Instant
    public var systemIdentifier: UInt64?
    /// Set when the data directory can't be used: another major version, another owner, torn files.
    public var unusable: String?
    /// A rewind of the data directory was interrupted: it must not be started, only replaced.
    public var isTorn = false
    /// The attempt marker of an unfinished founding found in the data directory.
    public var foundingMarker: Term?
    public var gate: Gate
    /// Where the local log ends, valid only while it can't grow: no walreceiver, local WAL exhausted; or,
    /// stopped cleanly, the end of the shutdown checkpoint. Nil when not known for sure (protocol: Freeze).
    public var settled: Position?
    /// Primary: the flush position. Standby: the greater of received and replayed.
    public var position: Position?
    public var replayed: LSN?
    /// Standby with its gate closed: a session is in the way of replay, so where the log ends stays unknown.
    public var isReplayHeldUp = false
    /// Standby: whether a walreceiver is streaming, and as whom.
    public var streaming: Bool
    public var streamingFrom: String?
    public var streamingName: String?
    /// Primary: what each standby, by application name, has flushed.
    public var standbys: [StandbyProgress]
    /// Primary: the last checkpoint was written on this timeline (rewinds may start from here).
    public var checkpointTimeline: Timeline?
    public var version: String?
    /// Why this node could not be promoted as it stands; nil when it could.
    public var unpromotable: String?
    /// The reason is that settings are lower than the log asks of a standby: replay stands still, and a
    /// promotion would end Postgres. A start of a standby takes what the log asks for.
    public var isBelowRequirements = false
    /// Settings that come into force with a restart only; empty when none wait for one.
    public var pendingRestart: [String] = []

    public init(state: State, takenAt: Instant) {
        self.state = state
        self.takenAt = takenAt
        gate = .closed
        streaming = false
        standbys = []
    }

    public var isRunning: Bool { state != .absent && state != .stopped }
}

public struct StandbyProgress: Hashable, Codable, Sendable {
    public var name: String
    public var state: String
    public var flushed: LSN?
    public var replayed: LSN?
    public var lagSeconds: Double?

    public init(name: String, state: String, flushed: LSN?, replayed: LSN?, lagSeconds: Double?) {
        self.name = name
        self.state = state
        self.flushed = flushed
        self.replayed = replayed
        self.lagSeconds = lagSeconds
    }
}

/// The guard's own word about Postgres (protocol: The guard).
public struct GuardReport: Hashable, Codable, Sendable {
    /// Armed for this epoch; nil when not. Armed lasts while Postgres is down but not disarmed.
    public var epoch: Term?
    public var deadline: Instant
    public var highestDisarmed: Term
    /// False is proof of death: no process of this Postgres is left.
    public var isPostgresAlive: Bool
    /// When Postgres ended without the agent asking for it: how, for people.
    public var lastExit: String?

    public init(
        epoch: Term?, deadline: Instant, highestDisarmed: Term, isPostgresAlive: Bool,
        lastExit: String? = nil
    ) {
        self.epoch = epoch
        self.deadline = deadline
        self.highestDisarmed = highestDisarmed
        self.isPostgresAlive = isPostgresAlive
        self.lastExit = lastExit
    }

    /// Whether Postgres may be writing now, as far as the guard lets it.
    public func mayWrite(at now: Instant) -> Bool { isPostgresAlive && epoch != nil && now < deadline }
}

/// How much this member's data can be trusted; written before the first destructive byte (protocol:
/// Rejoining).
public enum DataState: String, Hashable, Codable, Sendable {
    case none, cloning, rewinding
    /// Copied, but not yet proven to hold all that the primary had when the copy ended.
    case joining
    case valid
}

/// What this member was about to do to its Postgres, for after a crash.
public enum Intent: Hashable, Codable, Sendable {
    case standby
    case founding(attempt: Term)
    case promoting(epoch: Term, timeline: Timeline)
    case primary(epoch: Term)
}

/// The member's durable record about its own data.
public struct DataRecord: Hashable, Codable, Sendable {
    public var state: DataState = .none
    public var frozenTerm: Term = 0
    public var intent: Intent = .standby
    /// While the data is given up or taken back: what of it is not part of the history.
    public var divergence: Divergence?
    /// How many of the copies that operators asked this instance for were begun; nil is none.
    public var copiesBegun: Int?
    /// It was promoted or started by hand: what its log says, under whatever timeline, is nobody's history.
    public var isStray: Bool?

    public init() {}
}

/// Everything that a member finds again after a crash; one write covers all of it.
public struct DurableState: Hashable, Codable, Sendable {
    public var formatVersion = 1
    public var instance: Instance
    public var member: MemberID
    public var hard = HardState<ClusterDocument>()
    public var data = DataRecord()
    /// The one founding proposal that this member agreed to (protocol: Bootstrap).
    public var grant: FoundingProposal?
    /// Counts the states that were written.
    public var sequence: UInt64 = 0
    /// How far each peer was seen to get; written along with whatever is written anyway.
    public var witnesses: [Witnessed] = []
    /// Set in a state that took the place of one given up: where this node belongs. It founds nothing.
    public var origin: Belonging?

    public init(instance: Instance, member: MemberID) {
        self.instance = instance
        self.member = member
    }
}

/// What a member without memory still knows: which cluster it belongs to, and where to ask to be let in.
public struct Belonging: Hashable, Codable, Sendable {
    public var cluster: String
    public var peers: [PeerAddress]

    public init(cluster: String, peers: [PeerAddress]) {
        self.cluster = cluster
        self.peers = peers
    }
}

/// The lowest-named founder's proposal: exactly these founders, this cluster, or nothing.
public struct FoundingProposal: Hashable, Codable, Sendable {
    public var document: ClusterDocument
    public var proposer: MemberID

    public init(document: ClusterDocument, proposer: MemberID) {
        self.document = document
        self.proposer = proposer
    }

    public var founders: [MemberID] { document.members.map(\.id) }
}
