import Consensus

/// Commands whose answer is awaited from the leader.
struct PendingCommands: Sendable {
    struct Line: Sendable {
        let request: RequestID
        let id: UInt64
        let until: Instant
    }

    /// More than this many people waiting at once are told to try again.
    static let limit = 64

    private(set) var lines: [Line] = []
    private var nextID: UInt64 = 1

    mutating func add(_ request: RequestID, until: Instant) -> UInt64? {
        guard lines.count < PendingCommands.limit else { return nil }
        defer { nextID += 1 }
        lines.append(Line(request: request, id: nextID, until: until))
        return nextID
    }

    mutating func remove(id: UInt64) -> RequestID? {
        guard let index = lines.firstIndex(where: { $0.id == id }) else { return nil }
        return lines.remove(at: index).request
    }

    mutating func removeExpired(at now: Instant) -> [RequestID] {
        let expired = lines.filter { $0.until <= now }.map(\.request)
        lines.removeAll { $0.until <= now }
        return expired
    }
}

/// What people and signals ask for (protocol: Switchover).
extension Node {
    /// Takes times that may change while the node runs; they count from the next use on.
    public mutating func reload(
        stopTimeout: Duration, coldStartWait: Duration, deadMemberRemoval: Duration?
    ) {
        settings.stopTimeout = stopTimeout
        settings.coldStartWait = coldStartWait
        settings.deadMemberRemoval = deadMemberRemoval
    }

    mutating func take(_ command: Command, _ request: RequestID) {
        switch command {
        case .stop:
            if !stopping { record(.init("stopping", .notice, "\(me) was told to stop")) }
            stoppingSince = stoppingSince ?? now
            answer(request, CommandAnswer(verdict: .accepted))
        case .signalSwitchover: takeSignal(request)
        case .switchover(let target, let dryRun, let reason):
            ask(.switchover(target: target, dryRun: dryRun, reason: reason), request)
        case .removeMember, .promoteVoter, .demoteVoter, .reinitialize, .pause, .resume:
            ask(command, request)
        case .restartPostgres(let member):
            if member == me { return takeRestart(.request(request)) }
            askMember(member, command, request)
        }
    }

    private mutating func takeSignal(_ request: RequestID) {
        if isLeader { return ask(.switchover(target: nil, dryRun: false, reason: "signal"), request) }
        if let unfit = unfitToTakeOver { return refuse(request, "\(me) can't take over: \(unfit)") }
        if data.state != .valid {
            return refuse(request, "\(me) can't take over: its data is \(data.state.rawValue)")
        }
        ask(.switchover(target: me, dryRun: false, reason: "signal"), request)
    }

    mutating func refuse(_ request: RequestID, _ reason: String) {
        answer(request, CommandAnswer(verdict: .refused, reason: reason))
    }

    mutating func answer(_ request: RequestID, _ answer: CommandAnswer) {
        if answer.verdict != .accepted {
            record(.init("refused", .warning, "not done: \(answer.reason ?? "no reason given")"))
        }
        effects.append(.answer(request, answer))
    }

    /// Here if this node leads, else through the leader.
    private mutating func ask(_ command: Command, _ request: RequestID) {
        if isLeader { return answer(request, judge(command)) }
        guard let leader = raft.leader, isMember(identity) else {
            let hint =
                "no leader now: a failover goes on by itself as soon as a majority can be reached; "
                + "see `matriarch status`"
            return answer(request, CommandAnswer(verdict: .tryAgain, reason: hint))
        }
        guard let id = commands.add(request, until: now + .seconds(5)) else {
            return answer(request, CommandAnswer(verdict: .tryAgain, reason: "too many commands are waiting"))
        }
        effects.append(
            .send(Envelope(cluster: clusterID, body: .command(id: id, command)), to: .member(leader)))
    }

    /// What a member does to its own Postgres it is asked itself; its answer takes as long as the doing.
    private mutating func askMember(_ member: MemberID, _ command: Command, _ request: RequestID) {
        guard document?.member(member) != nil else { return refuse(request, "\(member) is not a member") }
        guard isReachable(member) else { return refuse(request, "\(member) is not reachable") }
        let until = now + settings.stopTimeout + RestartWish.askersPatience
        guard let id = commands.add(request, until: until) else {
            return answer(request, CommandAnswer(verdict: .tryAgain, reason: "too many commands are waiting"))
        }
        effects.append(
            .send(Envelope(cluster: clusterID, body: .command(id: id, command)), to: .member(member)))
    }

    mutating func takeForwarded(_ command: Command, id: UInt64, from sender: Sender, on channel: Channel?) {
        guard let channel else { return }
        if case .restartPostgres(me) = command { return takeRestart(.forwarded(id, channel)) }
        var verdict = CommandAnswer(verdict: .tryAgain, reason: "\(me) does not lead")
        if isLeader, command.isForLeader { verdict = judge(command) }
        effects.append(
            .send(Envelope(cluster: clusterID, body: .commandAnswer(id: id, verdict)), to: .channel(channel)))
    }

    mutating func takeAnswer(_ verdict: CommandAnswer, id: UInt64) {
        if let request = commands.remove(id: id) { answer(request, verdict) }
    }

    mutating func expireCommands() {
        for request in commands.removeExpired(at: now) {
            answer(
                request,
                CommandAnswer(verdict: .tryAgain, reason: "no answer came in time from who was asked"))
        }
    }

    private mutating func judge(_ command: Command) -> CommandAnswer {
        var answer = judgement(on: command)
        if answer.verdict == .accepted { answer.document = raft.hard.acceptedVersion }
        return answer
    }

    /// As leader: whether it may be done now, and its beginning.
    private mutating func judgement(on command: Command) -> CommandAnswer {
        guard let document else { return CommandAnswer(verdict: .tryAgain, reason: "no cluster yet") }
        switch command {
        case .switchover(let target, let dryRun, let reason):
            return judgeSwitchover(to: target, dryRun: dryRun, reason, document)
        case .removeMember(let member): return judgeRemoval(of: member, document)
        case .promoteVoter(let member): return judgeVote(for: member, document)
        case .demoteVoter(let member): return judgeVoteTaken(from: member, document)
        case .pause(let length, let until): return judgePause(length, until, document)
        case .resume: return judgeResume(document)
        case .reinitialize(let member): return judgeCopy(of: member, document)
        case .signalSwitchover, .stop, .restartPostgres:
            return CommandAnswer(verdict: .refused, reason: "only the node itself can be asked for that")
        }
    }

    private mutating func judgeSwitchover(
        to wish: MemberID?, dryRun: Bool, _ reason: String, _ document: ClusterDocument
    ) -> CommandAnswer {
        if isPaused {
            let reason = "the cluster is paused: nobody is promoted before `matriarch resume`"
            return CommandAnswer(verdict: .refused, reason: reason)
        }
        if let reason = switchoverBlocked(document) {
            return CommandAnswer(verdict: .tryAgain, reason: reason)
        }
        if wish == nil, candidates.isEmpty {
            let why = document.members.filter { $0.id != me }.compactMap { refusal(of: $0.id) }
            let text = why.isEmpty ? "there is no other member" : why.joined(separator: "; ")
            return CommandAnswer(verdict: .refused, reason: "nobody can take over: \(text)")
        }
        let target = wish ?? candidates.first { backlog(of: $0) == nil } ?? candidates.first ?? me
        if let why = refusal(of: target, unlessVoter: false) ?? backlog(of: target) {
            return CommandAnswer(verdict: .refused, reason: why)
        }
        let steps =
            loanSteps(target, document) + [
                "checkpoint on \(me), clients go on writing", "hold new clients, stop Postgres on \(me)",
                "\(target) freezes the herd, compares positions and is promoted"
                    + " on timeline \(document.maximumTimeline + 1)",
                "the others follow \(target); \(me) comes back as replica",
            ]
        if dryRun { return CommandAnswer(verdict: .accepted, lines: steps, target: target) }
        var next = document
        next.switchover = SwitchoverIntent(target: target, from: me, term: raft.term, reason: reason)
        record(.init("switchover", .notice, "handing over from \(me) to \(target) (asked by \(reason))"))
        drive(.propose(next))
        return CommandAnswer(verdict: .accepted, lines: steps, target: target)
    }

    /// Why a planned hand-over to this member had better wait: what it has received it must replay before
    /// anybody writes again.
    private func backlog(of target: MemberID) -> String? {
        guard let document, let mine = postgres?.position, let theirs = report(of: target)?.report.replayed
        else { return nil }
        let left = theirs.behind(mine.lsn)
        guard left > document.maximumLagOnFailover else { return nil }
        return "\(target) has \(left) bytes left to replay, more than maximum_lag_on_failover "
            + "(\(document.maximumLagOnFailover)): nobody could write meanwhile"
    }

    private func switchoverBlocked(_ document: ClusterDocument) -> String? {
        if !writesAsPrimary || !isOpen { return "\(me) is not open as primary yet: \(lastDecision.rule)" }
        if handover != nil || document.switchover != nil { return "a switchover is under way" }
        if isDocumentChanging(document) { return "the document is being changed" }
        return nil
    }
}
