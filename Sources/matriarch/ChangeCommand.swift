import Consensus
import Control
import FoundationEssentials
import Platform
import Supervision

/// A change that is accepted at once and then takes its time: told, and watched until the status shows it.
struct ChangeCommand {
    private static let look: Int64 = 200_000_000
    let conversation: Conversation
    /// How long to watch before the rest is left to the cluster, in nanoseconds.
    var patience: Int64 = 60_000_000_000

    init(_ conversation: Conversation, patience: Int64 = 60_000_000_000) {
        self.conversation = conversation
        self.patience = patience
    }

    /// - Parameters:
    ///   - isDone: whether a status shows that the change is made.
    ///   - closing: what is said then.
    func run(closing: String, _ isDone: (StatusReport) -> Bool) -> ExitCode {
        let command = conversation.invocation.entry.name
        var accepted: CommandAnswer?
        var json: [UInt8] = []
        let code = conversation.ask(command, conversation.agentArguments) { answer in
            guard case .data(let bytes) = answer else { return }
            json = bytes
            accepted = try? JSONDecoder().decode(CommandAnswer.self, from: Data(bytes))
        }
        guard code == .done, let accepted else { return code == .done ? .refused : code }
        let invocation = conversation.invocation
        if invocation.wantsJSON {
            StandardOutput.say(String(decoding: json, as: UTF8.self) + "\n")
        } else {
            for line in accepted.lines { StandardOutput.say(line + "\n") }
        }
        if invocation.has("no-wait") { return .done }
        return watch(closing) { report in
            // The agent here may be a heartbeat behind the leader.
            guard let wanted = accepted.document, let told = report.document, told >= wanted else {
                return false
            }
            return isDone(report)
        }
    }

    private func watch(_ closing: String, _ isDone: (StatusReport) -> Bool) -> ExitCode {
        let end = BootClock.now() + patience
        var told: String?
        while true {
            let report = conversation.status()
            if let report, isDone(report) {
                if !conversation.invocation.wantsJSON { StandardOutput.say(closing + "\n") }
                return .done
            }
            if let progress = report.flatMap(progress), progress != told {
                told = progress
                if !conversation.invocation.wantsJSON { StandardOutput.say(progress + "\n") }
            }
            guard BootClock.now() < end else {
                StandardOutput.complain(
                    "matriarch: not done within \(patience / 1_000_000_000) s, and it goes on: "
                        + "\(told ?? "see `matriarch status`")\n")
                return .tryAgain
            }
            BootClock.sleep(nanoseconds: ChangeCommand.look)
        }
    }

    /// What the member that the command names is at.
    private func progress(_ report: StatusReport) -> String? {
        guard let name = conversation.invocation["node"],
            let line = report.members.first(where: { $0.name == name })
        else { return nil }
        return "\(name): \(line.state.rawValue)" + (line.reason.map { ", \($0)" } ?? "")
    }
}

/// `matriarch member remove|promote-voter|demote-voter`.
struct MemberChangeCommand {
    let conversation: Conversation

    init(_ conversation: Conversation) { self.conversation = conversation }

    func run() -> ExitCode {
        let name = conversation.invocation["node"] ?? ""
        let change = ChangeCommand(conversation)
        func votes(_ report: StatusReport) -> Bool? { report.members.first { $0.name == name }?.voter }
        switch conversation.invocation.entry.name {
        case "member remove":
            return change.run(closing: "\(name) is removed") { report in
                !report.members.isEmpty && !report.members.contains { $0.name == name }
            }
        case "member promote-voter":
            return change.run(closing: "\(name) votes") { votes($0) == true }
        default: return change.run(closing: "\(name) votes no more") { votes($0) == false }
        }
    }
}
