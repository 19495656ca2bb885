import Config
import Control
import FoundationEssentials
import Glibc
import Peers
import Platform
import Supervision

/// `matriarch`: asks the local agent and shows what it says.
enum CommandLineProgram {
    static let version = "0.1.0"

    static func run(_ arguments: [String]) -> Int32 {
        let parsed: ParsedArguments
        do { parsed = try ArgumentParser.parse(arguments) } catch {
            StandardOutput.complain("matriarch: \(error)\n")
            return ExitCode.usage.rawValue
        }
        switch parsed {
        case .help(let text): StandardOutput.say(text)
        case .version: StandardOutput.say("matriarch \(version)\n")
        case .run(let invocation): return run(invocation).rawValue
        }
        return ExitCode.done.rawValue
    }

    private static func run(_ invocation: Invocation) -> ExitCode {
        let sources = ConfigurationSources(
            machine: LocalMachine.facts, files: LocalMachine.files, path: invocation.config, flags: [])
        let code = run(invocation, .readLeniently(sources))
        // A running agent answers whatever was done to its file since; one that can't start is told apart.
        guard code == .unreachable, case .refused(let errors) = Configuration.read(sources) else {
            return code
        }
        for error in errors { StandardOutput.complain("matriarch: \(error)\n") }
        return .configuration
    }

    private static func run(_ invocation: Invocation, _ configuration: Configuration) -> ExitCode {
        let conversation = Conversation(
            socketPath: ControlServer.socketPath(configuration.runtimeDirectory), invocation: invocation)
        switch invocation.entry.name {
        case "secret create": return createSecret(invocation, configuration)
        case "status": return StatusCommand(conversation).run()
        case "failover": return FailoverCommand(conversation).run()
        case "member list": return MemberListCommand(conversation).run()
        case "member remove", "member promote-voter", "member demote-voter":
            return MemberChangeCommand(conversation).run()
        case "reinit", "pause", "resume": return CareCommand(conversation).run()
        case "restart": return RestartCommand(conversation).run()
        case "events": return EventsCommand(conversation).run()
        default:
            StandardOutput.complain("matriarch: \(invocation.entry.name) is not known\n")
            return .usage
        }
    }

    private static func createSecret(_ invocation: Invocation, _ configuration: Configuration) -> ExitCode {
        let path = invocation["output"] ?? configuration.clusterSecretPath
        do {
            let secret = try ClusterSecret.create(path)
            StandardOutput.say(
                "\(path) written, fingerprint \(secret.fingerprint)\n"
                    + "Copy it to every member, mode 0600, owned by postgres, and set\n"
                    + "cluster_secret_file = '\(path)'\n")
            return .done
        } catch {
            StandardOutput.complain("matriarch: \(error)\n")
            if case .notPermitted = error.problem { return .notPermitted }
            return .refused
        }
    }
}

/// One invocation's talk with the agent.
struct Conversation {
    let socketPath: String
    let invocation: Invocation

    /// Runs a command and collects what it says.
    func ask(
        _ command: String, _ arguments: [String: String] = [:], silence: Int64? = 30_000_000_000,
        receive: (ControlAnswer) -> Void
    ) -> ExitCode {
        do {
            let (code, reason) = try ControlClient(socketPath: socketPath).run(
                ControlRequest(command: command, arguments: arguments), silence: silence, receive: receive)
            if let reason { StandardOutput.complain("matriarch: \(reason)\n") }
            return ExitCode(rawValue: code) ?? .refused
        } catch {
            StandardOutput.complain("matriarch: \(error)\n")
            return error.exitCode
        }
    }

    func status() -> StatusReport? {
        var report: StatusReport?
        let code = ask("status") { answer in
            if case .data(let json) = answer {
                report = try? JSONDecoder().decode(StatusReport.self, from: Data(json))
            }
        }
        return code == .done ? report : nil
    }

    /// The flags that the agent is to see; how its answer is shown is our own business.
    var agentArguments: [String: String] {
        invocation.arguments.filter { !["json", "watch", "no-wait", "rolling"].contains($0.key) }
    }
}
