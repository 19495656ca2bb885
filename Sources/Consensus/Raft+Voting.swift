// The voter's side of an election (protocol: Election, "Who gets a vote").

extension Raft {
    /// "Would you?": answered by the same rules as a vote, but nothing changes.
    mutating func answerPreVote(_ request: VoteRequest, from candidate: Sender) {
        let refusal = refusal(of: request, from: candidate, isPreVote: true)
        answer(request, refusal, isPreVote: true, to: candidate.member)
    }

    mutating func answerVote(_ request: VoteRequest, from candidate: Sender) {
        adoptIfHigher(request.term)
        let refusal = refusal(of: request, from: candidate, isPreVote: false)
        if refusal == nil {
            let vote = CastVote(candidate: candidate.member, nonce: candidate.nonce)
            if hard.votedFor != vote { changeHard { $0.votedFor = vote } }
            // Whoever just voted gives the candidate the time of a whole attempt.
            campaign(notBefore: now + attemptTime, spreadOver: timings.electionSpread)
        }
        answer(request, refusal, isPreVote: false, to: candidate.member)
    }

    private mutating func answer(
        _ request: VoteRequest, _ refusal: VoteRefusal?, isPreVote: Bool, to candidate: MemberID
    ) {
        let isNewer = register.accepted > request.accepted
        let answer = VoteAnswer<Document>(
            term: hard.term, requestedTerm: request.term, isPreVote: isPreVote, refusal: refusal,
            newer: isNewer ? hard.accepted : nil, committed: register.committed)
        sendOnceDurable(.voteAnswer(answer), to: candidate)
    }

    /// Why `candidate` gets no vote, or nil when it gets one.
    func refusal(of request: VoteRequest, from candidate: Sender, isPreVote: Bool) -> VoteRefusal? {
        if !isVoter(candidate) { return .notAVoter }
        if let refusal = refusalByTerm(request, candidate, isPreVote: isPreVote) { return refusal }
        switch standing {
        case .unknown: return .guardUnknown
        case .armed: return .guardArmed
        case .disarmed: break
        }
        if bootWaitEnd > now { return .bootWait }
        if promiseEnd(against: candidate, asking: request.term, released: request.releasedTerm) != nil {
            return .promised
        }
        // What this member never had on disk, it never acknowledged; only that may be part of a commit.
        if request.accepted < durable.accepted { return .olderRegister }
        return nil
    }

    private func refusalByTerm(_ request: VoteRequest, _ candidate: Sender, isPreVote: Bool) -> VoteRefusal? {
        if isPreVote { return request.term > hard.term ? nil : .olderTerm }
        if request.term < hard.term { return .olderTerm }
        let vote = CastVote(candidate: candidate.member, nonce: candidate.nonce)
        return hard.votedFor == nil || hard.votedFor == vote ? nil : .votedAlready
    }
}
