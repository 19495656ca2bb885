import Consensus

/// One row of the table that decides what a member does next. The first that applies wins.
struct Rule: Sendable {
    /// Appears in logs, events, `status` and `explain`.
    let name: String
    /// The reason that the rule exists, for `explain` and the manual.
    let why: String
    let applies: @Sendable (Node) -> Bool
    let action: @Sendable (Node) -> Action
}

/// What a rule asks for. Values only; what is large lies apart, as nearly every step asks for nothing.
enum Action: Hashable, Sendable {
    /// Content for now; the text says what is being waited for, nil when nothing is.
    case wait(String?)
    case order(PostgresOrder)
    case background(PostgresOrder)
    case cancelWork(String)
    case kill(String)
    case arm
    case disarm
    indirect case write(DataRecord)
    /// The data is given up, or about to be taken back: written, and told why.
    indirect case giveUp(DataRecord, String)
    case propose(ClusterDocument, String)
    /// The same primary goes on in a new term.
    case resume(ClusterDocument)
    /// Sets a timeline aside, and notes in the same write what it is for.
    case reserve(ClusterDocument)
    /// Begins to remove a member that was silent too long.
    case removeDead(MemberID, ClusterDocument)
    /// Give the term back; everything of the own Postgres is proven dead or in recovery.
    case release(to: MemberID?, String)
    case beginHandover(MemberID)
    case closeClients
    case markHandoverStopped
    case abandonHandover(String)
    case exit
    /// Leave everything behind that this instance remembers.
    case startOver
}

extension Rule {
    /// The whole table, in order.
    static let all: [Rule] =
        safety + Node.unwrittenState + waiting + stopping + founding + primacy + handingOver + primaryDuties
        + freezing + choosing + copying + settling + diverging + following
}

extension Node {
    /// The most rules that one event may set off; more means that two rules undo each other.
    static let decisionLimit = 24

    mutating func decideUntilContent() {
        for _ in 0..<Node.decisionLimit {
            countFrozen()
            answerFreeze()
            reportFitness()
            if !perform(decide()) { return }
        }
        record(.init("undecided", .alarm, "rules keep setting each other off, last \(lastDecision.rule)"))
    }

    private mutating func decide() -> Action {
        for rule in rules where rule.applies(self) {
            let action = rule.action(self)
            note(rule, action)
            return action
        }
        return .wait(nil)
    }

    private mutating func note(_ rule: Rule, _ action: Action) {
        var reason: String?
        if case .wait(let text) = action { reason = text }
        if case .kill(let text) = action { reason = text }
        lastDecision = Decision(rule: rule.name, reason: reason)
    }

    /// Carries an action out; false when the rules are content (or must wait for the world).
    private mutating func perform(_ action: Action) -> Bool {
        switch action {
        case .wait: return false
        case .order(let order): return start(order, inBackground: false)
        case .background(let order): return start(order, inBackground: true)
        case .cancelWork(let reason): return cancelWork(reason)
        case .kill(let reason): return kill(reason)
        case .arm: return arm()
        case .disarm: return disarm()
        case .write(let record):
            write(record)
            return true
        case .giveUp(let record, let reason):
            isRewindAhead = record.state == .rewinding
            self.record(.init(record.state.rawValue, .notice, "\(me): \(reason)"))
            write(record)
            return true
        case .propose(let document, let text): return propose(document, text)
        case .removeDead(let member, let document):
            self.record(.init("member-leaving", .warning, "\(deadText(member)): it is removed"))
            return propose(document, "")
        case .reserve(let document):
            guard raft.canPropose else { return false }
            var record = data
            record.intent = .promoting(epoch: raft.term, timeline: document.maximumTimeline)
            write(record)
            return propose(document, "timeline \(document.maximumTimeline) is reserved for \(me)")
        case .resume(let document):
            guard propose(document, "\(me) goes on as primary in term \(raft.term)") else { return false }
            reign?.resumed = true
            return true
        case .release(let target, let text): return release(to: target, text)
        case .beginHandover(let target):
            handover = Handover(target: target, startedAt: now)
            reign?.handoverEnded = true
            return true
        case .closeClients:
            handover?.isClosed = true
            drive(.beat)
            return true
        case .markHandoverStopped:
            handover?.isStopped = true
            return true
        case .abandonHandover(let reason):
            record(.init("switchover-abandoned", .warning, reason))
            handover = nil
            return true
        case .exit: return leave(.exit)
        case .startOver:
            // A torn directory stays known as torn; any other must prove itself.
            let isTorn = data.state == .cloning || data.state == .rewinding
            let origin = Belonging(cluster: clusterID ?? "", peers: lastPeers)
            return leave(.startOver(keeping: isTorn ? .cloning : .none, from: origin))
        }
    }

    private mutating func leave(_ effect: NodeEffect) -> Bool {
        guard !hasExited else { return false }
        hasExited = true
        effects.append(effect)
        return false
    }

    private mutating func start(_ order: PostgresOrder, inBackground: Bool) -> Bool {
        let begun = Work(job: nextJob, order: order, since: now, progress: nil)
        nextJob += 1
        if case .startPrimary = order { reign?.restarts += 1 }
        if case .tendSlots = order { slotsTendedAt = now }
        if case .stop = order, restartWish?.isStopped == false, !stopping {
            restartWish?.isStopped = true
            // Not for lack of a Postgres that comes up.
            reign?.restarts -= 1
        }
        if inBackground { background = begun } else { work = begun }
        effects.append(.postgres(begun.job, order))
        logStart(order)
        return true
    }

    private mutating func cancelWork(_ reason: String) -> Bool {
        guard var running = work, !running.isCancelled else { return false }
        running.isCancelled = true
        work = running
        effects.append(.cancelOrder(running.job))
        record(.init("cancelled", .notice, "\(running.order.name) on \(me) is called off: \(reason)"))
        return false
    }

    private mutating func kill(_ reason: String) -> Bool {
        guard killAskedAt.map({ now - $0 >= .milliseconds(250) }) ?? true else { return false }
        killAskedAt = now
        effects.append(.killPostgres(reason: reason))
        record(.init("fenced", .warning, "ending Postgres on \(me): \(reason)"))
        return false
    }

    private mutating func arm() -> Bool {
        guard let deadline = guardDeadline, armAskedAt.map({ now - $0 >= .milliseconds(100) }) ?? true
        else { return false }
        armAskedAt = now
        effects.append(.armGuard(epoch: raft.term, deadline: deadline))
        return false
    }

    private mutating func disarm() -> Bool {
        guard let epoch = armedEpoch, disarmAskedAt.map({ now - $0 >= .milliseconds(100) }) ?? true
        else { return false }
        disarmAskedAt = now
        effects.append(.disarmGuard(epoch: epoch))
        return false
    }

    private mutating func propose(_ document: ClusterDocument, _ text: String) -> Bool {
        guard raft.canPropose else { return false }
        if !text.isEmpty { record(.init("document", .info, text)) }
        drive(.propose(document))
        return true
    }

    private mutating func release(to target: MemberID?, _ text: String) -> Bool {
        invariant(armedEpoch == nil, "released term \(raft.term) with the guard armed for \(armedEpoch ?? 0)")
        invariant(
            !isAlive || postgresState != .primary, "released term \(raft.term) while Postgres may write")
        if let target { transfers.append((target, now)) }
        if transfers.count > 16 { transfers.removeFirst() }
        let ended = handover
        record(.init("released", .notice, text))
        if ended != nil, let end = postgres?.settled { finalOnRelease = end }
        drive(.release(to: target))
        finalOnRelease = nil
        return true
    }
}
