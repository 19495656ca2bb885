import Consensus

@testable import Supervision

/// How effects look in scripts: one line each; nil for what only keeps the herd together.
enum EffectText {
    static func line(_ effect: NodeEffect, now: Instant) -> String? {
        switch effect {
        case .persist, .storePromise, .connect: nil
        case .send(let envelope, let to): line(envelope).map { "→ \(text(to)): \($0)" }
        case .armGuard(let epoch, let deadline):
            "guard: arm epoch \(epoch) for \((deadline - now).milliseconds) ms"
        case .disarmGuard(let epoch): "guard: disarm epoch \(epoch)"
        case .killPostgres(let reason): "guard: kill, \(reason)"
        case .postgres(_, let order): "postgres: \(text(order))"
        case .cancelOrder(let job): "cancel order \(job)"
        case .route(.primary(let epoch, let host, _, _)): "route: \(host), epoch \(epoch)"
        case .route(.hold(let reason)): "route: hold, \(reason)"
        case .answer(let request, let answer): "answer \(request): \(text(answer))"
        case .record(let event):
            "event \(event.kind) (\(event.level.rawValue)): \(event.text)" + phases(of: event)
        case .exit: "exit"
        case .startOver(let data, let origin):
            "start over as a new instance of \(origin.cluster), data \(data.rawValue)"
        }
    }

    static func text(_ destination: Destination) -> String {
        switch destination {
        case .member(let member): member.name
        case .channel(let channel): "channel \(channel)"
        case .everyone: "everyone"
        }
    }

    static func line(_ envelope: Envelope) -> String? {
        switch envelope.body {
        case .consensus(.timeoutNow(let request)):
            "campaign now, term \(request.term)" + (envelope.beacon?.final.map { ", final \($0)" } ?? "")
        case .consensus(.release(let term)): "released term \(term)"
        case .consensus: nil
        case .freeze(let term): "freeze for term \(term)"
        case .frozen(let answer): "frozen for term \(answer.term): \(text(answer))"
        case .join(let request): "may \(request.member.id) (\(request.member.instance)) join?"
        case .joinAnswer(let answer):
            "join: \(answer.refusal ?? "asked"), leader \(answer.leaderAddress ?? "unknown")"
        case .founder(let hello): "founder of \(hello.expected)" + (hello.isBlank ? "" : ", not blank")
        case .foundingProposal(let proposal):
            "found \(proposal.document.clusterID) with \(names(proposal.founders)),"
                + " voters \(names(proposal.document.voters.current))?"
        case .foundingGrant(let cluster): "agree to \(cluster)"
        case .rolledBack(let verdict): "you were at state \(verdict.reached) before"
        case .command(let id, _): "command \(id)"
        case .commandAnswer(let id, let answer): "command \(id) \(text(answer))"
        case .question, .reply, .news: nil
        }
    }

    private static func text(_ answer: FreezeAnswer) -> String {
        let verdict =
            switch answer.verdict {
            case .frozen(let position): "ends at \(position)"
            case .pending(let why): "pending, \(why)"
            case .noData: "no data"
            case .refused(let why): "refused, \(why)"
            }
        return verdict + (answer.unpromotable.map { ", unpromotable: \($0)" } ?? "")
            + (answer.isLastPrimary ? ", last primary" : "")
            + (answer.lastPrimary.map { ", heard the primary at \($0)" } ?? "")
    }

    static func text(_ answer: CommandAnswer) -> String {
        answer.verdict.rawValue + (answer.reason.map { ": \($0)" } ?? "")
            + (answer.target.map { " (target \($0))" } ?? "")
    }

    static func text(_ order: PostgresOrder) -> String {
        switch order {
        case .initialize(let attempt, _): "initialize for attempt \(attempt)"
        case .startStandby, .startPrimary: order.name
        case .stop(let bound): "stop within \(bound.milliseconds) ms"
        case .freeze, .checkpoint, .examine: order.name
        case .follow(let upstream):
            "follow \(upstream.member) on timeline \(upstream.timeline) as \(upstream.applicationName)"
        case .promote(let plan): "promote on timeline \(plan.timeline), skip \(plan.skip)"
        case .clone(let plan): "clone \(plan.source.member) as \(plan.source.applicationName)"
        case .rewind(let plan):
            "rewind to \(plan.source.member) as \(plan.source.applicationName), \(plan.divergence);"
                + " siblings \(names(plan.siblings.map(\.member)))"
        case .tendSlots(let goals): "tend slots \(goals.map(EffectText.text))"
        case .configure(let configuration):
            "configure as \(configuration.isPrimary ? "primary" : "standby"),"
                + " slots \(configuration.slots.map { String($0.dropFirst(10).prefix(1)) })"
        }
    }

    private static func text(_ goal: SlotGoal) -> String {
        let place = goal.reached.map { "to \($0)" } ?? "stays"
        return "\(goal.slot.dropFirst(10).prefix(1)) \(place)"
    }

    private static func phases(of event: EventRecord) -> String {
        if event.phases.isEmpty { return "" }
        let texts = event.phases.map { "\($0.name) \(Int($0.milliseconds)) ms" }
        return " [\(texts.joined(separator: ", "))]"
    }

    /// The document in a line: what scripts change, and what rules look at.
    static func line(_ document: ClusterDocument) -> String {
        var words: [String] = []
        if let primary = document.primary {
            let status = document.currentLineage?.status.rawValue ?? "unknown"
            words.append(
                "primary \(primary.member) epoch \(primary.epoch) timeline \(primary.timeline) \(status)")
        }
        words.append("voters \(names(document.voters.current))")
        if let next = document.voters.next { words.append("→ \(names(next))") }
        let others = document.members.filter { !document.voters.contains($0.id) }
        if !others.isEmpty { words.append("learners \(names(others.map(\.id)))") }
        let leaving = document.members.filter(\.isLeaving).map(\.id)
        if !leaving.isEmpty { words.append("leaving \(names(leaving))") }
        let mute = document.members.filter { $0.ballot == .never }.map(\.id)
        if !mute.isEmpty { words.append("voteless \(names(mute))") }
        if !document.removed.isEmpty { words.append("removed \(names(document.removed.map(\.id)))") }
        let returned = document.members.filter { $0.incarnation > 1 }
        for member in returned { words.append("\(member.id)×\(member.incarnation)") }
        let copies = document.members.filter { $0.copiesAsked > 0 }
        for member in copies { words.append("copy \(member.copiesAsked) of \(member.id)") }
        if let pause = document.pause {
            words.append("paused" + (pause.milliseconds.map { " for \($0) ms" } ?? ""))
        }
        if let wish = document.switchover { words.append("switchover \(wish.from)→\(wish.target)") }
        if let loan = document.loan { words.append("vote lent to \(loan.target) by \(names(loan.before))") }
        if let founding = document.founding, document.systemIdentifier == nil {
            words.append("founding \(founding.attempt) by \(founding.member)")
        }
        return words.joined(separator: " ")
    }

    static func names(_ members: [MemberID]) -> String { members.map(\.name).joined(separator: ",") }

    static func text(_ record: DataRecord) -> String {
        let intent =
            switch record.intent {
            case .standby: "standby"
            case .founding(let attempt): "founding \(attempt)"
            case .promoting(let epoch, let timeline): "promoting \(epoch) to \(timeline)"
            case .primary(let epoch): "primary \(epoch)"
            }
        return "data \(record.state.rawValue), frozen \(record.frozenTerm), intent \(intent)"
    }
}
