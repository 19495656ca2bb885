import Consensus

/// The elector's effects, turned into the node's.
extension Node {
    mutating func drive(_ event: Raft<ClusterDocument>.Event) {
        // Who has forgotten what it said has no voice.
        guard rollback == nil else { return }
        lastRoster = nil
        let ordered = raft.step(event, at: now)
        if view.isOutdated(by: raft.hard) { view = DocumentView(raft.hard, for: me, instance) }
        for effect in ordered { carryOut(effect) }
        if case .candidate = raft.role, campaignSince == nil { campaignSince = now }
    }

    private mutating func carryOut(_ effect: Raft<ClusterDocument>.Effect) {
        switch effect {
        case .persist(let token): persist(raft: token)
        case .storePromise(let promise): effects.append(.storePromise(promise))
        case .send(let message, let member): effects.append(dispatch(message, to: member))
        case .sendWhenDurable(let message, let member): sendWhenDurable(dispatch(message, to: member))
        case .becameLeader(let term): beginReign(term)
        case .steppedDown(let term, let reason): endReign(term, reason)
        case .committed(let entry): learnCommitted(entry)
        case .leaseExtended: renewGuard()
        }
    }

    /// Wraps a message, with what rides along, onto the link that its kind belongs on.
    private mutating func dispatch(_ message: Message<ClusterDocument>, to member: MemberID) -> NodeEffect {
        var envelope = Envelope(cluster: clusterID, body: .consensus(message))
        switch message {
        case .append:
            envelope.beacon = currentBeacon()
            envelope.roster = rosterDue(for: member)
        case .timeoutNow, .release:
            envelope.beacon = currentBeacon()
        case .appendAnswer:
            envelope.report = ownReport()
        case .preVote, .vote, .voteAnswer, .offer: break
        }
        switch message {
        case .appendAnswer, .voteAnswer:
            guard let channel = channels.first(where: { $0.member == member })?.channel else {
                return .send(envelope, to: .member(member))
            }
            return .send(envelope, to: .channel(channel))
        case .preVote, .vote, .append, .timeoutNow, .release, .offer:
            return .send(envelope, to: .member(member))
        }
    }

    var clusterID: String? { view.clusterID ?? raft.hard.accepted?.document.clusterID }

    private mutating func beginReign(_ term: Term) {
        reign = Reign(
            term: term, startedAt: now, detectedAt: campaignSince ?? now, lastHeard: lastLeaderWord)
        campaignSince = nil
        // What a leader repeats with each beat begins now: a failover must not wait for the next one.
        pulse.hurry(now)
        rosterDue = [:]
        handover = nil
        record(.init("elected", .notice, "\(me) leads in term \(term)"))
    }

    private mutating func endReign(_ term: Term, _ reason: Raft<ClusterDocument>.StepDownReason) {
        if reign != nil || reason != .released {
            record(.init("stepped-down", .notice, "\(me) no longer leads term \(term): \(reason.rawValue)"))
        }
        if reason == .higherTerm { overthrownTerm = max(overthrownTerm, term) }
        reign = nil
        lastLeaderWord = now
        handover = nil
        pendingJoins = []
        joinsRefused = []
    }

    private mutating func learnCommitted(_ entry: Entry<ClusterDocument>) {
        let document = entry.document
        reign?.learn(document, at: now)
        if isLeader { pulse.hurry(now) }
        if let owed = owedFreeze, hasOpenLineage, let primary = document.primary, primary.epoch >= owed.term {
            owedFreeze = nil
        }
        pendingJoins.removeAll { request in
            let known = document.member(request.member.id)
            return known?.instance == request.member.instance
                && known?.isDescribed(by: request.member) == true
        }
        if isLeader { takeLeave(document, entry) }
        notePause(document)
        if let final, final.term + 1 < entry.version.term { self.final = nil }
        connectPeers(document)
    }

    /// Who is no longer a member hears nothing more: this much it is still told, on a link that ends now.
    private mutating func takeLeave(_ document: ClusterDocument, _ entry: Entry<ClusterDocument>) {
        for gone in document.removed
        where document.member(gone.id) == nil && lastPeers.contains(where: { $0.member == gone.id }) {
            let offer = Message.offer(term: raft.term, entry, committed: entry.version)
            effects.append(
                .send(Envelope(cluster: clusterID, body: .consensus(offer)), to: .member(gone.id)))
        }
        reports.removeAll { document.member($0.member) == nil }
    }

    /// Moves the guard's deadline with the lease; the room for the kill is taken off.
    private mutating func renewGuard() {
        guard let guardian, guardian.epoch == raft.term, isLeader, handover?.isStopped != true,
            let deadline = guardDeadline, deadline > guardian.deadline
        else { return }
        effects.append(.armGuard(epoch: raft.term, deadline: deadline))
    }

    /// When the guard must begin to kill for Postgres to be gone by the lease's end.
    var guardDeadline: Instant? { raft.leaseEnd.map { $0 - raft.timings.killMargin } }

    /// When a primary whose lease is not renewed must begin to stop by itself.
    var demotionDue: Instant? {
        guard let guardian, guardian.epoch != nil, guardian.isPostgresAlive else { return nil }
        return guardian.deadline - (raft.timings.demoteMargin - raft.timings.killMargin)
    }

    /// The links to keep: everyone in the document, or the addresses from the settings while there is none.
    mutating func connectPeers(_ document: ClusterDocument?) {
        var peers: [PeerAddress]
        if let document, document.instance(of: me) == instance, !hasMoved {
            peers = document.members.filter { $0.id != me }
                .map { PeerAddress(member: $0.id, host: $0.address, port: $0.peerPort) }
        } else {
            let known = document?.members.filter { $0.id != me } ?? []
            peers =
                settings.seeds + hintedPeers
                + known.map { PeerAddress(member: $0.id, host: $0.address, port: $0.peerPort) }
        }
        peers.sort()
        guard peers != lastPeers else { return }
        lastPeers = peers
        effects.append(.connect(peers))
    }
}
