import Consensus
import Control
import FoundationEssentials
import Glibc
import Platform
import Supervision

struct StatusCommand {
    private static let interval: Int64 = 1_000_000_000
    let conversation: Conversation

    init(_ conversation: Conversation) { self.conversation = conversation }

    func run() -> ExitCode {
        guard conversation.invocation.has("watch") else { return show() }
        while true {
            if StandardOutput.isTerminal { StandardOutput.say("\u{1B}[H\u{1B}[2J") }
            let code = show()
            if code != .done && code != .unreachable { return code }
            BootClock.sleep(nanoseconds: StatusCommand.interval)
        }
    }

    private func show() -> ExitCode {
        var shown = ExitCode.refused
        let code = conversation.ask("status") { answer in
            guard case .data(let json) = answer else { return }
            if conversation.invocation.wantsJSON {
                StandardOutput.say(String(decoding: json, as: UTF8.self) + "\n")
                shown = .done
            } else if let report = try? JSONDecoder().decode(StatusReport.self, from: Data(json)) {
                let isTerminal = StandardOutput.isTerminal
                let view = StatusView(report: report, colours: isTerminal, width: StandardOutput.width)
                StandardOutput.say(view.text)
                shown = .done
            }
        }
        return code == .done ? shown : code
    }
}

struct MemberListCommand {
    let conversation: Conversation

    init(_ conversation: Conversation) { self.conversation = conversation }

    func run() -> ExitCode {
        conversation.ask("member list") { answer in
            guard case .data(let json) = answer else { return }
            if conversation.invocation.wantsJSON {
                return StandardOutput.say(String(decoding: json, as: UTF8.self) + "\n")
            }
            guard let lines = try? JSONDecoder().decode([MemberLine].self, from: Data(json)) else {
                return StandardOutput.complain("matriarch: the agent's list of members can't be read\n")
            }
            let rows = lines.map { line in
                [
                    line.name, line.address, line.region, line.kind, line.voter ? "voter" : "learner",
                    line.tags.isEmpty ? "-" : line.tags.joined(separator: ","),
                ]
            }
            let header = ["NAME", "ADDRESS", "REGION", "KIND", "VOTER", "TAGS"]
            for line in TextTable.lines([header] + rows) { StandardOutput.say(line + "\n") }
        }
    }
}

struct EventsCommand {
    let conversation: Conversation

    init(_ conversation: Conversation) { self.conversation = conversation }

    func run() -> ExitCode {
        let follows = conversation.invocation.has("follow")
        let silence: Int64? = follows ? nil : 30_000_000_000
        return conversation.ask("events", conversation.agentArguments, silence: silence) { answer in
            switch answer {
            case .line(let text): StandardOutput.complain(text + "\n")
            case .exit: break
            case .data(let json):
                if conversation.invocation.wantsJSON {
                    return StandardOutput.say(String(decoding: json, as: UTF8.self) + "\n")
                }
                if let event = try? JSONDecoder().decode(LoggedEvent.self, from: Data(json)) { show(event) }
            }
        }
    }

    private func show(_ event: LoggedEvent) {
        let phases = event.phases.map { " \($0.name) \(Int($0.milliseconds.rounded())) ms" }.joined(
            separator: ",")
        let tail = phases.isEmpty ? "" : " [\(phases.dropFirst())]"
        StandardOutput.say(
            "\(event.time)  \(event.node)  term \(event.term)  \(event.kind): \(event.text)\(tail)\n")
    }
}

struct FailoverCommand {
    /// How long the whole hand-over may take before the command stops to watch, in nanoseconds.
    private static let patience: Int64 = 60_000_000_000
    private static let look: Int64 = 50_000_000
    let conversation: Conversation

    init(_ conversation: Conversation) { self.conversation = conversation }

    func run() -> ExitCode {
        guard let before = conversation.status() else { return .unreachable }
        var accepted: CommandAnswer?
        let code = conversation.ask("failover", conversation.agentArguments) { answer in
            guard case .data(let json) = answer else { return }
            accepted = try? JSONDecoder().decode(CommandAnswer.self, from: Data(json))
        }
        guard code == .done, let accepted, let target = accepted.target else {
            return code == .done ? .refused : code
        }
        if conversation.invocation.has("dry-run") { return tellPlan(accepted, target.name) }
        if conversation.invocation.has("no-wait") {
            StandardOutput.say("Failover to \(target) has begun\n")
            return .done
        }
        return watch(FailoverStory(before: before, target: target.name))
    }

    private func tellPlan(_ answer: CommandAnswer, _ target: String) -> ExitCode {
        if conversation.invocation.wantsJSON, let json = try? JSONEncoder().encode(answer) {
            StandardOutput.say(String(decoding: json, as: UTF8.self) + "\n")
            return .done
        }
        StandardOutput.say("Would hand over to \(target):\n")
        for line in answer.lines { StandardOutput.say("  \(line)\n") }
        StandardOutput.say("Nothing was changed\n")
        return .done
    }

    private func watch(_ begun: FailoverStory) -> ExitCode {
        var story = begun
        say(story.opening())
        let end = BootClock.now() + FailoverCommand.patience
        var lastReason: String?
        while BootClock.now() < end {
            if let report = conversation.status() {
                say(story.see(report))
                lastReason = report.reason
                if story.isComplete { return .done }
                if story.wasAbandoned(report) {
                    StandardOutput.complain(
                        "matriarch: the switchover was abandoned; see `matriarch events`\n")
                    return .refused
                }
            }
            BootClock.sleep(nanoseconds: FailoverCommand.look)
        }
        StandardOutput.complain(
            "matriarch: not finished within 60 s: \(lastReason ?? "see `matriarch status`")\n")
        return .tryAgain
    }

    private func say(_ lines: [String]) {
        for line in lines { StandardOutput.say(line + "\n") }
    }
}
