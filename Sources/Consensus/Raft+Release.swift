// Giving a term back, and taking over from one who did (protocol: Release).

extension Raft {
    /// Irrevocable: in a released term nobody leads any more, and promises to its leader no longer bind.
    mutating func release(to target: MemberID?) {
        guard isLeader, standing == .disarmed else { return }
        let term = hard.term
        let receivers = others
        releasedTerm = term
        leaveOffice(term, .released)
        for member in receivers { effects.append(.send(.release(term: term), to: member)) }
        if let target, receivers.contains(target) {
            effects.append(.send(.timeoutNow(TimeoutNow(term: term)), to: target))
        }
    }

    mutating func receivedRelease(of term: Term) {
        adoptIfHigher(term)
        // Nobody else can release what this member leads; such a message is not of this cluster's making.
        guard term > releasedTerm, !(isLeader && term == hard.term) else { return }
        releasedTerm = term
        guard term == hard.term, case .follower(var follower) = role else { return }
        if follower.isHandedOver { return }
        // Grace for the member that the leader chose: it has a term and a vote to write before it can ask.
        follower.campaignFrom = min(
            follower.campaignFrom, now + timings.electionSpread + random.duration(upTo: timings.rankStep))
        role = .follower(follower)
    }

    /// Campaigns at once and without pre-vote, if the term released is still this member's own.
    mutating func receivedTimeoutNow(_ request: TimeoutNow, from sender: Sender) {
        guard request.term == hard.term, case .follower(var follower) = role,
            follower.leader == nil || follower.leader == sender,
            isVoter(identity), fitness.mayLead, bootWaitEnd <= now
        else { return }
        releasedTerm = max(releasedTerm, request.term)
        follower.isHandedOver = true
        follower.campaignFrom = now
        role = .follower(follower)
    }
}
