import Consensus

/// What comes in from peers, and what is learned from the guard and from Postgres.
extension Node {
    mutating func receive(_ envelope: Envelope, from sender: Sender, on channel: Channel?) {
        if let channel { remember(channel, of: sender.member) }
        if let document, let cluster = envelope.cluster, cluster != document.clusterID {
            record(
                .init("wrong-cluster", .warning, "\(sender.member) belongs to another cluster (\(cluster))"))
            return
        }
        if document?.wasRemoved(sender) == true, case .consensus = envelope.body {
            return tellRemoved(channel)
        }
        if case .rolledBack(let verdict) = envelope.body { return takeVerdict(verdict, from: sender) }
        if let life = envelope.life, isRolledBack(sender, life) {
            return tellRolledBack(sender, on: channel)
        }
        if rollback != nil { return }
        switch envelope.body {
        case .join(let request): takeJoin(request, from: sender, on: channel)
        case .joinAnswer(let answer): takeJoinAnswer(answer, from: sender)
        case .founder(let hello): takeFounder(hello, from: sender, on: channel)
        case .foundingProposal(let proposal): takeProposal(proposal, from: sender, on: channel)
        case .foundingGrant(let cluster): takeGrant(cluster, from: sender)
        case .consensus(let message):
            guard accepts(sender, message) else { return }
            // A vote counts only on the link that the candidate opened itself to the address on record.
            if case .voteAnswer = message, channel != nil { return }
            attend(envelope, from: sender)
            drive(.received(message, from: sender))
        case .freeze(let term):
            if isMember(sender) { takeFreeze(term, from: sender) }
        case .frozen(let answer):
            if isMember(sender) { reign?.hear(answer, from: sender.member, at: now) }
        case .command(let id, let command):
            if isMember(sender) { takeForwarded(command, id: id, from: sender, on: channel) }
        case .commandAnswer(let id, let answer): takeAnswer(answer, id: id)
        case .news:
            if isMember(sender), let report = envelope.report { hear(report, from: sender) }
        case .question, .reply, .rolledBack: break
        }
    }

    /// Who was away while it was removed still believes that it is a member: the register says otherwise.
    private mutating func tellRemoved(_ channel: Channel?) {
        guard let channel, let entry = raft.hard.committed else { return }
        let offer = Message.offer(term: entry.version.term, entry, committed: entry.version)
        effects.append(
            .send(Envelope(cluster: clusterID, body: .consensus(offer)), to: .channel(channel)))
    }

    private mutating func remember(_ channel: Channel, of member: MemberID) {
        channels.removeAll { $0.member == member }
        channels.append((member, channel))
        if channels.count > 256 { channels.removeFirst() }
    }

    func isMember(_ sender: Sender) -> Bool { document?.instance(of: sender.member) == sender.instance }

    /// Members talk consensus; a node without a document also listens to whoever lets it in.
    private func accepts(_ sender: Sender, _ message: Message<ClusterDocument>) -> Bool {
        let known = raft.hard.accepted?.document
        if known?.instance(of: sender.member) == sender.instance { return true }
        let entry: Entry<ClusterDocument>? =
            switch message {
            case .append(let append): append.entry
            case .offer(_, let entry, _): entry
            case .preVote, .vote, .voteAnswer, .appendAnswer, .timeoutNow, .release: nil
            }
        guard let document = entry?.document, document.clusterName == settings.clusterName,
            document.instance(of: sender.member) == sender.instance
        else { return false }
        if let origin, origin.cluster != document.clusterID { return false }
        if let known { return known.clusterID == document.clusterID }
        if let grant { return grant.document.clusterID == document.clusterID }
        return document.instance(of: me) == instance
    }

    /// The beacon, the report and the roster that ride along.
    private mutating func attend(_ envelope: Envelope, from sender: Sender) {
        if let report = envelope.report { hear(report, from: sender) }
        guard let beacon = envelope.beacon, beacon.term >= raft.term else { return }
        if let position = beacon.final { final = (beacon.term, position) }
        if case .consensus(.append) = envelope.body {
            lastLeaderWord = now
            campaignSince = nil
            if let heard = self.beacon, heard.beacon.term == beacon.term,
                heard.beacon.sequence > beacon.sequence
            {
                return
            }
            self.beacon = HeardBeacon(beacon: beacon, from: sender.member, at: now)
            if beacon.primary != nil, let position = beacon.position { lastPrimary = position }
            markJoining(beacon)
            for line in envelope.roster ?? [] where line.member != me {
                hear(line)
                if let seen = line.witnessed { witness(seen) }
            }
        }
    }

    private mutating func hear(_ report: MemberReport, from sender: Sender) {
        reports.removeAll { $0.member == sender.member }
        reports.append(
            HeardReport(member: sender.member, report: report, at: now, nonce: sender.nonce))
        reports.sort { $0.member < $1.member }
    }

    private mutating func hear(_ line: RosterLine) {
        let at = now - .milliseconds(max(0, line.ageMilliseconds))
        if let known = reports.first(where: { $0.member == line.member }), known.at >= at { return }
        reports.removeAll { $0.member == line.member }
        reports.append(HeardReport(member: line.member, report: line.report, at: at))
        reports.sort { $0.member < $1.member }
    }

    // MARK: the guard and Postgres

    mutating func learn(_ report: GuardReport) {
        let before = guardian
        guardian = report
        drive(.guardChanged(report.epoch.map { .armed(epoch: $0) } ?? .disarmed))
        if before?.isPostgresAlive != false, !report.isPostgresAlive {
            noteDeath(report, wasKnown: before != nil)
        }
        if before == nil, let epoch = report.epoch, report.isPostgresAlive, report.deadline > now,
            let primary = document?.primary, primary.member == me, primary.epoch == epoch,
            document?.hasOpenPrimary == true
        {
            record(.init("reattached", .notice, "found Postgres running as primary of term \(epoch)"))
            drive(.resume)
        }
    }

    private mutating func noteDeath(_ report: GuardReport, wasKnown: Bool) {
        // A report of the stopped directory that came first knows more than this.
        if var known = postgres, known.state != .absent, known.state != .stopped {
            known.state = .stopped
            known.gate = .closed
            known.settled = nil
            known.streaming = false
            (known.unpromotable, known.isBelowRequirements, known.pendingRestart) = (nil, false, [])
            postgres = known
        }
        followed = nil
        applied = nil
        guard wasKnown else { return }
        reign?.postgresDied(at: now)
        let how = report.lastExit.map { ": \($0)" } ?? ""
        record(
            .init("postgres-ended", .notice, "Postgres on \(me) has ended, no process of it is left\(how)"))
    }

    mutating func loseGuard() {
        guardian = nil
        drive(.guardChanged(.unknown))
        record(.init("guard-lost", .warning, "the guard does not answer"))
    }

    /// Reports arrive from two sides (poller and orders): an older one never replaces a newer.
    mutating func learn(_ report: PostgresReport) {
        if let known = postgres, known.takenAt > report.takenAt { return }
        postgres = report
        if report.state == .primary, let position = report.position, writesAsPrimary {
            lastPrimary = position
        }
    }

    /// Between two events about the progress of one order.
    private static let progressInterval = Duration.seconds(10)

    mutating func hearProgress(of job: JobID, _ text: String) {
        guard var running = work, running.job == job else { return }
        running.progress = text
        if now - (running.toldAt ?? running.since) >= Self.progressInterval {
            running.toldAt = now
            record(.init("progress", .info, "\(running.order.name) on \(me): \(text)"))
        }
        work = running
    }

    mutating func finish(_ job: JobID, _ outcome: PostgresOutcome) {
        learn(outcome.report)
        if let done = background, done.job == job {
            background = nil
            conclude(done, outcome)
        } else if let done = work, done.job == job {
            work = nil
            conclude(done, outcome)
        }
    }

    private mutating func conclude(_ done: Work, _ outcome: PostgresOutcome) {
        if let reason = outcome.result.trouble {
            failures.note(done.order, reason, at: now)
            record(.init("failed", .warning, "\(done.order.name) failed on \(me): \(reason)"))
        } else {
            failures.clear(done.order)
        }
        switch done.order {
        case .promote(let plan): concludePromotion(plan, outcome)
        case .follow(let upstream): if outcome.result == .done { followed = Followed(upstream: upstream) }
        case .freeze: followed = nil
        case .startStandby, .startPrimary:
            followed = nil
            applied = nil
            standbyStartedAt = now
            if case .impossible(let reason) = outcome.result { noteStray(reason) }
        case .configure(let configuration): if outcome.result == .done { applied = configuration }
        case .checkpoint:
            reign?.checkpointed = outcome.result == .done
            handover?.checkpointed = true
        case .clone: concludeClone(outcome)
        case .rewind: concludeRewind(outcome)
        case .stop: concludeStop(outcome)
        case .initialize, .tendSlots, .examine: break
        }
    }
}
