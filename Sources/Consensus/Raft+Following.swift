// A follower's side of a leader's rounds (protocol: Leases; The register).

extension Raft {
    mutating func receive(_ message: Message<Document>, from sender: Sender) {
        // A second machine under the own name; the links refuse it, and here it has no voice either.
        guard sender.member != identity.member else { return }
        switch message {
        case .preVote(let request): answerPreVote(request, from: sender)
        case .vote(let request): answerVote(request, from: sender)
        case .voteAnswer(let answer): received(answer, from: sender)
        case .append(let append): received(append, from: sender)
        case .appendAnswer(let answer): received(answer, from: sender)
        case .timeoutNow(let request): receivedTimeoutNow(request, from: sender)
        case .release(let term): receivedRelease(of: term)
        case .offer(let term, let entry, let committed):
            receivedOffer(term, entry, committed: committed)
        }
    }

    private mutating func received(_ append: Append<Document>, from sender: Sender) {
        adoptIfHigher(append.term)
        guard append.term == hard.term else {
            return send(answerTo: append.sequence, lease: nil, sender.member)
        }
        guard follow(sender, append) else { return }
        givePromise(to: sender, lease: append.lease)
        if let entry = append.entry { _ = takeEntry(entry) }
        learnCommit(append.committed)
        send(answerTo: append.sequence, lease: append.lease, sender.member)
    }

    /// Takes `sender` for the leader of the current term; false when that is another one.
    private mutating func follow(_ sender: Sender, _ append: Append<Document>) -> Bool {
        var follower: Follower
        switch role {
        case .follower(let current):
            guard current.leader == nil || current.leader == sender else { return false }
            follower = current
        case .candidate: follower = Follower(campaignFrom: now)
        case .leader: return false
        }
        follower.leader = sender
        if append.sequence >= follower.heard?.sequence ?? 0 {
            follower.heard = .init(sequence: append.sequence, lease: append.lease)
        }
        resumeFrom = nil
        // A round that was still under way when its term was released says nothing about a living leader.
        if append.term > releasedTerm { heardLeader(&follower, lease: append.lease) }
        role = .follower(follower)
        return true
    }

    private mutating func heardLeader(_ follower: inout Follower, lease: Duration) {
        lastHeard = now
        follower.isHandedOver = false
        follower.campaignFrom = promiseEnd(for: lease) + random.duration(upTo: timings.rankStep)
    }

    /// `lease` nil: the round was of an older term, and nothing was promised.
    ///
    /// Waits for no disk, but for that of a new term: the lease of a leader must not hang on the fsync of a
    /// voter.
    private mutating func send(answerTo sequence: UInt64, lease: Duration?, _ leader: MemberID) {
        let covers = lease.map { durable.longestLease >= $0 } ?? false
        let answer = AppendAnswer(
            term: hard.term, sequence: sequence, stored: durable.accepted, coversLease: covers)
        if durable.term == hard.term {
            effects.append(.send(.appendAnswer(answer), to: leader))
        } else {
            flushWrites()
            effects.append(.sendWhenDurable(.appendAnswer(answer), to: leader))
        }
    }

    /// An entry reached the disk: says so at once instead of with the next round.
    mutating func answerAgain(_ follower: Follower) {
        guard let leader = follower.leader, let heard = follower.heard else { return }
        send(answerTo: heard.sequence, lease: heard.lease, leader.member)
    }
}
