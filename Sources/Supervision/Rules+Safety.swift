import Consensus

extension Rule {
    /// Fencing comes before everything else.
    static let safety: [Rule] = [
        Rule(
            name: "guard-unknown",
            why: "Without the guard's word nobody knows whether Postgres here may write.",
            applies: { $0.guardian == nil }, action: { _ in .wait("the guard does not answer") }),
        Rule(
            name: "rolled-back-fence", why: "What this member promised and froze for, it may have forgotten.",
            applies: { $0.rollback != nil && $0.isAlive },
            action: { _ in .kill("this member was put back to an older state") }),
        Rule(
            name: "rolled-back", why: "Who was put back to an older state comes back as a new instance.",
            applies: { $0.rollback != nil },
            action: { node in
                if node.rollback?.isLed == true { return .startOver }
                return .wait(
                    "this member was put back to an older state, and nobody leads who could take it in again")
            }),
        Rule(
            name: "overthrown",
            why: "Somebody leads a later term: whatever is written here now would be lost.",
            applies: { $0.isOverthrown && $0.isAlive },
            action: { node in
                let leader = node.raft.leader?.name ?? "another"
                return .kill("term \(node.armedEpoch ?? 0) is over, \(leader) leads \(node.raft.term)")
            }),
        Rule(
            name: "promotion-abandoned",
            why:
                "pg_promote() can't be called back: who is deposed while promoting would write later.",
            applies: { $0.isAlive && $0.isPromotionOrphaned },
            action: { .kill("the term in which it was being promoted (\($0.armedEpoch ?? 0)) is over") }),
        Rule(
            name: "lease-ending", why: "A primary whose majority is silent must be gone before the lease is.",
            applies: { node in
                guard node.isAlive, let due = node.demotionDue, node.hasLedHere,
                    node.work?.order.isStop != true
                else { return false }
                return node.now >= due && node.handover?.isClosed != true
            },
            action: { node in
                guard node.work == nil else { return .wait("the guard ends Postgres at the lease's end") }
                let left = max((node.guardian?.deadline ?? node.now) - node.now, .milliseconds(1))
                return .order(.stop(bound: left))
            }),
        Rule(
            name: "disarm-the-dead", why: "An epoch that may not be used again must not stay armed.",
            applies: { $0.armedEpoch != nil && !$0.isAlive && !$0.isEntitledToEpoch },
            action: { _ in .disarm }),
    ]

    /// Things under way that the rules below must not disturb.
    static let waiting: [Rule] = [
        Rule(
            name: "call-off-copy", why: "A copy of what is no longer the primary is of no use.",
            applies: { node in
                guard let source = node.work?.order.source, node.work?.isCancelled == false else {
                    return false
                }
                return node.stopping
                    || (node.hasOpenLineage && node.document?.primary?.timeline != source.timeline)
            },
            action: { .cancelWork($0.stopping ? "the node is being stopped" : "the primary has changed") }),
        Rule(
            name: "order-running", why: "One order at a time.",
            applies: { $0.work != nil },
            action: { node in
                let progress = node.work?.progress.map { ", \($0)" } ?? ""
                return .wait("\(node.work?.order.name ?? "") is running\(progress)")
            }),
        Rule(
            name: "record-on-its-way", why: "What is about to be done is on disk before it is done.",
            applies: { !$0.ledger.isDataDurable && !($0.stopping && $0.stateTrouble != nil) },
            action: { .wait($0.unwrittenReason ?? "the state file is being written") }),
        Rule(
            name: "postgres-unknown", why: "Nothing is decided before the data directory has been looked at.",
            applies: { $0.postgres == nil }, action: { _ in .wait("looking at Postgres") }),
    ]

    /// SIGTERM: hand over, stop, end.
    static let stopping: [Rule] = [
        Rule(
            name: "stop-after-handover", why: "A planned stop of the primary is a switchover first.",
            applies: { node in
                node.stopping && node.isOpen && node.handover == nil && !node.isHandoverPending
                    && node.stopCandidate != nil
            },
            action: { node in
                guard let target = node.stopCandidate, var document = node.document else { return .wait(nil) }
                guard node.raft.canPropose else { return .wait("a change of the document is on its way") }
                if document.switchover != nil {
                    document.switchover = nil
                    return .propose(document, "an unfinished switchover is dropped")
                }
                document.switchover = SwitchoverIntent(
                    target: target, from: node.me, term: node.raft.term, reason: "stop")
                return .propose(document, "\(node.me) is being stopped: handing over to \(target)")
            }),
        Rule(
            name: "stop-postgres", why: "The node was told to stop.",
            applies: { $0.stopping && $0.isAlive && $0.handover == nil && !$0.isHandoverPending },
            action: { .order(.stop(bound: $0.settings.stopTimeout)) }),
        Rule(
            name: "stop-release", why: "Others should not have to wait for a lease that nobody needs.",
            applies: {
                $0.stopping && !$0.isAlive && $0.isLeader && $0.armedEpoch == nil && $0.handover == nil
            },
            action: { .release(to: $0.restartCandidate, "\($0.me) is being stopped") }),
        Rule(
            name: "stopped", why: "Postgres is stopped and the node may end.",
            applies: { $0.stopping && !$0.isAlive && $0.armedEpoch == nil && $0.handover == nil },
            // A disk that refuses keeps nobody here: what is not on it was not said to anybody.
            action: {
                $0.ledger.isClean || $0.stateTrouble != nil ? .exit : .wait("the state file is being written")
            }),
        Rule(
            name: "restart-postgres", why: "An operator wants it stopped and started again.",
            applies: { $0.restartWish?.isStopped == false && $0.refusalToRestart == nil },
            action: { .order(.stop(bound: $0.settings.stopTimeout)) }),
    ]
}

extension PostgresOrder {
    var isStop: Bool { if case .stop = self { true } else { false } }

    /// Whom it copies from.
    var source: Upstream? {
        switch self {
        case .clone(let plan): plan.source
        case .rewind(let plan): plan.source
        case .initialize, .startStandby, .startPrimary, .stop, .freeze, .follow, .promote, .configure,
            .tendSlots, .checkpoint, .examine:
            nil
        }
    }
}

extension Node {
    /// Someone else leads, or led, a later term than the one that the guard here is armed for.
    var isOverthrown: Bool {
        guard let epoch = armedEpoch else { return false }
        if overthrownTerm >= epoch { return true }
        if let leader = raft.leader, leader != me, raft.term > epoch { return true }
        guard let primary = document?.primary else { return false }
        return primary.epoch > epoch && primary.member != me
    }

    /// A committed wish of this term that this primary is about to carry out.
    var isHandoverPending: Bool {
        guard isOpen, handover == nil, reign?.handoverEnded == false, let intent = document?.switchover else {
            return false
        }
        return intent.term == raft.term && intent.from == me
    }

    /// Armed for a promotion that this leader no longer stands behind.
    var isPromotionOrphaned: Bool {
        guard let epoch = armedEpoch else { return false }
        if isLeader, raft.term == epoch { return false }
        guard let document, document.primary?.member == me else { return true }
        return !document.hasOpenPrimary
    }

    /// Dead, but to be started again as primary under this very epoch.
    var isEntitledToEpoch: Bool {
        isLeader && armedEpoch == raft.term && holdsPrimacy && handover?.isStopped != true && !stopping
            && leaseAhead && !mustLetGo
    }

    /// Whether this very agent led a term: only then it begins to stop by itself before the guard's deadline.
    /// One that just came back resumes, or leaves it to the guard.
    var hasLedHere: Bool { reign != nil || wasPrimaryHere }
}
