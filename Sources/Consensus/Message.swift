/// What members say to each other about leadership and the register (protocol: Messages).
///
/// The sender is not part of a message: the link proves it (`Sender`).
public enum Message<Document: RegisterDocument>: Hashable, Codable, Sendable {
    /// "Would you vote for me in this term?" Changes nothing at the voter.
    case preVote(VoteRequest)
    case vote(VoteRequest)
    case voteAnswer(VoteAnswer<Document>)
    case append(Append<Document>)
    case appendAnswer(AppendAnswer)
    /// From a leader that released: "campaign now".
    case timeoutNow(TimeoutNow)
    /// From a leader that is fenced for good in this term: promises to it no longer bind.
    case release(term: Term)
    /// Without a leader, members offer each other their register so that the newest is not stuck on one
    /// that cannot lead.
    case offer(term: Term, Entry<Document>, committed: Version)
}

public struct VoteRequest: Hashable, Codable, Sendable {
    /// The term that the candidate wants to lead.
    public var term: Term
    /// The newest entry that the candidate holds on disk.
    public var accepted: Version
    /// The highest term whose leader is known to have released it.
    public var releasedTerm: Term

    public init(term: Term, accepted: Version, releasedTerm: Term) {
        self.term = term
        self.accepted = accepted
        self.releasedTerm = releasedTerm
    }
}

public struct VoteAnswer<Document: RegisterDocument>: Hashable, Codable, Sendable {
    /// The voter's own term.
    public var term: Term
    /// The term that was asked for.
    public var requestedTerm: Term
    public var isPreVote: Bool
    public var refusal: VoteRefusal?
    /// The voter's register when it is newer than the candidate's.
    public var newer: Entry<Document>?
    public var committed: Version

    public init(
        term: Term, requestedTerm: Term, isPreVote: Bool, refusal: VoteRefusal?,
        newer: Entry<Document>?, committed: Version
    ) {
        self.term = term
        self.requestedTerm = requestedTerm
        self.isPreVote = isPreVote
        self.refusal = refusal
        self.newer = newer
        self.committed = committed
    }
}

/// Why a voter said no; the names appear in logs and in the scripts of the tests.
public enum VoteRefusal: String, Hashable, Codable, Sendable {
    case olderTerm, votedAlready, olderRegister, promised, bootWait, guardUnknown, guardArmed, notAVoter
}

public struct Append<Document: RegisterDocument>: Hashable, Codable, Sendable {
    public var term: Term
    /// Counts the leader's rounds; the answer repeats it, and the lease counts from when that round was
    /// *sent*.
    public var sequence: UInt64
    /// The leader's newest entry; the entry itself rides along only where the receiver is not known to hold
    /// it.
    public var version: Version
    public var entry: Entry<Document>?
    public var committed: Version
    /// The lease that this leader acts on.
    public var lease: Duration

    public init(
        term: Term, sequence: UInt64, version: Version, entry: Entry<Document>?, committed: Version,
        lease: Duration
    ) {
        self.term = term
        self.sequence = sequence
        self.version = version
        self.entry = entry
        self.committed = committed
        self.lease = lease
    }
}

public struct AppendAnswer: Hashable, Codable, Sendable {
    public var term: Term
    public var sequence: UInt64
    /// The newest entry that the sender holds on disk.
    public var stored: Version
    /// Whether that entry's lease is at least the lease of the append: only then the answer extends the
    /// lease.
    public var coversLease: Bool

    public init(term: Term, sequence: UInt64, stored: Version, coversLease: Bool) {
        self.term = term
        self.sequence = sequence
        self.stored = stored
        self.coversLease = coversLease
    }
}

public struct TimeoutNow: Hashable, Codable, Sendable {
    /// The term that was released; the target ignores any other than its own.
    public var term: Term

    public init(term: Term) { self.term = term }
}
