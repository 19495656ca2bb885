public import Consensus

/// The replicated truth about the cluster: everything that every member must agree on (protocol: The
/// document).
///
/// Actions on Postgres derive from a *committed* document only. It is asked at every step and rides in most
/// values, so copies share one content until one of them is changed.
public struct ClusterDocument: RegisterDocument {
    private struct Content: Hashable, Codable, Sendable {
        var clusterID: String
        var clusterName: String
        var generation: Int
        var systemIdentifier: UInt64?
        var founding: Founding?
        var members: [Member]
        var removed: [RemovedMember]
        var voters: Voters
        var primaryRegion: String
        var leaseMilliseconds: Int64
        var durability: Durability
        var maximumLagOnFailover: UInt64
        var primary: PrimaryRecord?
        var lineages: [Lineage]
        var maximumTimeline: Timeline
        var switchover: SwitchoverIntent?
        var loan: VoteLoan?
        var pause: Pause?
        var credentials: Credentials
    }

    /// Always one: an array's copies share it, and comparing two of them looks for that first.
    private var cell: [Content]

    public var clusterID: String {
        get { cell[0].clusterID }
        set { cell[0].clusterID = newValue }
    }
    public var clusterName: String {
        get { cell[0].clusterName }
        set { cell[0].clusterName = newValue }
    }
    /// Counts the times that an operator forced a new quorum.
    public var generation: Int {
        get { cell[0].generation }
        set { cell[0].generation = newValue }
    }
    /// Of the database; nil until the founding primary has made it.
    public var systemIdentifier: UInt64? {
        get { cell[0].systemIdentifier }
        set { cell[0].systemIdentifier = newValue }
    }
    public var founding: Founding? {
        get { cell[0].founding }
        set { cell[0].founding = newValue }
    }
    /// Sorted by id.
    public var members: [Member] {
        get { cell[0].members }
        set { cell[0].members = newValue }
    }
    /// Who was removed, so that it is told when it comes back; the newest last.
    public internal(set) var removed: [RemovedMember] {
        get { cell[0].removed }
        set { cell[0].removed = newValue }
    }
    public var voters: Voters {
        get { cell[0].voters }
        set { cell[0].voters = newValue }
    }
    public var primaryRegion: String {
        get { cell[0].primaryRegion }
        set { cell[0].primaryRegion = newValue }
    }
    public var leaseMilliseconds: Int64 {
        get { cell[0].leaseMilliseconds }
        set { cell[0].leaseMilliseconds = newValue }
    }
    public var durability: Durability {
        get { cell[0].durability }
        set { cell[0].durability = newValue }
    }
    public var maximumLagOnFailover: UInt64 {
        get { cell[0].maximumLagOnFailover }
        set { cell[0].maximumLagOnFailover = newValue }
    }
    public var primary: PrimaryRecord? {
        get { cell[0].primary }
        set { cell[0].primary = newValue }
    }
    /// Oldest first; at least the newest 64.
    public var lineages: [Lineage] {
        get { cell[0].lineages }
        set { cell[0].lineages = newValue }
    }
    public var maximumTimeline: Timeline {
        get { cell[0].maximumTimeline }
        set { cell[0].maximumTimeline = newValue }
    }
    public var switchover: SwitchoverIntent? {
        get { cell[0].switchover }
        set { cell[0].switchover = newValue }
    }
    /// A vote that was given for a switchover, until it is kept for good or given back.
    public var loan: VoteLoan? {
        get { cell[0].loan }
        set { cell[0].loan = newValue }
    }
    public var pause: Pause? {
        get { cell[0].pause }
        set { cell[0].pause = newValue }
    }
    public var credentials: Credentials {
        get { cell[0].credentials }
        set { cell[0].credentials = newValue }
    }

    public var lease: Duration { .milliseconds(leaseMilliseconds) }
    public var recipients: [MemberID] { members.map(\.id) }
    public var primaryMember: MemberID? { primary?.member }
    public func instance(of member: MemberID) -> Instance? { self.member(member)?.instance }
    public func member(_ id: MemberID) -> Member? { cell[0].members.first { $0.id == id } }

    public init(
        clusterID: String, clusterName: String, members: [Member], voters: Voters, primaryRegion: String,
        lease: Duration, maximumLagOnFailover: UInt64, credentials: Credentials
    ) {
        cell = [
            Content(
                clusterID: clusterID, clusterName: clusterName, generation: 1,
                members: members.sorted { $0.id < $1.id }, removed: [], voters: voters,
                primaryRegion: primaryRegion, leaseMilliseconds: lease.milliseconds,
                durability: Durability(mode: .off, current: .init(members: [], acknowledgements: 0)),
                maximumLagOnFailover: maximumLagOnFailover, lineages: [], maximumTimeline: 0,
                credentials: credentials)
        ]
    }

    public init(from decoder: any Decoder) throws { cell = [try Content(from: decoder)] }
    public func encode(to encoder: any Encoder) throws { try cell[0].encode(to: encoder) }
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

/// The target of a switchover had no vote and got one for it: who voted before, in case it does not take over
/// (protocol: Switchover to a member without a vote).
public struct VoteLoan: Hashable, Codable, Sendable {
    public var target: MemberID
    public var before: [MemberID]

    public init(target: MemberID, before: [MemberID]) {
        self.target = target
        self.before = before
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
