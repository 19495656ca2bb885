// The register's two slots and how they travel without a leader (protocol: The register).

extension Raft {
    /// Raises the own term to one that was heard of; whatever role this member had is over.
    mutating func adoptIfHigher(_ term: Term) {
        if term > hard.term { adopt(term) }
    }

    mutating func adopt(_ term: Term) {
        let before = role
        let old = hard.term
        changeHard {
            $0.term = term
            $0.votedFor = nil
        }
        switch before {
        case .follower(let follower):
            role = .follower(Follower(campaignFrom: follower.campaignFrom))
        case .candidate:
            role = .follower(Follower(campaignFrom: now))
            campaign(notBefore: now + timings.rankStep, spreadOver: timings.electionSpread)
        case .leader:
            leaveOffice(old, .higherTerm)
        }
    }

    /// Accepts an entry newer than the own one, from whomever it comes; false when it is not newer.
    ///
    /// Safe like a late append: nothing counts as stored that is not acknowledged to the leader of its term.
    mutating func takeEntry(_ entry: Entry<Document>) -> Bool {
        guard entry.version > register.accepted, entry.version.term <= hard.term else { return false }
        changeHard { $0.accepted = entry }
        return true
    }

    /// Learns that `version` is committed; acts on it if that is the entry at hand.
    mutating func learnCommit(_ version: Version) {
        guard version == register.accepted, version > register.committed, let accepted = hard.accepted
        else { return }
        changeHard { $0.committed = accepted }
        effects.append(.committed(accepted))
    }

    mutating func install(_ entry: Entry<Document>) {
        guard hard.accepted == nil else { return }
        adoptIfHigher(entry.version.term)
        changeHard {
            $0.accepted = entry
            $0.committed = entry
        }
        effects.append(.committed(entry))
        restartElectionClock()
    }

    /// When to offer the register next; nil with nobody to offer it to.
    var offerAt: Instant? {
        guard register.lease != nil, !others.isEmpty else { return nil }
        let first = lastHeard + timings.promise
        guard let lastOffer else { return first }
        return max(first, lastOffer + timings.heartbeat)
    }

    mutating func fireOffer() {
        guard let offerAt, offerAt <= now, let accepted = hard.accepted else { return }
        lastOffer = now
        // Nothing speaks for a term that is not on disk; the next beat offers again.
        guard durable.term == hard.term else { return }
        for member in others {
            effects.append(
                .send(.offer(term: hard.term, accepted, committed: register.committed), to: member))
        }
    }

    mutating func receivedOffer(_ term: Term, _ entry: Entry<Document>, committed: Version) {
        adoptIfHigher(term)
        if case .candidate = role { return }  // its voters must not change while it counts
        _ = takeEntry(entry)
        learnCommit(committed)
    }
}
