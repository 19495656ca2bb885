import Consensus
import TestSupport

@testable import Supervision

/// The vocabulary of the scripts.
extension Stage {
    func perform(_ command: ScriptCommand) throws {
        switch command.name {
        case "start": try start(command)
        case "hear": try hear(command)
        case "peer": try changePeer(command)
        case "lead": lead(command)
        case "guard": try changeGuard(command)
        case "postgres": try report(command)
        case "write": probe(command)
        case "done": try finish(command)
        case "progress": feed(.postgresProgress(orders.first?.job ?? 0, spaced(command.words[0])))
        case "disk": changeDisk(command)
        case "run":
            pass(try Words(command).duration(command.words.first ?? ""), hearing: command.has("hearing"))
        case "stop": feed(.requested(1, .stop))
        case "signal": feed(.requested(2, .signalSwitchover))
        case "switchover": feed(.requested(3, wish(command)))
        case "ask": feed(.requested(4, try wish(of: command)))
        case "show": show()
        default: try performAsPeer(command)
        }
    }

    private func performAsPeer(_ command: ScriptCommand) throws {
        let member = MemberID(command.bare.first ?? "")
        switch command.name {
        case "freeze":
            deliver(.freeze(term: term(command)), from: sender(member))
        case "frozen": deliver(.frozen(try answer(command)), from: sender(member))
        case "released": try release(command, member)
        case "vote": ask(command, member)
        case "join": join(command, member)
        case "founder":
            let hello = FounderHello(
                member: Founders.member(member), expected: try command.number("expect"),
                isBlank: !command.has("not-blank"))
            deliver(.founder(hello), from: sender(member))
        case "proposal":
            let proposal = Founders.proposal(
                by: member, of: try command.value("of").split(separator: ",").map { MemberID(String($0)) })
            deliver(.foundingProposal(proposal), from: sender(member))
        case "grant":
            deliver(.foundingGrant(cluster: node?.grant?.document.clusterID ?? ""), from: sender(member))
        case "life":
            let life = Life(began: try command.number("began"), reached: try command.number("reached"))
            lives[member] = (try Words(command).optional("nonce") ?? 7, life)
        case "rolled-back":
            let verdict = RollbackVerdict(
                nonce: try Words(command).optional("nonce") ?? 5, reached: try command.number("reached"),
                isLed: command.has("led"))
            deliver(.rolledBack(verdict), from: sender(member))
        case "forwarded": deliver(.command(id: 77, wish(command)), from: sender(member))
        case "forwarded-restart":
            deliver(.command(id: 77, .restartPostgres(node?.me ?? "")), from: sender(member))
        case "answered":
            let answer = CommandAnswer(verdict: .refused, reason: spaced(try command.value("refused")))
            deliver(.commandAnswer(id: try command.number("id"), answer), from: sender(member))
        default: throw command.unknown()
        }
    }

    // MARK: this machine

    private func start(_ command: ScriptCommand) throws {
        let words = Words(command)
        let me = MemberID(command.bare.first ?? "a")
        if command["members"] != nil { document = try words.document(nil) }
        var durable = DurableState(instance: command["instance"] ?? "\(me)#1", member: me)
        if let document, !command.has("bare") {
            let version = Version(term: document.primary?.epoch ?? 0, index: 1)
            durable.hard.term = try words.optional("term") ?? version.term
            durable.hard.accepted = Entry(version: version, document: document)
            durable.hard.committed = durable.hard.accepted
        }
        durable.data = try words.record()
        durable.sequence = try words.optional("sequence") ?? 0
        boot(durable, try words.settings(me, document), isSameBoot: !command.has("booted"))
    }

    private func boot(_ durable: DurableState, _ settings: NodeSettings, isSameBoot: Bool) {
        disk = durable
        (writes, orders, pending) = ([], [], [])
        guardian = nil
        node = Node(
            settings: settings, durable: durable, promise: nil, sameBoot: isSameBoot, nonce: 5, seed: 3,
            now: now, rules: table)
        feed(.tick)
    }

    /// Without a script: `me` finds its Postgres running as primary under `epoch`.
    func begin(as me: MemberID, with document: ClusterDocument, armed epoch: Term) {
        self.document = document
        var durable = DurableState(instance: "\(me)#1", member: me)
        durable.hard.term = epoch
        durable.hard.accepted = Entry(version: Version(term: epoch, index: 1), document: document)
        durable.hard.committed = durable.hard.accepted
        durable.data.state = .valid
        durable.data.intent = .primary(epoch: epoch)
        boot(durable, Founders.settings(Founders.member(me)), isSameBoot: true)
        guardian = GuardReport(
            epoch: epoch, deadline: now + .milliseconds(600), highestDisarmed: 0, isPostgresAlive: true)
        if let guardian { feed(.guardReported(guardian)) }
    }

    private func changeGuard(_ command: ScriptCommand) throws {
        if command.has("lost") {
            guardian = nil
            return feed(.guardLost)
        }
        if command.has("manual") { isGuardManual = true }
        if command.has("obeys") { isGuardManual = false }
        guard command.has("alive") || command.has("dead") else { return }
        let words = Words(command)
        let validity = try command["for"].map(words.duration) ?? .zero
        let report = GuardReport(
            epoch: try words.optional("armed"), deadline: now + validity,
            highestDisarmed: try words.optional("spent") ?? guardian?.highestDisarmed ?? 0,
            isPostgresAlive: command.has("alive"))
        guardian = report
        feed(.guardReported(report))
    }

    private func report(_ command: ScriptCommand) throws {
        if !command.has("late") {
            postgres = try Words(command).report(from: postgres, at: now)
            return feed(.postgresReported(postgres))
        }
        // Taken before what is known by now.
        var old = try Words(command).report(from: postgres, at: now)
        old.takenAt = .zero
        feed(.postgresReported(old))
    }

    private func probe(_ command: ScriptCommand) {
        areWritesManual = true
        if command.has("passed") { feed(.writeProbed(now)) }
        if command.has("failed") { feed(.writeProbed(nil)) }
    }

    /// Ends the oldest order of the foreground, or with `background` of the background; what the report says
    /// then follows from the order, but for the words given.
    private func finish(_ command: ScriptCommand) throws {
        let wanted = command.has("background")
        guard let place = orders.firstIndex(where: { $0.order.isBackground == wanted }) else {
            throw ScriptError(place: command.place, problem: "no such order is running")
        }
        let (job, order) = orders.remove(at: place)
        var result = PostgresOutcome.Result.done
        let didFail = command["failed"] != nil || command["impossible"] != nil
        if let reason = command["failed"] { result = .failed(spaced(reason)) }
        if let reason = command["impossible"] { result = .impossible(spaced(reason)) }
        if !didFail { succeed(order) }
        if case .promote(let plan) = order, !didFail {
            let position = postgres.settled ?? Position(timeline: 1, lsn: .zero)
            result = .promoted(timeline: plan.timeline, switchLSN: position.lsn)
            postgres.position = Position(timeline: plan.timeline, lsn: position.lsn)
            if let text = command["promoted"] {
                let position = try Words(command).position(text)
                result = .promoted(timeline: position.timeline, switchLSN: position.lsn)
                postgres.position = position
            }
            postgres.settled = nil
        }
        postgres = try Words(command).report(from: postgres, at: now)
        tellGuardOfProcess(after: order, didFail: didFail)
        pending.append(.postgresFinished(job, PostgresOutcome(result: result, report: postgres)))
        feed(.tick)
    }

    private func tellGuardOfProcess(after order: PostgresOrder, didFail: Bool) {
        guard !didFail, var report = guardian else { return }
        switch order {
        case .startStandby, .startPrimary: report.isPostgresAlive = true
        case .stop: report.isPostgresAlive = false
        default: return
        }
        if report != guardian { tellGuard(report) }
    }

    private func succeed(_ order: PostgresOrder) {
        switch order {
        case .initialize(let attempt, _):
            (postgres.state, postgres.foundingMarker, postgres.systemIdentifier) = (.stopped, attempt, 7)
        case .startStandby: (postgres.state, postgres.gate, postgres.settled) = (.standby, .closed, nil)
        case .startPrimary: (postgres.state, postgres.settled) = (.primary, nil)
        case .stop:
            (postgres.state, postgres.gate, postgres.settled) = (.stopped, .closed, postgres.position)
            postgres.streaming = false
        case .freeze:
            (postgres.gate, postgres.settled, postgres.streaming) = (.closed, postgres.position, false)
        case .follow(let upstream):
            (postgres.gate, postgres.settled, postgres.streaming) = (.open, nil, true)
            postgres.streamingFrom = "\(upstream.address):\(upstream.port)"
            postgres.streamingName = upstream.applicationName
        case .promote: postgres.state = .primary
        case .clone(let plan): (postgres.state, postgres.systemIdentifier) = (.stopped, plan.systemIdentifier)
        case .rewind: (postgres.state, postgres.settled) = (.stopped, nil)
        case .configure, .tendSlots, .checkpoint, .examine: break
        }
    }

    private func changeDisk(_ command: ScriptCommand) {
        isDiskSlow = !command.has("fast")
        if let reason = command["refuses"] { return feed(.stateUnwritten(spaced(reason))) }
        if !isDiskSlow {
            if node?.stateTrouble != nil { feed(.stateUnwritten(nil)) }
            finishWrites()
            feed(.tick)
        }
    }

    private func lead(_ command: ScriptCommand) {
        pass(.seconds(5), hearing: false) { self.node?.isLeader == true }
        if node?.isLeader != true { say("does not lead") }
    }

    private func show() {
        guard let node else { return }
        let rule = node.decision.rule + (node.decision.reason.map { ": \($0)" } ?? "")
        say("term \(node.term), leader \(node.leader?.name ?? "none"), rule \(rule)")
        say(EffectText.text(node.data))
        if let document = node.document { say(EffectText.line(document)) }
        let status = node.status(at: now)
        if status.primary == node.settings.member.id.name {
            say(status.writable ? "writable" : "not writable: \(status.reason ?? "no reason")")
        }
    }

    // MARK: the others

    /// A leader's append; with changes to the document it carries a new entry, committed unless
    /// `uncommitted`.
    private func hear(_ command: ScriptCommand) throws {
        let words = Words(command)
        let from = MemberID(command.bare.first ?? "")
        let known = node?.hard.accepted?.document ?? document
        let isNews = command.words.contains { Words.changesDocument($0) } || node?.document == nil
        var entry: Entry<ClusterDocument>?
        if isNews {
            let changed = try words.document(known)
            document = changed
            let version = Version(term: term(command), index: (node?.hard.acceptedVersion.index ?? 0) + 1)
            entry = Entry(version: version, document: changed)
        }
        let word = LeaderWord(
            from: from, term: term(command), opened: command.has("opened"),
            position: try command["at"].map(words.position),
            lacksCheckpoint: command.has("no-checkpoint"), copiers: words.names("copiers"), repeatAt: now)
        let version = entry?.version ?? node?.hard.acceptedVersion ?? .none
        say(word, version: version, entry: entry, final: nil, isCommitted: !command.has("uncommitted"))
        feed(.tick)
    }

    private func changePeer(_ command: ScriptCommand) throws {
        for name in (command.bare.first ?? "").split(separator: ",") {
            let member = MemberID(String(name))
            if command.has("silent") {
                answering[member] = nil
                continue
            }
            let report = try Words(command).memberReport()
            answering[member] = report
            guard node?.isLeader != true else { continue }
            // Known from the days when this node followed.
            node?.reports.append(HeardReport(member: member, report: report, at: now))
        }
    }

    func term(_ command: ScriptCommand) -> Term {
        command["term"].flatMap { Term($0) } ?? node?.term ?? 0
    }

    private func answer(_ command: ScriptCommand) throws -> FreezeAnswer {
        let words = Words(command)
        var verdict = FreezeAnswer.Verdict.noData
        if let text = command["at"] { verdict = .frozen(try words.position(text)) }
        if let text = command["pending"] { verdict = .pending(spaced(text)) }
        return FreezeAnswer(
            term: term(command), verdict: verdict,
            dataState: command["data"].flatMap { DataState(rawValue: $0) } ?? .valid,
            unpromotable: command["unpromotable"].map(spaced), isLastPrimary: command.has("last"),
            lastPrimary: try command["heard"].map(words.position))
    }

    private func release(_ command: ScriptCommand, _ member: MemberID) throws {
        let final = try command["final"].map(Words(command).position)
        let word = LeaderWord(from: member, term: term(command), opened: false, repeatAt: now)
        let given = beacon(word, nil, final: final)
        deliver(.release(term: term(command)), from: member) { $0.beacon = given }
        if command.has("to-me") {
            deliver(.timeoutNow(TimeoutNow(term: term(command))), from: member) { $0.beacon = given }
        }
        feed(.tick)
    }

    private func ask(_ command: ScriptCommand, _ member: MemberID) {
        let request = VoteRequest(
            term: term(command), accepted: node?.hard.acceptedVersion ?? .none, releasedTerm: 0)
        deliver(.vote(request), from: member)
        feed(.tick)
    }

    private func join(_ command: ScriptCommand, _ member: MemberID) {
        var joining = Founders.member(member)
        if let instance = command["instance"] { joining.instance = instance }
        if let address = command["address"] { joining.address = address }
        if let tags = command["tags"] { joining.tags = tags.split(separator: ",").map(String.init) }
        var request = JoinRequest(
            member: joining, systemIdentifier: command["system"].flatMap { UInt64($0) })
        request.postgresMajor = command["postgres"].flatMap { Int($0) }
        deliver(
            .join(request),
            from: Sender(
                member: member, instance: joining.instance,
                nonce: command["nonce"].flatMap { UInt64($0) } ?? 7))
    }

    private func wish(_ command: ScriptCommand) -> Command {
        .switchover(
            target: command["to"].map { MemberID($0) }, dryRun: command.has("dry-run"), reason: "command")
    }

    private func words(_ command: ScriptCommand) throws -> Int64? {
        try command["for"].map(Words(command).duration)?.milliseconds
    }

    private func wish(of command: ScriptCommand) throws -> Command {
        let member = MemberID(command.bare.dropFirst().first ?? "")
        switch command.bare.first {
        case "remove": return .removeMember(member)
        case "promote-voter": return .promoteVoter(member)
        case "demote-voter": return .demoteVoter(member)
        case "reinit": return .reinitialize(member)
        case "restart": return .restartPostgres(member)
        case "pause": return .pause(milliseconds: try words(command), until: nil)
        case "resume": return .resume
        default: throw command.unknown()
        }
    }

    /// Scripts have no spaces inside a value.
    func spaced(_ text: String) -> String { String(text.map { $0 == "_" ? " " : $0 }) }
}
