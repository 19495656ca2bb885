// A leader's rounds, lease and commits (protocol: Leases; The register).

extension Raft {
    mutating func becomeLeader() {
        guard let accepted = hard.accepted else { return }
        resumeFrom = nil
        role = .leader(Leader(judgedFrom: now, nextRound: now))
        effects.append(.becameLeader(hard.term))
        // Only entries of the own term are ever counted, so what was accepted before is proposed anew.
        put(accepted.document)
    }

    /// Makes `document` the newest entry, and tells everyone.
    private mutating func put(_ document: Document) {
        let version = Version(term: hard.term, index: register.accepted.index + 1)
        withdrawAnnouncement()
        changeHard { $0.accepted = Entry(version: version, document: document) }
        guard case .leader(var leader) = role else { return }
        leader.peers = others.map { member in
            // Another incarnation under the same name has stored and promised nothing yet.
            let instance = register.instance(of: member)
            return leader.peers.first { $0.member == member && $0.instance == instance }
                ?? Peer(member: member, instance: instance)
        }
        role = .leader(leader)
        startRound()
    }

    /// The lease that a leader acts on: while it changes, the shorter one (protocol: Leases, "Changing the
    /// lease").
    var actingLease: Duration? {
        guard let leader = leaderState, var lease = register.lease else { return nil }
        if let committed = register.committedLease { lease = min(lease, committed) }
        if let announcement = leader.announcement { lease = min(lease, announcement.lease) }
        return lease
    }

    mutating func startRound() {
        guard case .leader(var leader) = role else { return }
        let round = Round(
            sequence: leader.newestSequence + 1, sentAt: now, lease: timings.lease)
        leader.remember(round)
        leader.nextRound = now + timings.heartbeat
        lastHeard = now
        givePromise(to: identity, lease: round.lease)
        leader.coverOwnRound(durable)
        for peer in leader.peers {
            let holdsNewest = peer.stored == register.accepted
            let append = Append(
                term: hard.term, sequence: round.sequence, version: register.accepted,
                entry: holdsNewest ? nil : hard.accepted, committed: register.committed, lease: round.lease)
            effects.append(.send(.append(append), to: peer.member))
        }
        role = .leader(leader)
        extendLease()
    }

    mutating func received(_ answer: AppendAnswer, from sender: Sender) {
        adoptIfHigher(answer.term)
        guard case .leader(var leader) = role, answer.term == hard.term, isOnRecord(sender),
            let place = leader.place(of: sender.member), answer.sequence >= leader.peers[place].answered
        else { return }
        // Within a round later answers only add; a newer round may take back what a restored disk lost.
        let isNewRound = answer.sequence > leader.peers[place].answered
        leader.peers[place].answered = answer.sequence
        leader.peers[place].stored =
            isNewRound ? answer.stored : max(answer.stored, leader.peers[place].stored ?? .none)
        if answer.coversLease, let round = leader.round(answer.sequence) {
            leader.peers[place].promised = round
        }
        role = .leader(leader)
        extendLease()
        commitWhatMajorityHolds()
    }

    /// The lease runs from the *sending* of the newest round that a majority promised on; it never shrinks.
    mutating func extendLease() {
        guard case .leader(var leader) = role, let voters = register.voters else { return }
        func promised(_ member: MemberID) -> Round? {
            if member == identity.member { return leader.ownRound }
            return leader.place(of: member).flatMap { leader.peers[$0].promised }
        }
        guard let sentAt = voters.reachedByMajority({ promised($0)?.sentAt }),
            let end = voters.reachedByMajority({ promised($0)?.leaseEnd })
        else { return }
        let isFurther = leader.leaseEnd.map { end > $0 } ?? true
        let isNewer = leader.leaseSentAt.map { sentAt > $0 } ?? true
        guard isFurther || isNewer else { return }
        leader.leaseSentAt = max(sentAt, leader.leaseSentAt ?? sentAt)
        leader.leaseEnd = max(end, leader.leaseEnd ?? end)
        role = .leader(leader)
        effects.append(.leaseExtended(sentAt: sentAt))
    }

    /// Commits the newest entry once a majority has it on disk, this member's own disk included.
    mutating func commitWhatMajorityHolds() {
        guard let leader = leaderState, let voters = register.voters,
            register.accepted > register.committed, register.accepted.term == hard.term
        else { return }
        func holds(_ member: MemberID) -> Bool {
            if member == identity.member { return durable.accepted >= register.accepted }
            return leader.place(of: member).map { leader.peers[$0].stored == register.accepted } ?? false
        }
        guard voters.isMajority(holds) else { return }
        learnCommit(register.accepted)
        startRound()
        // Removed from the cluster by its own hand: the others learn of the commit from the round just sent.
        if register.instance(of: identity.member) == nil { stepDown(.notAVoter) }
    }

    mutating func fireLeader(_ leader: Leader) {
        if quorumDeadline(leader) <= now { return stepDown(.lostMajority) }
        if let announcement = leader.announcement, announcement.proposeAt <= now, let announced {
            return put(announced)
        }
        if leader.nextRound <= now { startRound() }
    }

    func leaderWake(_ leader: Leader) -> Instant {
        min(leader.nextRound, quorumDeadline(leader), leader.announcement?.proposeAt ?? .distantFuture)
    }

    /// A leader that no majority answered for one lease stops: others cannot elect while it is heard.
    private func quorumDeadline(_ leader: Leader) -> Instant {
        max(leader.leaseSentAt ?? leader.judgedFrom, leader.judgedFrom) + timings.lease
    }

    mutating func stepDown(_ reason: StepDownReason) {
        if isLeader { leaveOffice(hard.term, reason) }
    }

    /// What a former leader does next: one that lost its majority may soon have it back, since the promises
    /// of the others do not bind against it; any other lets the rest go first.
    mutating func leaveOffice(_ term: Term, _ reason: StepDownReason) {
        withdrawAnnouncement()
        role = .follower(Follower(campaignFrom: now))
        refreshTimings()
        lastHeard = now
        switch reason {
        case .lostMajority: campaign(notBefore: now, spreadOver: timings.electionSpread)
        case .higherTerm, .released, .asked, .notAVoter:
            campaign(notBefore: now + timings.promise, spreadOver: timings.rankStep)
        }
        effects.append(.steppedDown(term, reason))
    }
}

extension Raft {
    /// When the newest round was sent that `member` promised on; nil when none is known, or who asks does not
    /// lead.
    public func promised(by member: MemberID) -> Instant? {
        leaderState.flatMap { leader in
            leader.place(of: member).flatMap { leader.peers[$0].promised?.sentAt }
        }
    }

    /// Whether `member` is known to have this leader's newest entry on disk.
    public func holdsNewest(_ member: MemberID) -> Bool {
        guard let leader = leaderState, let place = leader.place(of: member) else { return false }
        return leader.peers[place].stored == register.accepted
    }
}

/// Why a proposal is not taken (protocol: The register; Voter changes).
public enum ProposalObjection: String, Hashable, Sendable {
    case notLeader, noOwnCommit, inFlight, illegalVoterStep
}

extension Raft {
    /// Why `.propose(document)` would be ignored now; nil when it would be taken.
    public func objection(to document: Document) -> ProposalObjection? {
        guard isLeader, let voters = register.voters else { return .notLeader }
        guard hasOwnCommit else { return .noOwnCommit }
        guard register.accepted == register.committed else { return .inFlight }
        return voters.mayBecome(document.voters) ? nil : .illegalVoterStep
    }

    mutating func propose(_ document: Document) {
        guard objection(to: document) == nil, case .leader(var leader) = role, let lease = register.lease
        else { return }
        guard document.lease < lease else { return put(document) }
        var announcement = Announcement(
            lease: document.lease, proposeAt: now + Timings.promise(of: lease))
        if let known = leader.announcement, known.lease == announcement.lease { announcement = known }
        leader.announcement = announcement
        leader.judgedFrom = now
        role = .leader(leader)
        announced = document
        refreshTimings()
        startRound()
    }

    private mutating func withdrawAnnouncement() {
        announced = nil
        guard case .leader(var leader) = role else { return }
        leader.announcement = nil
        role = .leader(leader)
    }
}
