public import Consensus

/// What happened, told to the node in the order in which it happened.
public enum NodeEvent: Sendable {
    case tick
    /// `channel` is set when the message came in on a link that the *sender* opened: answers go back on it.
    /// Without one it came back on a link that this node opened to the address on record (only those answers
    /// may be votes).
    case received(Envelope, from: Sender, channel: Channel?)
    case persisted(NodeToken)
    /// The disk refuses what was to be written, with the reason; nil once it has taken it after all.
    case stateUnwritten(String?)
    /// At each change, and as the answer to each guard effect.
    case guardReported(GuardReport)
    /// The guard is gone or does not answer.
    case guardLost
    case postgresReported(PostgresReport)
    /// When the newest write probe that passed had begun; nil when it failed.
    case writeProbed(Instant?)
    case postgresFinished(JobID, PostgresOutcome)
    /// How far a running order is, for people (`12 of 40 MB copied`).
    case postgresProgress(JobID, String)
    /// Something that a running order did and people should know later too.
    case postgresNoted(JobID, String)
    case requested(RequestID, Command)
}

/// What to do, in this order. Values only: equal runs give equal lists.
public enum NodeEffect: Hashable, Sendable {
    /// Write durably off the control thread; answer with `.persisted`. Later writes cover earlier ones.
    indirect case persist(DurableState, NodeToken)
    /// Write to tmpfs before anything after it in the list is sent.
    case storePromise(Promise)
    case send(Envelope, to: Destination)
    /// Allow a primary under this epoch until the deadline (arms, or renews when armed for it already).
    case armGuard(epoch: Term, deadline: Instant)
    /// Forbid a primary; only when Postgres is dead or in recovery.
    case disarmGuard(epoch: Term)
    /// End Postgres and every backend now.
    case killPostgres(reason: String)
    case postgres(JobID, PostgresOrder)
    /// Abandon a running order as soon as it can be (a clone whose source is gone).
    case cancelOrder(JobID)
    case route(Route)
    /// The peers to keep links to.
    case connect([PeerAddress])
    indirect case answer(RequestID, CommandAnswer)
    indirect case record(EventRecord)
    /// Postgres is stopped and the node is done.
    case exit
    /// Set the state aside and start again as a new instance, with nothing remembered but what became of the
    /// data.
    indirect case startOver(keeping: DataState, from: Belonging)
}

public typealias NodeToken = UInt64
public typealias JobID = UInt64
public typealias RequestID = UInt64
/// A link that a peer opened to us, for answers.
public typealias Channel = UInt64

public enum Destination: Hashable, Sendable {
    /// On the link that this node opened to the member's address on record.
    case member(MemberID)
    case channel(Channel)
    /// On every open link of our own (before there is a cluster).
    case everyone
}

public struct PeerAddress: Hashable, Comparable, Codable, Sendable {
    /// Nil for addresses from `peers` whose owner is not known yet.
    public var member: MemberID?
    public var host: String
    public var port: Int

    public init(member: MemberID?, host: String, port: Int) {
        self.member = member
        self.host = host
        self.port = port
    }

    public static func < (left: PeerAddress, right: PeerAddress) -> Bool {
        (left.host, left.port, left.member?.name ?? "") < (right.host, right.port, right.member?.name ?? "")
    }
}

/// Where port 5432 leads.
public enum Route: Hashable, Sendable {
    /// To the primary of this epoch while `validUntil` is ahead.
    case primary(epoch: Term, host: String, port: Int, validUntil: Instant)
    /// Keep clients waiting; cut those that are on an older primary.
    case hold(reason: String)
}

/// One line of the history that `matriarch events` shows.
public struct EventRecord: Hashable, Codable, Sendable {
    public enum Level: String, Hashable, Codable, Sendable { case info, notice, warning, alarm }

    public var at: Instant
    public var term: Term
    public var member: MemberID
    /// A fixed word per kind of event, such as `elected` or `promoted`.
    public var kind: String
    public var level: Level
    public var text: String
    /// The rule that decided, when one did.
    public var rule: String?
    /// Phases of a failover with their length.
    public var phases: [Phase]

    public struct Phase: Hashable, Codable, Sendable {
        public var name: String
        public var milliseconds: Double

        public init(name: String, milliseconds: Double) {
            self.name = name
            self.milliseconds = milliseconds
        }
    }

    public init(
        at: Instant, term: Term, member: MemberID, kind: String, level: Level, text: String,
        rule: String? = nil,
        phases: [Phase] = []
    ) {
        self.at = at
        self.term = term
        self.member = member
        self.kind = kind
        self.level = level
        self.text = text
        self.rule = rule
        self.phases = phases
    }
}

/// What a node is told about itself at start; all of it comes from the settings.
public struct NodeSettings: Hashable, Sendable {
    public var member: Member
    public var clusterName: String
    public var seeds: [PeerAddress]
    /// Nil: only ever join an existing cluster.
    public var foundersExpected: Int?
    public var primaryRegion: String
    public var lease: Duration
    public var heartbeat: Duration?
    public var maximumLagOnFailover: UInt64
    public var coldStartWait: Duration
    public var stopTimeout: Duration
    /// How long a member may be silent before this node, as leader, removes it; nil is for ever.
    public var deadMemberRemoval: Duration?
    /// For a cluster that is founded here; later the document's count.
    public var credentials: Credentials
    public var agentVersion: String
    /// The major version of the Postgres that is installed here; nil for a witness.
    public var postgresMajor: Int?

    public init(
        member: Member, clusterName: String, seeds: [PeerAddress], foundersExpected: Int?,
        primaryRegion: String,
        lease: Duration, heartbeat: Duration?, maximumLagOnFailover: UInt64, coldStartWait: Duration,
        stopTimeout: Duration, credentials: Credentials, agentVersion: String
    ) {
        self.member = member
        self.clusterName = clusterName
        self.seeds = seeds
        self.foundersExpected = foundersExpected
        self.primaryRegion = primaryRegion
        self.lease = lease
        self.heartbeat = heartbeat
        self.maximumLagOnFailover = maximumLagOnFailover
        self.coldStartWait = coldStartWait
        self.stopTimeout = stopTimeout
        self.credentials = credentials
        self.agentVersion = agentVersion
    }
}
