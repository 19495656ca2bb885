import Consensus

/// What a leader knows and has done in its own term; gone when it stops leading.
struct Reign: Sendable {
    let term: Term
    let startedAt: Instant
    /// When this member first stood for election: the failure was noticed.
    let detectedAt: Instant
    /// When a leader was last heard before this one: the failure lies between.
    let lastHeard: Instant
    private(set) var answers: [(member: MemberID, answer: FreezeAnswer, at: Instant)] = []
    var majorityFrozenAt: Instant?
    var promoted: (timeline: Timeline, switchLSN: LSN)?
    var promotedAt: Instant?
    var promotionFailed = false
    /// When this term's timeline was set aside: its promotion must be over within a bound.
    private(set) var reservedAt: Instant?
    /// A hand-over was begun and came to nothing in this term.
    var handoverEnded = false
    var restarts = 0
    var postgresDiedAt: Instant?
    var checkpointed = false
    /// When this leader's Postgres was first writable for clients in this term.
    var openedAt: Instant?
    var followedAt: Instant?
    var resumed = false
    var lagReported = false
    /// Since when this leader listens for each member: from its first commit that lists this instance.
    private var listening: [(member: MemberID, instance: Instance, since: Instant)] = []
    /// Dead members of which people know that they stay.
    var keptDead: [MemberID] = []

    init(term: Term, startedAt: Instant, detectedAt: Instant, lastHeard: Instant) {
        self.term = term
        self.startedAt = startedAt
        self.detectedAt = detectedAt
        self.lastHeard = lastHeard
    }

    mutating func hear(_ answer: FreezeAnswer, from member: MemberID, at now: Instant) {
        guard answer.term == term else { return }
        var answer = answer
        if let known = self.answer(of: member) {
            // Where a frozen log ended stays true though its Postgres may be down by now, and what was heard
            // once stays heard though the agent may have forgotten it.
            if case .frozen = known.verdict, case .pending = answer.verdict { answer.verdict = known.verdict }
            answer.lastPrimary = answer.lastPrimary ?? known.lastPrimary
        }
        answers.removeAll { $0.member == member }
        answers.append((member, answer, now))
        answers.sort { $0.member < $1.member }
    }

    func answer(of member: MemberID) -> FreezeAnswer? { answers.first { $0.member == member }?.answer }

    /// Whether the member has said its last word: frozen, or nothing to freeze.
    func isFinal(_ member: MemberID) -> Bool {
        switch answer(of: member)?.verdict {
        case .frozen, .noData: true
        case .pending, .refused, nil: false
        }
    }

    func listensSince(_ member: MemberID) -> Instant? { listening.first { $0.member == member }?.since }

    mutating func learn(_ document: ClusterDocument, at now: Instant) {
        listening.removeAll { document.instance(of: $0.member) != $0.instance }
        for member in document.members where listensSince(member.id) == nil {
            listening.append((member.id, member.instance, now))
        }
        if document.switchover == nil { handoverEnded = false }
        guard let lineage = document.currentLineage, lineage.epoch == term else { return }
        if lineage.status == .reserved, reservedAt == nil { reservedAt = now }
        if lineage.status == .open, promotedAt == nil { promotedAt = now }
    }

    mutating func postgresDied(at now: Instant) {
        postgresDiedAt = now
        openedAt = nil
    }
}

/// A planned hand-over on its way; only on the leader that is the primary.
struct Handover: Sendable {
    var target: MemberID
    let startedAt: Instant
    var checkpointed = false
    var isClosed = false
    var isStopped = false

    init(target: MemberID, startedAt: Instant) {
        self.target = target
        self.startedAt = startedAt
    }
}
