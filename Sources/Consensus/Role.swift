extension Raft {
    /// Legal moves: follower → candidate → leader; any role → follower. What only one role knows lives in it.
    public enum Role: Hashable, Sendable {
        case follower(Follower)
        case candidate(Candidate)
        case leader(Leader)
    }

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
        /// The newest rounds, oldest first, without gaps in their sequence.
        var rounds: [Round] = []
        /// The newest round that this leader's own promise covers.
        var ownRound: Round?
        var nextRound: Instant
        var announced: Announcement?

        /// An acknowledgement of a round older than this many is no longer counted.
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

    /// A document with a shorter lease, not proposed before the shorter lease was acted on for long enough.
    struct Announcement: Hashable, Sendable {
        var document: Document
        var proposeAt: Instant
    }
}

extension Raft.Leader {
    mutating func remember(_ round: Raft.Round) {
        if rounds.count == Self.roundLimit { rounds.removeFirst() }
        rounds.append(round)
    }

    func round(_ sequence: UInt64) -> Raft.Round? {
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
