import Consensus

/// How events look in scripts and traces: one line each, members and terms by name.
enum TraceText {
    static func time(_ instant: Instant) -> String {
        instant == .distantFuture ? "never" : seconds(instant.nanoseconds)
    }

    static func duration(_ duration: Duration) -> String { seconds(duration.nanoseconds) }

    /// Seconds with three digits, rounded to the nearest millisecond.
    private static func seconds(_ nanoseconds: Int64) -> String {
        let milliseconds = (nanoseconds + (nanoseconds < 0 ? -500_000 : 500_000)) / 1_000_000
        let rest = String(abs(milliseconds) % 1000)
        let sign = milliseconds < 0 ? "-" : ""
        return "\(sign)\(abs(milliseconds) / 1000).\(String(repeating: "0", count: 3 - rest.count))\(rest)s"
    }

    static func line(_ id: MemberID, _ happening: Herd.Happening) -> String {
        switch happening {
        case .effect(let effect): "\(id) \(text(effect))"
        case .guardArmed(let epoch, let until): "\(id) guard armed for \(epoch) until \(time(until))"
        case .guardEnded: "\(id) guard disarmed"
        }
    }

    static func text(_ effect: Raft<TestDocument>.Effect) -> String {
        switch effect {
        case .persist(let token): "persists #\(token)"
        case .storePromise(let promise):
            "promises \(promise.leader) of term \(promise.term) until \(time(promise.until))"
        case .send(let message, let to): "→ \(to) \(text(message))"
        case .sendWhenDurable(let message, let to): "→ \(to) once durable: \(text(message))"
        case .becameLeader(let term): "leads term \(term)"
        case .steppedDown(let term, let reason): "steps down from term \(term): \(reason)"
        case .committed(let entry): "commits \(text(entry))"
        case .leaseExtended(let sentAt): "has a lease from \(time(sentAt))"
        }
    }

    static func text(_ entry: Entry<TestDocument>) -> String { "\(entry.version) [\(entry.document)]" }

    /// The word by which scripts pick messages.
    static func kind(_ message: Message<TestDocument>) -> String {
        switch message {
        case .preVote: "pre-vote"
        case .vote: "vote"
        case .voteAnswer: "vote-answer"
        case .append: "append"
        case .appendAnswer: "append-answer"
        case .timeoutNow: "timeout-now"
        case .release: "release"
        case .offer: "offer"
        }
    }

    static func text(_ message: Message<TestDocument>) -> String {
        switch message {
        case .preVote(let request): "pre-vote? \(text(request))"
        case .vote(let request): "vote? \(text(request))"
        case .voteAnswer(let answer): text(answer)
        case .append(let append): text(append)
        case .appendAnswer(let answer):
            "answer \(answer.term)/\(answer.sequence) stored=\(answer.stored)"
                + (answer.coversLease ? "" : " does not cover the lease")
        case .timeoutNow(let request): "timeout now, term \(request.term)"
        case .release(let term): "released term \(term)"
        case .offer(let term, let entry, let committed):
            "offer in term \(term): \(text(entry)) committed=\(committed)"
        }
    }

    private static func text(_ request: VoteRequest) -> String {
        "term \(request.term) accepted=\(request.accepted)"
            + (request.releasedTerm > 0 ? " released=\(request.releasedTerm)" : "")
    }

    private static func text(_ answer: VoteAnswer<TestDocument>) -> String {
        let what = answer.isPreVote ? "pre-vote" : "vote"
        let verdict = answer.refusal.map { "no, \($0)" } ?? "yes"
        let newer = answer.newer.map { ", newer: \(text($0))" } ?? ""
        return "\(what) \(answer.requestedTerm): \(verdict) (term \(answer.term)\(newer))"
    }

    private static func text(_ append: Append<TestDocument>) -> String {
        let entry = append.entry.map { text($0) } ?? "\(append.version)"
        return "append \(append.term)/\(append.sequence) \(entry) committed=\(append.committed)"
            + " lease=\(duration(append.lease))"
    }
}
