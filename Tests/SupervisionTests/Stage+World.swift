import Consensus

@testable import Supervision

/// What a leader said last, to be repeated.
struct LeaderWord {
    var from: MemberID
    var term: Term
    var opened: Bool
    var position: Position?
    /// The primary has not made a checkpoint on its timeline yet.
    var lacksCheckpoint = false
    /// Nil: it shares no turns out.
    var copiers: [MemberID]?
    var repeatAt: Instant
}

/// The guard, the peers, and what must hold of every effect.
extension Stage {
    // MARK: the guard

    func arm(_ epoch: Term, _ deadline: Instant) {
        guard !isGuardManual, var report = guardian, epoch > report.highestDisarmed,
            epoch >= report.epoch ?? 0
        else { return }
        guard report.epoch != epoch || deadline > report.deadline else { return }
        report.deadline = report.epoch == epoch ? max(report.deadline, deadline) : deadline
        report.epoch = epoch
        tellGuard(report)
    }

    func disarm(_ epoch: Term) {
        guard !isGuardManual, var report = guardian, report.epoch != nil else { return }
        report.epoch = nil
        report.highestDisarmed = max(report.highestDisarmed, epoch)
        tellGuard(report)
    }

    func kill() {
        guard !isGuardManual, var report = guardian, report.isPostgresAlive else { return }
        report.isPostgresAlive = false
        tellGuard(report)
    }

    func tellGuard(_ report: GuardReport) {
        guardian = report
        pending.append(.guardReported(report))
    }

    // MARK: the peers

    func sender(_ member: MemberID) -> Sender {
        let instance = (node?.document ?? document)?.instance(of: member) ?? "\(member)#1"
        return Sender(member: member, instance: instance, nonce: lives[member]?.nonce ?? 7)
    }

    /// A peer that answers grants every vote and stores every append at once.
    func answer(_ envelope: Envelope, as member: MemberID) {
        guard let report = answering[member], case .consensus(let message) = envelope.body else { return }
        switch message {
        case .preVote(let request): vote(request, isPreVote: true, as: member)
        case .vote(let request): vote(request, isPreVote: false, as: member)
        case .append(let append):
            if append.entry != nil { stored[member] = append.version }
            let answer = AppendAnswer(
                term: append.term, sequence: append.sequence, stored: stored[member] ?? .none,
                coversLease: true)
            deliver(.appendAnswer(answer), from: member) { $0.report = report }
        case .voteAnswer, .appendAnswer, .timeoutNow, .release, .offer: break
        }
    }

    private func vote(_ request: VoteRequest, isPreVote: Bool, as member: MemberID) {
        let answer = VoteAnswer<ClusterDocument>(
            term: isPreVote ? request.term - 1 : request.term, requestedTerm: request.term,
            isPreVote: isPreVote, refusal: nil, newer: nil, committed: .none)
        deliver(.voteAnswer(answer), from: member)
    }

    func deliver(
        _ message: Message<ClusterDocument>, from member: MemberID,
        _ adorn: (inout Envelope) -> Void = { _ in }
    ) {
        var envelope = Envelope(
            cluster: (node?.document ?? document)?.clusterID, body: .consensus(message))
        adorn(&envelope)
        envelope.life = lives[member]?.life
        let channel: Channel? = if case .voteAnswer = message { nil } else { 9 }
        pending.append(.received(envelope, from: sender(member), channel: channel))
    }

    func deliver(_ body: Envelope.Body, from sender: Sender) {
        let envelope = Envelope(cluster: (node?.document ?? document)?.clusterID, body: body)
        feed(.received(envelope, from: sender, channel: 9))
    }

    /// The leader's append once more, without news.
    func repeatWord() {
        guard let word, let node, let accepted = node.hard.accepted else { return }
        say(word, version: accepted.version, entry: nil, final: nil)
    }

    func say(
        _ word: LeaderWord, version: Version, entry: Entry<ClusterDocument>?, final: Position?,
        isCommitted: Bool = true
    ) {
        sequence += 1
        let lease = (document ?? node?.document)?.lease ?? .seconds(1)
        self.word = word
        self.word?.repeatAt = now + lease.scaled(by: 0.1)
        let append = Append(
            term: word.term, sequence: sequence, version: version, entry: entry,
            committed: isCommitted ? version : node?.hard.committedVersion ?? .none, lease: lease)
        deliver(.append(append), from: word.from) { envelope in
            envelope.beacon = beacon(word, entry?.document, final: final)
        }
    }

    func beacon(_ word: LeaderWord, _ newer: ClusterDocument?, final: Position?) -> Beacon {
        var beacon = Beacon(term: word.term, sequence: sequence)
        if word.opened { beacon.primary = (newer ?? node?.document)?.primary }
        beacon.opened = word.opened
        beacon.checkpointTimeline = word.lacksCheckpoint ? nil : beacon.primary?.timeline
        beacon.position = word.position
        beacon.copiers = word.copiers
        beacon.final = final
        return beacon
    }

    // MARK: what must hold of every effect

    /// Complains about an effect that must not be given, by what this stage's disk and guard have said so
    /// far.
    func judge(_ effect: NodeEffect, of node: Node) {
        switch effect {
        case .postgres(_, .clone):
            expect(disk.data.state == .cloning, "a clone is ordered before the record of it is on disk")
        case .postgres(_, .rewind(let plan)):
            expect(disk.data.state == .rewinding, "a rewind is ordered before the record of it is on disk")
            expect(guardian?.isPostgresAlive == false, "a rewind is ordered while Postgres lives")
            expect(word?.lacksCheckpoint == false, "a rewind is ordered before the primary's checkpoint")
            expect(plan.divergence.fork.lsn < plan.divergence.end.lsn, "nothing is to be rewound")
        case .postgres(_, .initialize(let attempt, _)):
            expect(
                disk.data.intent == .founding(attempt: attempt),
                "a database is made before the record of it is on disk")
        case .postgres(_, .promote(let plan)): judge(plan, node)
        case .postgres(_, .startPrimary):
            expect(guardian?.epoch == node.term, "a primary is started with the guard not armed")
        case .postgres(_, .follow):
            expect(postgres.gate == .open || postgres.settled != nil, "follows without knowing its own end")
        case .send(let envelope, _): judge(envelope)
        case .armGuard(_, let deadline):
            let limit = node.raft.leaseEnd.map { $0 - node.raft.timings.killMargin }
            expect(limit.map { deadline <= $0 } ?? false, "the guard is armed past the lease")
        case .disarmGuard:
            expect(guardian?.isPostgresAlive == false, "the guard is disarmed while Postgres lives")
        default: break
        }
        if case .record(let event) = effect { expect(event.kind != "undecided", event.text) }
    }

    private func judge(_ plan: PromotionPlan, _ node: Node) {
        let primary = disk.hard.committed?.document.primary
        expect(guardian?.epoch == node.term, "a promotion is ordered with the guard not armed")
        expect(
            disk.data.intent == .promoting(epoch: node.term, timeline: plan.timeline),
            "a promotion is ordered before the intent is on disk")
        expect(primary?.timeline == plan.timeline, "a promotion is ordered on a timeline not reserved")
        expect(postgres.gate == .closed, "a promotion is ordered with the gate open")
    }

    private func judge(_ envelope: Envelope) {
        switch envelope.body {
        case .frozen(let answer):
            expect(disk.data.frozenTerm >= answer.term, "a freeze is answered before it is on disk")
            if case .frozen = answer.verdict {
                expect(postgres.gate == .closed, "a position is given with the gate open")
                expect(!orders.contains { $0.order.opensGate }, "a position is given while the gate opens")
            }
        case .consensus(.release), .consensus(.timeoutNow):
            expect(guardian?.epoch == nil, "a term is released with the guard armed")
            expect(
                guardian?.isPostgresAlive == false || postgres.state != .primary,
                "a term is released while Postgres may write")
        default: break
        }
    }

    private func expect(_ holds: Bool, _ complaint: String) {
        if !holds { complaints.append(complaint) }
    }
}

extension PostgresOrder {
    var opensGate: Bool { if case .follow = self { true } else { false } }
}
