// The candidate's side of an election (protocol: Election, "Who stands").

extension Raft {
    /// How long an attempt may take before it is given up; refusals end it sooner.
    var attemptTime: Duration { timings.electionSpread * 2 }

    /// A fitter member goes first: each one delays this member by a step, within the spread.
    private var rankDelay: Duration {
        min(timings.rankStep * max(0, fitness.rank), timings.electionSpread - timings.rankStep)
    }

    /// When this follower may campaign; nil when something other than time has to happen first.
    var campaignAt: Instant? {
        guard case .follower(let follower) = role else { return nil }
        guard isVoter(identity), writes.isSettled, standing != .unknown else { return nil }
        let bound =
            promiseEnd(against: identity, asking: hard.term + 1, released: releasedTerm)
            ?? .zero
        if let resumeFrom, isGuardArmed {
            // Whoever runs the armed primary need not wait out its own boot: it asks, the others decide.
            return max(resumeFrom, bound)
        }
        guard fitness.mayLead else { return nil }
        if follower.isHandedOver { return follower.campaignFrom }
        return max(follower.campaignFrom + rankDelay, bound, bootWaitEnd)
    }

    mutating func fireCampaign() {
        guard let campaignAt, campaignAt <= now else { return }
        guard case .follower(let follower) = role, follower.isHandedOver else { return startPreVote() }
        startVote()
    }

    /// As a follower: no campaign before `earliest` and a random part of `spread`.
    mutating func campaign(notBefore earliest: Instant, spreadOver spread: Duration) {
        guard case .follower(var follower) = role else { return }
        follower.campaignFrom = earliest + random.duration(upTo: spread)
        role = .follower(follower)
    }

    private mutating func startPreVote() {
        var candidate = newCandidate(term: hard.term + 1, isPreVote: true)
        candidate.granted = [identity.member]
        role = .candidate(candidate)
        ask(candidate)
        countVotes(candidate)
    }

    private mutating func startVote() {
        let vote = CastVote(candidate: identity.member, nonce: identity.nonce)
        changeHard {
            $0.term += 1
            $0.votedFor = vote
        }
        let candidate = newCandidate(term: hard.term, isPreVote: false)
        role = .candidate(candidate)
        ask(candidate)
    }

    private mutating func newCandidate(term: Term, isPreVote: Bool) -> Candidate {
        Candidate(
            isPreVote: isPreVote, term: term,
            deadline: now + attemptTime + random.duration(upTo: timings.rankStep),
            nextSend: now + timings.heartbeat)
    }

    /// Asks every voter that did not answer yet.
    private mutating func ask(_ candidate: Candidate) {
        let request = VoteRequest(
            term: candidate.term, accepted: durable.accepted, releasedTerm: releasedTerm)
        for member in register.voters?.all ?? [] where member != identity.member {
            if candidate.granted.contains(member) || candidate.refused.contains(member) { continue }
            sendOnceDurable(candidate.isPreVote ? .preVote(request) : .vote(request), to: member)
        }
    }

    mutating func received(_ answer: VoteAnswer<Document>, from voter: Sender) {
        adoptIfHigher(answer.term)
        if let newer = answer.newer, takeEntry(newer) { abandonCandidacy() }
        learnCommit(answer.committed)
        guard case .candidate(var candidate) = role, isVoter(voter),
            answer.requestedTerm == candidate.term, answer.isPreVote == candidate.isPreVote,
            !candidate.granted.contains(voter.member), !candidate.refused.contains(voter.member)
        else { return }
        if let refusal = answer.refusal {
            candidate.refused.append(voter.member)
            candidate.mayPassSoon = candidate.mayPassSoon || refusal.passesSoon
        } else {
            candidate.granted.append(voter.member)
        }
        role = .candidate(candidate)
        countVotes(candidate)
    }

    /// Goes on as soon as a majority agreed; gives up as soon as none can agree any more.
    mutating func countVotes(_ candidate: Candidate) {
        guard let voters = register.voters else { return }
        var granted = candidate.granted
        if !candidate.isPreVote, hasOwnVote, durable.term == hard.term, durable.votedNonce == identity.nonce {
            granted.append(identity.member)
        }
        if voters.isMajority({ granted.contains($0) }) {
            return candidate.isPreVote ? startVote() : becomeLeader()
        }
        if !voters.isMajority({ !candidate.refused.contains($0) }) { giveUp(candidate) }
    }

    mutating func fireCandidate(_ candidate: Candidate) {
        if !isResuming && !fitness.mayLead || standing == .unknown || candidate.deadline <= now {
            return giveUp(candidate)
        }
        guard candidate.nextSend <= now else { return }
        var asking = candidate
        asking.nextSend = now + timings.heartbeat
        role = .candidate(asking)
        // What waits for a slow disk is not asked twice.
        if writes.isSettled { ask(asking) }
    }

    private mutating func giveUp(_ candidate: Candidate) {
        role = .follower(Follower(campaignFrom: now))
        if isResuming {
            resumeFrom = now + timings.rankStep / 2 + random.duration(upTo: timings.rankStep)
        }
        if candidate.mayPassSoon {
            campaign(notBefore: now + timings.rankStep / 2, spreadOver: timings.rankStep)
        } else {
            campaign(notBefore: now + timings.rankStep, spreadOver: timings.electionSpread)
        }
    }

    /// The register changed under the candidate: its voters may be others now, so it starts over soon.
    private mutating func abandonCandidacy() {
        guard case .candidate = role else { return }
        role = .follower(Follower(campaignFrom: now))
        campaign(notBefore: now, spreadOver: timings.rankStep)
    }

    private var isResuming: Bool { resumeFrom != nil && isGuardArmed }

    mutating func fitnessChanged(_ fitness: Fitness) { self.fitness = fitness }

    /// Starts to campaign for the guard's own epoch in a higher term (protocol: Resume).
    mutating func resume() {
        if !isLeader { resumeFrom = now }
    }
}

extension VoteRefusal {
    /// Whether the same question may well get another answer within a fraction of a lease.
    var passesSoon: Bool {
        switch self {
        case .promised, .bootWait, .guardUnknown, .olderRegister, .olderTerm: true
        case .votedAlready, .guardArmed, .notAVoter: false
        }
    }
}
