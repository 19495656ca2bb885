import Consensus
import Control
import FoundationEssentials
import Platform
import Supervision

/// `matriarch reinit|pause|resume`.
struct CareCommand {
    /// A copy takes as long as it takes; after this the rest is left to the cluster.
    private static let copyPatience: Int64 = 3_600_000_000_000
    let conversation: Conversation

    init(_ conversation: Conversation) { self.conversation = conversation }

    func run() -> ExitCode {
        switch conversation.invocation.entry.name {
        case "pause":
            return ChangeCommand(conversation).run(closing: "The cluster is paused", \.paused)
        case "resume":
            return ChangeCommand(conversation).run(closing: "The cluster is not paused") { !$0.paused }
        default: return reinitialize()
        }
    }

    private func reinitialize() -> ExitCode {
        let name = conversation.invocation["node"] ?? ""
        var hasBegun = false
        let change = ChangeCommand(conversation, patience: CareCommand.copyPatience)
        return change.run(closing: "\(name) is a valid copy again") { report in
            guard let line = report.members.first(where: { $0.name == name }) else { return false }
            if [.cloning, .joining].contains(line.state) { hasBegun = true }
            return hasBegun && line.state == .started && line.checks.passing == line.checks.total
        }
    }
}

/// `matriarch restart [NODE|--rolling]`.
struct RestartCommand {
    /// A stop within its bound and a start.
    private static let silence: Int64 = 200_000_000_000
    private static let patience: Int64 = 120_000_000_000
    private static let look: Int64 = 200_000_000
    let conversation: Conversation

    init(_ conversation: Conversation) { self.conversation = conversation }

    func run() -> ExitCode {
        let invocation = conversation.invocation
        guard invocation.has("rolling") else { return restart(invocation["node"]) }
        if invocation["node"] != nil {
            StandardOutput.complain("matriarch: NODE and --rolling exclude each other\n")
            return .usage
        }
        return roll()
    }

    private func restart(_ name: String?) -> ExitCode {
        var arguments: [String: String] = [:]
        if let name { arguments["node"] = name }
        return conversation.ask("restart", arguments, silence: RestartCommand.silence) { answer in
            guard case .data(let json) = answer else { return }
            if conversation.invocation.wantsJSON {
                return StandardOutput.say(String(decoding: json, as: UTF8.self) + "\n")
            }
            let accepted = try? JSONDecoder().decode(CommandAnswer.self, from: Data(json))
            for line in accepted?.lines ?? [] { StandardOutput.say(line + "\n") }
        }
    }

    /// Replicas first, each waited for; then the primary hands over and is the last.
    private func roll() -> ExitCode {
        guard let before = conversation.status() else { return .unreachable }
        guard let primary = before.primary, before.writable else {
            StandardOutput.complain("matriarch: there is no writable primary: nothing is restarted\n")
            return .tryAgain
        }
        let replicas = before.members.filter { $0.role == .replica }.map(\.name)
        for name in replicas {
            let code = restart(name)
            guard code == .done else { return code }
            guard waits(until: { isHealthy(name, $0) }) else { return stopped(at: name) }
        }
        if !replicas.isEmpty {
            let code = conversation.ask("failover") { _ in }
            guard code == .done else { return code }
            StandardOutput.say("\(primary) hands over\n")
            let moved = waits { $0.writable && $0.primary != primary && isHealthy(primary, $0) }
            guard moved else { return stopped(at: primary) }
        }
        let code = restart(primary)
        guard code == .done else { return code }
        return waits { isHealthy(primary, $0) && $0.writable } ? .done : stopped(at: primary)
    }

    private func isHealthy(_ name: String, _ report: StatusReport) -> Bool {
        report.members.contains { $0.name == name && $0.checks.passing == $0.checks.total }
    }

    private func waits(until isDone: (StatusReport) -> Bool) -> Bool {
        let end = BootClock.now() + RestartCommand.patience
        while BootClock.now() < end {
            if let report = conversation.status(), isDone(report) { return true }
            BootClock.sleep(nanoseconds: RestartCommand.look)
        }
        return false
    }

    private func stopped(at name: String) -> ExitCode {
        StandardOutput.complain(
            "matriarch: \(name) is not healthy again within \(RestartCommand.patience / 1_000_000_000) s: "
                + "the rest is not restarted; see `matriarch status`\n")
        return .tryAgain
    }
}
