// Promises (protocol: Promises): whom this member may help to lead, and when.

extension Raft {
    /// Sets the waits of a fresh start (protocol: Promises, "After a start").
    mutating func startWaits(remembersBoot: Bool) {
        if let promise, promise.term > hard.term {
            // The term was raised in tmpfs only; no vote in it can have left, as votes wait for the disk.
            adopt(promise.term)
        }
        if !remembersBoot, mayHavePromised {
            bootWaitEnd = now + Timings.promise(of: register.longestLease)
        }
        restartElectionClock()
    }

    /// Whether an earlier run of this agent may have given a promise that is now forgotten.
    ///
    /// A promise is given to a leader, whose term is on disk before the answer: no term, no promise. And who
    /// is alone in both slots, and primary, has promised nobody but itself.
    private var mayHavePromised: Bool {
        guard hard.term > 0 else { return false }
        guard let accepted = hard.accepted?.document, let committed = hard.committed?.document else {
            return true
        }
        let alone = [identity.member]
        let wasAlone =
            accepted.voters.all == alone && committed.voters.all == alone
            && committed.primaryMember == identity.member
        return !wasAlone
    }

    /// Lets the time before the own first campaign run from now, as after a start.
    mutating func restartElectionClock() {
        if isSoleVoter || mayStartAtOnce {
            campaign(notBefore: now, spreadOver: isSoleVoter ? .zero : timings.electionSpread)
        } else if let promise, isOwn(promise) {
            // The others' promises do not bind against the leader they were given to.
            campaign(notBefore: now, spreadOver: timings.rankStep)
        } else if let promise {
            campaign(notBefore: max(now, promise.until), spreadOver: timings.rankStep)
        } else {
            campaign(notBefore: now + timings.promise, spreadOver: timings.electionSpread)
        }
    }

    /// A cluster whose first document was just installed had no leader yet, so there is none to wait for.
    private var mayStartAtOnce: Bool {
        hard.term == 0 && register.lease != nil && register.accepted.term == 0
    }

    private func isOwn(_ promise: Promise) -> Bool {
        promise.leader == identity.member && promise.instance == identity.instance
    }

    /// How long a promise given now lasts: as long as the longest lease that anyone may count it for.
    func promiseEnd(for lease: Duration) -> Instant {
        now + Timings.promise(of: max(lease, register.longestLease))
    }

    /// Gives `leader` of the current term this member's word, and orders it stored before what follows.
    mutating func givePromise(to leader: Sender, lease: Duration) {
        var given = Promise(
            leader: leader.member, instance: leader.instance, term: hard.term, until: promiseEnd(for: lease))
        if let promise, promise.leader == given.leader, promise.instance == given.instance {
            given.until = max(given.until, promise.until)
        }
        promise = given
        effects.append(.storePromise(given))
    }

    /// Until when the own word forbids to help `candidate` to lead; nil when it does not.
    ///
    /// A promise binds against everybody but the very incarnation it was given to (which must ask for a later
    /// term: it may have released the promised one), and no longer than until its term was released.
    func promiseEnd(against candidate: Sender, asking term: Term, released: Term) -> Instant? {
        guard let promise, promise.until > now else { return nil }
        let isItsOwn = promise.leader == candidate.member && promise.instance == candidate.instance
        if isItsOwn, term > promise.term { return nil }
        if promise.term <= max(released, releasedTerm) { return nil }
        return promise.until
    }

    mutating func guardChanged(_ standing: GuardStanding) {
        self.standing = standing
        if standing == .disarmed { resumeFrom = nil }
    }

    var isGuardArmed: Bool {
        if case .armed = standing { true } else { false }
    }
}
