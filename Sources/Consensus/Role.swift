/// What a member is at the moment; what only one role knows lives in it.
///
/// Legal moves: follower → candidate → leader; any role → follower. Not generic over the document: it holds
/// none, and plain types keep a step cheap.
public enum RaftRole: Hashable, Sendable {
    case follower(Follower)
    case candidate(Candidate)
    case leader(Leader)

    public struct Follower: Hashable, Sendable {
        /// The leader of the current term once it was heard, down to its boot.
        public internal(set) var leader: Sender?
        /// Its newest round; an entry that reaches the disk later is acknowledged with it.
        var heard: Heard?
        /// The earliest campaign of a member of rank 0, jitter included.
        var campaignFrom: Instant
        /// The leader of this term released it and chose this member.
        var isHandedOver = false

        struct Heard: Hashable, Sendable {
            var sequence: UInt64
            var lease: Duration
        }
    }

    public struct Candidate: Hashable, Sendable {
        /// Pre-votes are asked before votes, so that a member that cannot win raises nobody's term.
        public internal(set) var isPreVote: Bool
        /// The term that it wants to lead.
        public internal(set) var term: Term
        public internal(set) var granted: [MemberID] = []
        public internal(set) var refused: [MemberID] = []
        /// Whether a refusal was of the kind that passes by itself within moments.
        var mayPassSoon = false
        /// When this attempt is given up.
        var deadline: Instant
        /// When those who did not answer are asked again.
        var nextSend: Instant
    }

    public struct Leader: Hashable, Sendable {
        /// Answers are missed from here on at the earliest: the election, or a change to a shorter lease.
        var judgedFrom: Instant
        public internal(set) var leaseSentAt: Instant?
        public internal(set) var leaseEnd: Instant?
        /// Everyone else who receives the register, sorted by name.
        var peers: [Peer] = []
        var newestSequence: UInt64 = 0
        /// The newest rounds, oldest first, without gaps in their sequence.
        var rounds: [Round] = []
        /// The newest round that this leader's own promise covers.
        var ownRound: Round?
        var nextRound: Instant
        var announcement: Announcement?

        /// Of more rounds than this within one lease, answers to the oldest are not counted.
        static var roundLimit: Int { 64 }
    }

    /// One sending of appends to everyone.
    struct Round: Hashable, Sendable {
        var sequence: UInt64
        var sentAt: Instant
        /// The lease that its appends carried.
        var lease: Duration

        var leaseEnd: Instant { sentAt + lease }
    }

    /// What a leader knows of another member.
    struct Peer: Hashable, Sendable {
        var member: MemberID
        var instance: Instance?
        /// What it holds on disk, by its newest answer.
        var stored: Version?
        /// The round of its newest answer.
        var answered: UInt64 = 0
        /// The newest round with which it promised long enough.
        var promised: Round?
    }

    /// A shorter lease that is acted on already; its document is not proposed before that was so for long
    /// enough.
    struct Announcement: Hashable, Sendable {
        var lease: Duration
        var proposeAt: Instant
    }
}

extension Raft {
    public typealias Role = RaftRole
    typealias Follower = RaftRole.Follower
    typealias Candidate = RaftRole.Candidate
    typealias Leader = RaftRole.Leader
    typealias Round = RaftRole.Round
    typealias Peer = RaftRole.Peer
    typealias Announcement = RaftRole.Announcement
}

extension RaftRole.Leader {
    /// Keeps a new round, and forgets those whose lease is over: an answer to one of them says nothing any
    /// more.
    mutating func remember(_ round: RaftRole.Round) {
        while let first = rounds.first, first.leaseEnd <= round.sentAt || rounds.count >= Self.roundLimit {
            rounds.removeFirst()
        }
        newestSequence = round.sequence
        rounds.append(round)
    }

    func round(_ sequence: UInt64) -> RaftRole.Round? {
        guard let first = rounds.first, sequence >= first.sequence else { return nil }
        let place = Int(sequence - first.sequence)
        return place < rounds.count ? rounds[place] : nil
    }

    func place(of member: MemberID) -> Int? { peers.firstIndex { $0.member == member } }

    /// The own promise counts for a round only if a restart would wait for at least that round's lease.
    mutating func coverOwnRound(_ durable: DurableMark) {
        guard let newest = rounds.last, durable.longestLease >= newest.lease else { return }
        ownRound = newest
    }
}
