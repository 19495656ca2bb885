import Config
import Control
import Glibc
import Platform

/// What `matriarchd` was asked to do, and the code that it ends with.
enum Program {
    static let version = "0.1.0"

    /// EX_CONFIG: everything that editing, chown or freeing a port mends.
    static let configurationExit: Int32 = 78

    static func run(_ arguments: [String]) -> Int32 {
        let asked: AgentArguments
        do { asked = try AgentArguments(arguments) } catch { return refuse([error]) }
        switch asked.action {
        case .help: return say(AgentArguments.help)
        case .version: return say("matriarchd \(version)\n")
        case .describeConfiguration: return say(SettingsManual.sampleFile)
        case .checkConfiguration: return check(asked)
        case .run: return serve(asked)
        }
    }

    static func sources(_ asked: AgentArguments) -> ConfigurationSources {
        ConfigurationSources(
            machine: LocalMachine.facts, files: LocalMachine.files, path: asked.path, flags: asked.flags)
    }

    private static func check(_ asked: AgentArguments) -> Int32 {
        switch Configuration.read(sources(asked)) {
        case .refused(let errors): return refuse(errors)
        case .ok(let configuration, let notices):
            let problems = configuration.startProblems()
            for problem in problems { StandardOutput.complain("matriarchd: \(problem)\n") }
            guard problems.isEmpty else { return configurationExit }
            return say(SettingsManual.report(on: configuration, notices: notices))
        }
    }

    private static func serve(_ asked: AgentArguments) -> Int32 {
        switch Configuration.read(sources(asked)) {
        case .refused(let errors): return refuse(errors)
        case .ok(let configuration, let notices):
            for notice in notices { Log.notice("\(notice)") }
            let code = Service(configuration, asked).run()
            Log.flush()
            return code
        }
    }

    private static func refuse(_ errors: [ConfigurationError]) -> Int32 {
        for error in errors { StandardOutput.complain("matriarchd: \(error)\n") }
        return configurationExit
    }

    private static func say(_ text: String) -> Int32 {
        StandardOutput.say(text)
        return 0
    }
}
