public import Consensus

/// Everything that one agent says to another in one frame.
public struct Envelope: Hashable, Codable, Sendable {
    /// What is seldom said lies apart, so that what is said all the time is cheap to pass on.
    public enum Body: Hashable, Codable, Sendable {
        case consensus(Message<ClusterDocument>)
        /// The leader of `term` asks for a frozen position; asked again until answered.
        case freeze(term: Term)
        indirect case frozen(FreezeAnswer)
        /// A node that is not (or no longer) a member asks the leader in.
        indirect case join(JoinRequest)
        indirect case joinAnswer(JoinAnswer)
        /// Founders looking for each other before there is a cluster.
        indirect case founder(FounderHello)
        case foundingProposal(FoundingProposal)
        case foundingGrant(cluster: String)
        /// How the sender is, said at once when that changes instead of with the next answer.
        case news
        /// A person's wish, forwarded to the leader, and what became of it.
        indirect case command(id: UInt64, Command)
        indirect case commandAnswer(id: UInt64, CommandAnswer)
        /// What agents ask of each other beside deciding (events); the node never sees these.
        case question(id: UInt64, String)
        /// To a start of an agent that works with an older state than it once had (protocol: Rolled back).
        case rolledBack(RollbackVerdict)
        case reply(id: UInt64, String)
    }

    /// Nil before the sender belongs to a cluster.
    public var cluster: String?
    public var body: Body
    /// Rides on appends and timeoutNow: the primary's beacon.
    public var beacon: Beacon?
    /// Rides on append answers: how the sender is.
    public var report: MemberReport?
    /// Rides on appends: what the leader last heard of everyone, so that any node can answer for all.
    public var roster: [RosterLine]?
    /// How far the sender's state has got; put on by whoever sends.
    public var life: Life?

    public init(cluster: String?, body: Body) {
        self.cluster = cluster
        self.body = body
    }
}

/// The leader's word about the primary; proxies and standbys act on fresh ones only.
public struct Beacon: Hashable, Codable, Sendable {
    public var term: Term
    /// Set while the leader's own Postgres is the open primary of this epoch.
    public var primary: PrimaryRecord?
    public var position: Position?
    /// Clients may come in: the guard is armed and nothing bars writes.
    public var opened: Bool
    /// Writes were seen to come to an end (for `status` only).
    public var writable: Bool
    /// The timeline of the primary's last checkpoint: rewinds start from one on its own.
    public var checkpointTimeline: Timeline?
    /// Who may copy the primary now; nil from an agent that does not share turns out.
    public var copiers: [MemberID]?
    /// With timeoutNow after a clean stop: where the old primary's log ends, for good.
    public var final: Position?
    /// How old this word was when sent (a leader repeats what it knows of itself only): always fresh on
    /// sending.
    public var sequence: UInt64

    public init(term: Term, sequence: UInt64) {
        self.term = term
        self.sequence = sequence
        opened = false
        writable = false
    }
}

/// How a member is, as it says itself.
public struct MemberReport: Hashable, Codable, Sendable {
    public var dataState: DataState
    public var state: MemberState
    public var role: MemberRole
    public var position: Position?
    public var replayed: LSN?
    public var streaming: Bool
    public var frozenTerm: Term
    public var systemIdentifier: UInt64?
    public var version: String?
    public var agentVersion: String
    public var checksPassing: Int
    /// How far its replay is behind in time, as the primary measures it; filled in by the leader.
    public var lagSeconds: Double?
    /// Why this member could not lead now; nil when it could.
    public var unfit: String?
    /// What stands in its way, for people; nil when nothing does.
    public var reason: String?
    /// A copy of the primary is being made.
    public var copying: Bool?
    /// Settings that come into force with a restart only; nil when none wait for one.
    public var pendingRestart: [String]?

    public init(
        dataState: DataState, state: MemberState, role: MemberRole, streaming: Bool, frozenTerm: Term,
        agentVersion: String
    ) {
        self.dataState = dataState
        self.state = state
        self.role = role
        self.streaming = streaming
        self.frozenTerm = frozenTerm
        self.agentVersion = agentVersion
        checksPassing = 0
    }
}

public enum MemberState: String, Hashable, Codable, Sendable {
    case starting, cloning, rewinding, joining, started, fenced, stopped, failed, unreachable
}

public enum MemberRole: String, Hashable, Codable, Sendable {
    case primary, replica, witness, none
}

/// What the leader knows of one member, passed on to all.
public struct RosterLine: Hashable, Codable, Sendable {
    public var member: MemberID
    public var report: MemberReport
    /// How long ago the leader had it from the member itself, when this line was sent.
    public var ageMilliseconds: Int64
    /// How far the member's state was seen to get, so that all members know who spoke to one.
    public var witnessed: Witnessed?

    public init(member: MemberID, report: MemberReport, ageMilliseconds: Int64) {
        self.member = member
        self.report = report
        self.ageMilliseconds = ageMilliseconds
    }
}

public struct FreezeAnswer: Hashable, Codable, Sendable {
    public enum Verdict: Hashable, Codable, Sendable {
        /// Nothing more will be received or acknowledged for an older primary; the log ends here.
        case frozen(Position)
        /// Frozen, but where the log ends is not known yet: ask again.
        case pending(String)
        /// Frozen, and holds no data that counts.
        case noData
        case refused(String)
    }

    public var term: Term
    public var verdict: Verdict
    public var dataState: DataState
    /// Nil when the member could be promoted as it stands.
    public var unpromotable: String?
    public var isLastPrimary: Bool
    /// The greatest position that this member ever heard a primary to have.
    public var lastPrimary: Position?

    public init(
        term: Term, verdict: Verdict, dataState: DataState, unpromotable: String?, isLastPrimary: Bool,
        lastPrimary: Position?
    ) {
        self.term = term
        self.verdict = verdict
        self.dataState = dataState
        self.unpromotable = unpromotable
        self.isLastPrimary = isLastPrimary
        self.lastPrimary = lastPrimary
    }
}

public struct JoinRequest: Hashable, Codable, Sendable {
    public var member: Member
    /// Of the data directory that the node already has; a foreign one is refused and never touched.
    public var systemIdentifier: UInt64?
    /// The major version of Postgres there; nil from a witness, and from an agent that does not say.
    public var postgresMajor: Int?

    public init(member: Member, systemIdentifier: UInt64?) {
        self.member = member
        self.systemIdentifier = systemIdentifier
    }
}

public struct JoinAnswer: Hashable, Codable, Sendable {
    /// Nil when the request is on its way into the document.
    public var refusal: String?
    /// Who leads, for whoever asked the wrong one.
    public var leaderAddress: String?
    public var leaderPeerPort: Int?

    public init(refusal: String?, leaderAddress: String?, leaderPeerPort: Int?) {
        self.refusal = refusal
        self.leaderAddress = leaderAddress
        self.leaderPeerPort = leaderPeerPort
    }
}

public struct FounderHello: Hashable, Codable, Sendable {
    public var member: Member
    public var expected: Int
    /// A node that already has data or another cluster's state founds nothing.
    public var isBlank: Bool

    public init(member: Member, expected: Int, isBlank: Bool) {
        self.member = member
        self.expected = expected
        self.isBlank = isBlank
    }
}
