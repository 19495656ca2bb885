import Consensus

/// An operator's wish to have this member's Postgres stopped and started again, answered when it is back.
struct RestartWish: Sendable {
    enum Asker: Hashable, Sendable {
        case request(RequestID)
        case forwarded(UInt64, Channel)
    }

    /// How long a start may take, after a stop within its own bound, before the asker is told to look later.
    static let patience: Duration = .seconds(30)
    /// The asker's: longer, so that the member's own answer comes first.
    static let askersPatience: Duration = .seconds(60)

    var asker: Asker
    var since: Instant
    var isStopped = false
}

/// Restarting Postgres and nothing else: a primary keeps its role and its lease meanwhile.
extension Node {
    mutating func takeRestart(_ asker: RestartWish.Asker) {
        if let why = restartWish == nil ? refusalToRestart : "it is being restarted" {
            return reply(
                .init(verdict: .refused, reason: "\(me)'s Postgres is not restarted: \(why)"), to: asker)
        }
        restartWish = RestartWish(asker: asker, since: now)
        record(.init("restart", .notice, "Postgres on \(me) is restarted (asked by command)"))
    }

    /// Why Postgres here is better left alone now; nil when it may be restarted.
    var refusalToRestart: String? {
        if view.isWitness { return "a witness has none" }
        if stopping { return "the node is being stopped" }
        if handover != nil || isHandoverPending { return "a switchover is under way" }
        if !isAlive { return "it does not run" }
        if isHeldFrozen { return "a failover is under way" }
        if data.state != .valid { return "its data is \(data.state.rawValue)" }
        if isLeader { return isOpen ? nil : "it is not open as primary yet" }
        return postgresState == .standby ? nil : "it is \(postgresState.rawValue)"
    }

    /// Answers once Postgres is back in its part, or when that takes too long.
    mutating func concludeRestart() {
        guard let wish = restartWish else { return }
        if wish.isStopped, work == nil, isAlive, isOpen || postgres?.streaming == true && !isLeader {
            restartWish = nil
            let lines = ["Postgres on \(me) was restarted"]
            return reply(CommandAnswer(verdict: .accepted, lines: lines, target: me), to: wish.asker)
        }
        guard stopping || now - wish.since > settings.stopTimeout + RestartWish.patience else { return }
        restartWish = nil
        let why = lastDecision.reason ?? lastDecision.rule
        reply(
            CommandAnswer(verdict: .tryAgain, reason: "\(me)'s Postgres is not back: \(why)"), to: wish.asker)
    }

    private mutating func reply(_ verdict: CommandAnswer, to asker: RestartWish.Asker) {
        switch asker {
        case .request(let request): answer(request, verdict)
        case .forwarded(let id, let channel):
            effects.append(
                .send(
                    Envelope(cluster: clusterID, body: .commandAnswer(id: id, verdict)), to: .channel(channel)
                ))
        }
    }
}
