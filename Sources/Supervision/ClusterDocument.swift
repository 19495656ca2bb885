public import Consensus

/// The replicated truth about the cluster: everything that every member must agree on (protocol: The
/// document).
///
/// Actions on Postgres derive from a *committed* document only.
public struct ClusterDocument: RegisterDocument {
    public var clusterID: String
    public var clusterName: String
    /// Counts the times that an operator forced a new quorum.
    public var generation: Int
    /// Of the database; nil until the founding primary has made it.
    public var systemIdentifier: UInt64?
    public var founding: Founding?
    /// Sorted by id.
    public var members: [Member]
    /// Who was removed, so that it is told when it comes back; the newest last.
    public internal(set) var removed: [RemovedMember] = []
    public var voters: Voters
    public var primaryRegion: String
    public var leaseMilliseconds: Int64
    public var durability: Durability
    public var maximumLagOnFailover: UInt64
    public var primary: PrimaryRecord?
    /// Oldest first; at least the newest 64.
    public var lineages: [Lineage]
    public var maximumTimeline: Timeline
    public var switchover: SwitchoverIntent?
    public var pause: Pause?
    public var credentials: Credentials

    public var lease: Duration { .milliseconds(leaseMilliseconds) }
    public var recipients: [MemberID] { members.map(\.id) }
    public var primaryMember: MemberID? { primary?.member }
    public func instance(of member: MemberID) -> Instance? { self.member(member)?.instance }
    public func member(_ id: MemberID) -> Member? { members.first { $0.id == id } }

    public init(
        clusterID: String, clusterName: String, members: [Member], voters: Voters, primaryRegion: String,
        lease: Duration, maximumLagOnFailover: UInt64, credentials: Credentials
    ) {
        self.clusterID = clusterID
        self.clusterName = clusterName
        generation = 1
        self.members = members.sorted { $0.id < $1.id }
        self.voters = voters
        self.primaryRegion = primaryRegion
        leaseMilliseconds = lease.milliseconds
        durability = Durability(mode: .off, current: .init(members: [], acknowledgements: 0))
        self.maximumLagOnFailover = maximumLagOnFailover
        lineages = []
        maximumTimeline = 0
        self.credentials = credentials
    }
}

/// The making of the first database: one attempt by one member, so that a second attempt can tell leftovers.
public struct Founding: Hashable, Codable, Sendable {
    public var attempt: Term
    public var member: MemberID

    public init(attempt: Term, member: MemberID) {
        self.attempt = attempt
        self.member = member
    }
}

/// Who holds the primary role, or held it last.
public struct PrimaryRecord: Hashable, Codable, Sendable {
    public var member: MemberID
    /// The term of the leadership that it writes under.
    public var epoch: Term
    /// The timeline of its lineage in the document.
    public var timeline: Timeline

    public init(member: MemberID, epoch: Term, timeline: Timeline) {
        self.member = member
        self.epoch = epoch
        self.timeline = timeline
    }
}

/// A wish for a planned hand-over, committed before its first step so that everyone can say what is going on.
public struct SwitchoverIntent: Hashable, Codable, Sendable {
    public var target: MemberID
    public var from: MemberID
    /// The term in which it was begun; of no meaning in later ones.
    public var term: Term
    /// Who asked: `command`, `signal`, `stop`.
    public var reason: String

    public init(target: MemberID, from: MemberID, term: Term, reason: String) {
        self.target = target
        self.from = from
        self.term = term
        self.reason = reason
    }
}

/// Which members' copies an acknowledged commit counts on. Only mode `off` is acted on until quorum
/// durability is built; the pair has its place so that documents need not change form then.
public struct Durability: Hashable, Codable, Sendable {
    public enum Mode: String, Hashable, Codable, Sendable {
        case off, quorum
        case quorumStrict = "quorum_strict"
    }

    public struct Rule: Hashable, Codable, Sendable {
        public var members: [MemberID]
        public var acknowledgements: Int

        public init(members: [MemberID], acknowledgements: Int) {
            self.members = members
            self.acknowledgements = acknowledgements
        }
    }

    public var mode: Mode
    public var current: Rule
    public var next: Rule?

    public init(mode: Mode, current: Rule, next: Rule? = nil) {
        self.mode = mode
        self.current = current
        self.next = next
    }
}
