import Consensus

/// FREEZE: no member may receive or acknowledge WAL of an older primary once the new leader has its position
/// (protocol: Freeze).
extension Node {
    mutating func takeFreeze(_ term: Term, from sender: Sender) {
        guard term == raft.term, raft.leader == sender.member || sender.member == me else { return }
        if owedFreeze?.term != term { owedFreeze = OwedFreeze(leader: sender.member, term: term) }
        if data.frozenTerm < term {
            var record = data
            record.frozenTerm = term
            write(record)
        }
    }

    /// The leader repeats its question until the member has said its last word.
    mutating func askForFreezes() {
        guard isLeader, needsFrozenHerd, let document, var reign else { return }
        if owedFreeze?.term != raft.term { takeFreeze(raft.term, from: identity) }
        for member in document.members where member.kind == .data && member.id != me {
            // What keeps one from being promoted may pass, or be forgotten with its agent's life.
            guard !reign.isFinal(member.id) || reign.answer(of: member.id)?.unpromotable != nil else {
                continue
            }
            effects.append(
                .send(Envelope(cluster: clusterID, body: .freeze(term: raft.term)), to: .member(member.id)))
        }
        // A witness holds no data: its word in the election is all that is asked of it.
        for member in document.members where member.kind == .witness && reign.answer(of: member.id) == nil {
            reign.hear(witnessAnswer, from: member.id, at: now)
        }
        self.reign = reign
    }

    private var witnessAnswer: FreezeAnswer {
        FreezeAnswer(
            term: raft.term, verdict: .noData, dataState: .none, unpromotable: "a witness",
            isLastPrimary: false,
            lastPrimary: nil)
    }

    var identity: Sender { Sender(member: me, instance: instance, nonce: nonce) }

    /// Answers the leader whenever there is something new to say; never before the frozen term is on disk.
    mutating func answerFreeze() {
        guard let owed = owedFreeze, owed.term == raft.term, data.frozenTerm >= owed.term else { return }
        let verdict = freezeVerdict
        guard verdict != owed.lastSent else { return }
        owedFreeze?.lastSent = verdict
        let answer = FreezeAnswer(
            term: owed.term, verdict: verdict, dataState: data.state, unpromotable: unpromotable,
            isLastPrimary: document?.primary?.member == me, lastPrimary: lastPrimary)
        if owed.leader == me {
            guard ledger.isDataDurable else { owedFreeze?.lastSent = nil; return }
            reign?.hear(answer, from: me, at: now)
        } else {
            sendWhenDurable(
                .send(Envelope(cluster: clusterID, body: .frozen(answer)), to: .member(owed.leader)))
        }
    }

    private var freezeVerdict: FreezeAnswer.Verdict {
        switch data.state {
        case .none, .cloning, .rewinding, .joining: return .noData
        case .valid: if data.isStray == true { return .noData }
        }
        guard let guardian else { return .pending("the guard does not answer") }
        if guardian.epoch != nil { return .pending("being fenced") }
        guard let postgres, postgresState == .standby else {
            return .pending(self.postgres?.unusable ?? "Postgres is \(postgresState.rawValue)")
        }
        // The report may be older than the order: what is about to open the gate counts as if it had.
        if case .follow? = work?.order { return .pending("the gate is being opened") }
        guard postgres.gate == .closed else { return .pending("the walreceiver is being stopped") }
        guard let settled = postgres.settled else { return .pending("local WAL is being replayed") }
        return .frozen(settled)
    }

    /// Why this member could not be promoted as it stands.
    var unpromotable: String? {
        if let member = document?.member(me) {
            if member.kind == .witness { return "a witness" }
            if member.neverLeads { return "tagged nofailover" }
            if member.region != document?.primaryRegion { return "not in the primary region" }
        }
        if unfitUntil > now { return "a promotion failed here a moment ago" }
        if stopping { return "it is being stopped" }
        return postgres?.unpromotable ?? postgres?.unusable
    }
}

/// Judging what the frozen members said (protocol: Choosing the freshest).
extension Node {
    struct Choice: Hashable {
        enum Verdict: Hashable {
            case wait(String)
            case promote(MemberID)
        }

        var verdict: Verdict
    }

    /// Members whose frozen position counts: valid, and part of the current history.
    private func frozenPositions(_ document: ClusterDocument, _ reign: Reign) -> [(MemberID, Position)] {
        reign.answers.compactMap { line -> (MemberID, Position)? in
            guard case .frozen(let position) = line.answer.verdict, line.answer.dataState == .valid else {
                return nil
            }
            switch document.standing(of: position) {
            case .current, .ancestor: return (line.member, position)
            case .diverged, .unknown:
                return document.isUnopenedTip(position, of: line.member) ? (line.member, position) : nil
            }
        }
    }

    func chooseFreshest() -> Choice {
        guard let document, let reign else { return Choice(verdict: .wait("no document")) }
        guard let since = reign.majorityFrozenAt else {
            return Choice(
                verdict: .wait("a majority of the voters must freeze first: \(missing(document, reign))"))
        }
        let positions = frozenPositions(document, reign)
        var best: (member: MemberID, position: Position)?
        var eligible: (member: MemberID, position: Position)?
        for (member, position) in positions {
            if best.map({ document.isFresher(position, than: $0.position) }) ?? true {
                best = (member, position)
            }
            guard isEligible(member, document, reign) else { continue }
            let fresher = eligible.map { document.isFresher(position, than: $0.position) } ?? true
            if let known = eligible, known.position == position, isPreferred(member, to: known.member) {
                eligible = (member, position)
            } else if fresher {
                eligible = (member, position)
            }
        }
        guard let best, let eligible else {
            return Choice(verdict: .wait(nobodyMayLead(positions.map(\.0), reign)))
        }
        if let reason = mustWait(for: best.position, document, reign, since) {
            return Choice(verdict: .wait(reason))
        }
        if let reason = lagsTooMuch(eligible, best.position, document, reign) {
            return Choice(verdict: .wait(reason))
        }
        if let since = transfers.last(where: { $0.member == eligible.member })?.at,
            now - since < raft.timings.lease
        {
            return Choice(verdict: .wait("the term was given to \(eligible.member) a moment ago"))
        }
        return Choice(verdict: .promote(eligible.member))
    }

    private func nobodyMayLead(_ frozen: [MemberID], _ reign: Reign) -> String {
        let barred = frozen.compactMap { member in
            reign.answer(of: member)?.unpromotable.map { "\(member): \($0)" }
        }
        let why = barred.isEmpty ? "" : " (\(barred.joined(separator: "; ")))"
        return "no frozen member holds valid data and may lead" + why
    }

    /// Of two members that hold the same: the higher priority, else this member, which leads already. A wish
    /// is not worth a second try: who did not take over when it was asked is passed by.
    private func isPreferred(_ member: MemberID, to other: MemberID) -> Bool {
        guard let document else { return false }
        func priority(_ member: MemberID) -> Int {
            if transfers.contains(where: { $0.member == member && now - $0.at < raft.timings.lease * 10 }) {
                return 0
            }
            return document.member(member)?.priority ?? 1
        }
        let (mine, theirs) = (priority(member), priority(other))
        return mine == theirs ? member == me : mine > theirs
    }

    /// Who may choose in place of a leader that, long after a majority has frozen, can't say where its own
    /// log ends: the freshest of the others.
    var standIn: MemberID? {
        guard needsFrozenHerd, raft.canPropose, armedEpoch == nil, let document, let reign,
            !reign.isFinal(me), now - reign.startedAt > raft.timings.freezeTimeout,
            document.voters.isMajority(reign.isFinal)
        else { return nil }
        var best: (member: MemberID, position: Position)?
        for (member, position) in frozenPositions(document, reign) where isEligible(member, document, reign) {
            let isFresher = best.map { document.isFresher(position, than: $0.position) } ?? true
            if isFresher { best = (member, position) }
        }
        return best?.member
    }

    private func isEligible(_ member: MemberID, _ document: ClusterDocument, _ reign: Reign) -> Bool {
        guard let record = document.member(member), !record.neverLeads, document.voters.contains(member)
        else { return false }
        return record.region == document.primaryRegion && reign.answer(of: member)?.unpromotable == nil
    }

    private func missing(_ document: ClusterDocument, _ reign: Reign) -> String {
        document.voters.all.filter { !reign.isFinal($0) }.map { member in
            switch reign.answer(of: member)?.verdict {
            case .pending(let why), .refused(let why): "\(member) (\(why))"
            case .frozen, .noData, nil: "\(member)"
            }
        }.joined(separator: ", ")
    }

    /// Whether someone not heard yet may hold more, and is worth waiting for.
    private func mustWait(
        for best: Position, _ document: ClusterDocument, _ reign: Reign, _ since: Instant
    ) -> String? {
        let dataMembers = document.members.filter { $0.kind == .data }.map(\.id)
        if dataMembers.allSatisfy(reign.isFinal) { return nil }
        let last = document.primary?.member
        if let final, final.term + 1 >= raft.term, final.term < raft.term {
            if best.timeline == final.position.timeline, best.lsn >= final.position.lsn { return nil }
            if let last, !reign.isFinal(last), now - since < raft.timings.freezeTimeout {
                return "\(last) stopped at \(final.position), which nobody else has yet"
            }
        }
        let heard = reign.answers.contains { $0.answer.lastPrimary != nil }
        let lastAnswered = last.map(reign.isFinal) ?? true
        if !heard, !lastAnswered, now - reign.startedAt < settings.coldStartWait {
            return "nobody has heard the last primary \(last?.name ?? "") since it started: waiting for it"
        }
        let grace = raft.timings.freezeGrace
        if now - since < grace { return "giving the others \(grace.milliseconds) ms to answer" }
        return nil
    }

    /// The rule of mode `off`: a standby too far behind what the last primary was known to have is not
    /// promoted.
    private func lagsTooMuch(
        _ choice: (member: MemberID, position: Position), _ best: Position, _ document: ClusterDocument,
        _ reign: Reign
    ) -> String? {
        var known = best
        // Also when the last primary itself has answered: without valid data it says nothing of how far it
        // got, and one whose directory was put back to an older state holds less than it was heard to have.
        for line in reign.answers {
            guard let position = line.answer.lastPrimary, document.standing(of: position) == .current
            else { continue }
            if document.isFresher(position, than: known) { known = position }
        }
        // Whoever opened the current lineage held at least what it began with, heard of or not.
        if let lineage = document.currentLineage, let start = lineage.switchLSN {
            let opened = Position(timeline: lineage.timeline, lsn: start)
            if document.isFresher(opened, than: known) { known = opened }
        }
        if let begun = document.furthestReservation, document.isFresher(begun, than: known) { known = begun }
        let lag = choice.position.lsn.behind(known.lsn)
        guard lag > document.maximumLagOnFailover else { return nil }
        return "\(choice.member) is \(lag) bytes behind what is known to be written, more than "
            + "maximum_lag_on_failover (\(document.maximumLagOnFailover)): "
            + "it takes an operator's word to lose them"
    }

    /// Called on each step: notes when a majority has said its last word.
    mutating func countFrozen() {
        guard let document, let reign, reign.majorityFrozenAt == nil, needsFrozenHerd else { return }
        if reign.isFinal(me), document.voters.isMajority(reign.isFinal) { self.reign?.majorityFrozenAt = now }
    }
}
