import Consensus
import Supervision

/// Short words for the trace: what happened, what was done.
enum Describe {
    static func role(_ node: Node) -> String { (node.isLeader ? "L" : "f") + String(node.term) }

    static func event(_ event: NodeEvent) -> String {
        switch event {
        case .tick: "tick"
        case .received(let envelope, let sender, _): "\(sender.member) \(body(envelope.body))"
        case .persisted(let token): "persisted \(token)"
        case .stateUnwritten(let trouble):
            trouble.map { "the disk refuses: \($0)" } ?? "the disk takes writes"
        case .guardReported: "guard reports"
        case .guardLost: "guard lost"
        case .postgresReported: "postgres reports"
        case .writeProbed(let began): began == nil ? "a write failed" : "a write passed"
        case .postgresFinished(let job, let outcome): "order \(job) \(result(outcome.result))"
        case .postgresProgress(let job, let text): "order \(job): \(text)"
        case .postgresNoted(let job, let text): "order \(job) notes: \(text)"
        case .requested(_, let command): "asked \(command)"
        }
    }

    /// Nil for what repeats without changing anything: heartbeats and their answers, renewals, routes.
    static func effect(_ effect: NodeEffect) -> String? {
        switch effect {
        case .persist(let state, let token): "persist \(token): \(durable(state))"
        case .storePromise: nil
        case .send(let envelope, let destination):
            isRoutine(envelope.body) ? nil : sent(envelope, destination)
        case .armGuard: nil
        case .disarmGuard(let epoch): "disarm guard, epoch \(epoch)"
        case .killPostgres(let reason): "kill Postgres: \(reason)"
        case .postgres(let job, let order): "order \(job): \(self.order(order))"
        case .cancelOrder(let job): "cancel order \(job)"
        case .route(let route): self.route(route)
        case .connect(let peers): "connect to \(peers.map(\.host).joined(separator: " "))"
        case .answer(_, let answer): "answer \(answer.verdict) \(answer.reason ?? "")"
        case .record(let event): "event \(event.kind): \(event.text)"
        case .exit: "exit"
        case .startOver: "start over as a new instance"
        }
    }

    private static func sent(_ envelope: Envelope, _ destination: Destination) -> String {
        switch destination {
        case .member(let member): "send \(body(envelope.body)) to \(member)"
        case .channel: "answer \(body(envelope.body))"
        case .everyone: "send \(body(envelope.body)) to everyone"
        }
    }

    private static func route(_ route: Route) -> String? {
        switch route {
        case .primary: nil
        case .hold(let reason): "hold clients: \(reason)"
        }
    }

    private static func durable(_ state: DurableState) -> String {
        let vote = state.hard.votedFor.map { " vote \($0.candidate)" } ?? ""
        return "term \(state.hard.term)\(vote) accepted \(state.hard.acceptedVersion)"
            + " committed \(state.hard.committedVersion) data \(state.data.state)"
            + " frozen \(state.data.frozenTerm)"
    }

    private static func isRoutine(_ body: Envelope.Body) -> Bool {
        switch body {
        case .consensus(.append(let append)): append.entry == nil
        case .consensus(.appendAnswer), .founder: true
        default: false
        }
    }

    static func body(_ body: Envelope.Body) -> String {
        switch body {
        case .consensus(let message): self.message(message)
        case .freeze(let term): "freeze \(term)"
        case .frozen(let answer): "frozen \(answer.term) \(verdict(answer.verdict))"
        case .join: "join"
        case .joinAnswer(let answer): "join \(answer.refusal ?? "answer")"
        case .founder: "founder"
        case .foundingProposal: "founding proposal"
        case .foundingGrant: "founding grant"
        case .rolledBack(let verdict): "you were at state \(verdict.reached) before"
        case .command(_, let command): "command \(command)"
        case .commandAnswer(_, let answer): "command \(answer.verdict)"
        case .news: "news"
        case .question(_, let text): "question \(text)"
        case .reply: "reply"
        }
    }

    private static func verdict(_ verdict: FreezeAnswer.Verdict) -> String {
        switch verdict {
        case .frozen(let position): "at \(position)"
        case .pending(let why): "pending: \(why)"
        case .noData: "no data"
        case .refused(let why): "refused: \(why)"
        }
    }

    private static func message(_ message: Message<ClusterDocument>) -> String {
        switch message {
        case .preVote(let request): "preVote \(request.term)"
        case .vote(let request): "vote \(request.term)"
        case .voteAnswer(let answer):
            (answer.isPreVote ? "preVote" : "vote") + " \(answer.requestedTerm) "
                + (answer.refusal.map { "no: \($0)" } ?? "yes")
        case .append(let append):
            "append \(append.term)" + (append.entry.map { " entry \($0.version)" } ?? "")
        case .appendAnswer(let answer): "stored \(answer.stored)"
        case .timeoutNow(let message): "timeoutNow \(message.term)"
        case .release(let term): "release \(term)"
        case .offer(_, let entry, _): "offer \(entry.version)"
        }
    }

    static func order(_ order: PostgresOrder) -> String {
        switch order {
        case .initialize(let attempt, _): "initialize, attempt \(attempt)"
        case .startStandby: "start standby"
        case .startPrimary: "start primary"
        case .stop: "stop"
        case .freeze: "freeze"
        case .follow(let upstream): "follow \(upstream.member) as \(upstream.applicationName)"
        case .promote(let plan): "promote to timeline \(plan.timeline)"
        case .clone(let plan): "clone from \(plan.source.member)"
        case .rewind(let plan): "rewind to \(plan.source.member), \(plan.divergence)"
        case .configure(let configuration): "configure, synchronous \(configuration.synchronousStandbys)"
        case .tendSlots: "tend slots"
        case .checkpoint: "checkpoint"
        case .examine: "examine"
        }
    }

    static func result(_ result: PostgresOutcome.Result) -> String {
        switch result {
        case .done: "done"
        case .promoted(let timeline, let start): "promoted to \(timeline) at \(start)"
        case .failed(let why): "failed: \(why)"
        case .impossible(let why): "impossible: \(why)"
        }
    }
}
