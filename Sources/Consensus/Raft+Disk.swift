/// What of the hard state is known to be on disk (protocol: What is on disk).
public struct DurableMark: Hashable, Sendable {
    public var term: Term = 0
    public var accepted: Version = .none
    public var committed: Version = .none
    /// Whether the vote given in `term`, if any, is on disk too.
    var votedNonce: BootNonce?
    /// The longer lease of the two slots: what a restart of the machine would wait for.
    var longestLease: Duration = .zero
}

/// The writes on their way to disk, oldest first.
struct WriteQueue: Hashable, Sendable {
    struct Write: Hashable, Sendable {
        var token: UInt64
        var mark: DurableMark
    }

    /// More writes than this in flight are learned of together, when the newest is done: later, never
    /// earlier.
    static let limit = 64

    private(set) var known = DurableMark()
    private(set) var pending: [Write] = []
    private var newest: UInt64 = 0
    /// Whether the hard state changed since the newest write was ordered.
    var isStale = false

    /// Whether everything is on disk.
    var isSettled: Bool { pending.isEmpty && !isStale }

    mutating func start(at mark: DurableMark) { known = mark }

    mutating func order(_ mark: DurableMark) -> UInt64 {
        newest += 1
        isStale = false
        if pending.count == WriteQueue.limit { pending.removeLast() }
        pending.append(Write(token: newest, mark: mark))
        return newest
    }

    mutating func done(_ token: UInt64) {
        invariant(
            token <= newest, "write \(token) is said to be on disk, but the newest ordered is \(newest)")
        while let first = pending.first, first.token <= token {
            known = first.mark
            pending.removeFirst()
        }
    }
}

extension Raft {
    /// The only door through which the hard state changes: what it lets through is written before it is
    /// visible.
    mutating func changeHard(_ change: (inout HardState<Document>) -> Void) {
        change(&hard)
        writes.isStale = true
        let isViewStale =
            hard.acceptedVersion != register.accepted || hard.committedVersion != register.committed
        if isViewStale { viewRegister() }
    }

    /// What a write ordered now puts on disk.
    var mark: DurableMark {
        DurableMark(
            term: hard.term, accepted: register.accepted, committed: register.committed,
            votedNonce: hard.votedFor?.nonce, longestLease: register.longestLease)
    }

    /// Orders the write of everything that changed since the last one.
    mutating func flushWrites() {
        guard writes.isStale else { return }
        effects.append(.persist(writes.order(mark)))
    }

    /// Sends what speaks for the current term, or for a vote in it: not before they are on disk.
    mutating func sendOnceDurable(_ message: Message<Document>, to member: MemberID) {
        if durable.term == hard.term, durable.votedNonce == hard.votedFor?.nonce {
            effects.append(.send(message, to: member))
        } else {
            flushWrites()
            effects.append(.sendWhenDurable(message, to: member))
        }
    }

    mutating func persisted(_ token: PersistToken) {
        let before = durable
        writes.done(token)
        guard durable != before else { return }
        switch role {
        case .follower(let follower):
            if durable.accepted != before.accepted { answerAgain(follower) }
        case .candidate(let candidate):
            countVotes(candidate)
        case .leader(var leader):
            leader.coverOwnRound(durable)
            role = .leader(leader)
            extendLease()
            commitWhatMajorityHolds()
        }
    }
}
