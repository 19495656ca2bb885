/// What the replicated register asks of the document that it carries.
///
/// The register replicates one full document, not a log: an entry replaces the one before it (protocol: The
/// register).
public protocol RegisterDocument: Hashable, Codable, Sendable {
    /// Who votes. In force from the moment a document is *accepted*.
    var voters: Voters { get }
    /// Everyone who receives the register: voters, learners, witnesses; sorted.
    var recipients: [MemberID] { get }
    /// How long a leader may act without a majority.
    var lease: Duration { get }
    /// The member that holds, or last held, the primary role.
    var primaryMember: MemberID? { get }
    /// The instance on record for a member; nil for a stranger. Votes of another instance don't count.
    func instance(of member: MemberID) -> Instance?
}

/// The place of an entry in the register's history: later terms win, then later indices.
public struct Version: Hashable, Comparable, Codable, Sendable, CustomStringConvertible {
    public var term: Term
    public var index: UInt64

    public init(term: Term, index: UInt64) {
        self.term = term
        self.index = index
    }

    public static let none = Version(term: 0, index: 0)
    public var description: String { "\(term).\(index)" }

    public static func < (left: Version, right: Version) -> Bool {
        (left.term, left.index) < (right.term, right.index)
    }
}

/// One state of the register.
public struct Entry<Document: RegisterDocument>: Hashable, Codable, Sendable {
    public var version: Version
    public var document: Document

    public init(version: Version, document: Document) {
        self.version = version
        self.document = document
    }
}

/// The one vote of a term: to a member, and to one start of it.
public struct CastVote: Hashable, Codable, Sendable {
    public var candidate: MemberID
    public var nonce: BootNonce

    public init(candidate: MemberID, nonce: BootNonce) {
        self.candidate = candidate
        self.nonce = nonce
    }
}

/// What a member must find again after a crash (protocol: What is on disk).
public struct HardState<Document: RegisterDocument>: Hashable, Codable, Sendable {
    public typealias Vote = CastVote

    public var term: Term = 0
    public var votedFor: Vote?
    public var accepted: Entry<Document>?
    public var committed: Entry<Document>?

    public init() {}

    public var acceptedVersion: Version { accepted?.version ?? .none }
    public var committedVersion: Version { committed?.version ?? .none }
}

/// A voter's word not to help anyone else to lead before `until` (protocol: Promises).
///
/// Kept in tmpfs with the boot id, so that it survives the agent but not the machine.
public struct Promise: Hashable, Codable, Sendable {
    public var leader: MemberID
    public var instance: Instance
    public var term: Term
    public var until: Instant

    public init(leader: MemberID, instance: Instance, term: Term, until: Instant) {
        self.leader = leader
        self.instance = instance
        self.term = term
        self.until = until
    }
}
