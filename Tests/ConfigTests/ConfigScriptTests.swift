import Config
import TestSupport
import Testing

/// Settings as people write them, and what the agent says to each: the scripts are the specification.
@Suite struct ConfigScriptTests {
    @Test(arguments: Script.all())
    func settings(_ script: Script) throws {
        var world = ConfigurationWorld()
        try script.run { command in try world.answer(command) }
    }
}

/// Files, environment and flags of an imagined machine, filled by the script's commands.
private struct ConfigurationWorld {
    private var files: [String: String] = [:]
    private var machine = ConfigurationWorld.newMachine()
    private var flags: [String] = []
    private var running: Configuration?

    private static func newMachine() -> Machine {
        Machine(
            hostName: "db1", addresses: ["10.0.0.1", "fd00::1"],
            postgresBinDirectories: ["/usr/lib/postgresql/9.6/bin", "/usr/lib/postgresql/15/bin"],
            environment: [:])
    }

    mutating func answer(_ command: ScriptCommand) throws -> String {
        switch command.name {
        case "machine":
            self = ConfigurationWorld()
            machine.hostName = command["host"] ?? machine.hostName
            if command.has("lonely") { machine.addresses = [] }
            if command.has("no-postgres") { machine.postgresBinDirectories = [] }
            return ""
        case "file":
            files[command.bare.first ?? ConfigurationSources.standardPath] = command.input.joined(
                separator: "\n")
            return ""
        case "environment":
            for line in command.input {
                let parts = line.split(separator: "=", maxSplits: 1).map(String.init)
                machine.environment[parts[0]] = parts.count > 1 ? parts[1] : ""
            }
            return ""
        case "flags":
            flags = command.words
            return ""
        case "read": return read(showing: command.words)
        case "start":
            guard case .ok(let configuration, _) = outcome() else { return read(showing: []) }
            running = configuration
            return ""
        case "reload": return try reload(showing: command.words)
        case "lenient": return show(command.words, in: .readLeniently(try sources()))
        default: throw command.unknown()
        }
    }

    private func sources() throws(ConfigurationError) -> ConfigurationSources {
        let arguments = try AgentArguments(flags)
        let access = ConfigurationFiles(
            bytes: { path in
                if path.hasSuffix("secret.conf") { return .failure(.unreadable("Permission denied")) }
                return files[path].map { .success(Self.bytes($0)) } ?? .failure(.missing)
            },
            names: { directory in
                let inside = files.keys.filter { $0.hasPrefix(directory + "/") }
                let names = inside.map { String($0.dropFirst(directory.count + 1)) }
                return names.isEmpty ? .failure(.missing) : .success(names.reversed())
            })
        return ConfigurationSources(
            machine: machine, files: access, path: arguments.path, flags: arguments.flags)
    }

    /// Scripts are UTF-8 themselves: `<E9>` stands for that byte.
    private static func bytes(_ text: String) -> [UInt8] {
        var bytes: [UInt8] = []
        var rest = text[...]
        while let mark = rest.firstMatch(of: #/<([0-9A-F]{2})>/#) {
            bytes += rest[..<mark.range.lowerBound].utf8
            bytes.append(UInt8(mark.1, radix: 16) ?? 0)
            rest = rest[mark.range.upperBound...]
        }
        return bytes + rest.utf8
    }

    private func outcome() -> ConfigurationOutcome {
        do {
            return .read(try sources())
        } catch {
            return .refused([error])
        }
    }

    private func read(showing keys: [String]) -> String {
        switch outcome() {
        case .refused(let errors): return errors.map { "refused: \($0)" }.joined(separator: "\n")
        case .ok(let configuration, let notices):
            let ours = notices.filter { $0.key != "synchronous_mode" || keys.contains("notices") }
            return ([show(keys, in: configuration)] + ours.map { "note: \($0)" }).joined(separator: "\n")
        }
    }

    private func show(_ keys: [String], in configuration: Configuration) -> String {
        keys.compactMap { key in
            Setting.named(key).map { setting in
                "\(key) = '\(setting.text(in: configuration))' from \(configuration.origin(of: key))"
            }
        }.joined(separator: "\n")
    }

    private mutating func reload(showing keys: [String]) throws -> String {
        guard let old = running, case .ok(let new, _) = outcome() else { return read(showing: []) }
        let result = old.reloaded(with: new)
        running = result
        return (old.changes(to: new).map(\.description) + [show(keys, in: result)]).joined(separator: "\n")
    }
}

extension ConfigurationOutcome {
    fileprivate static func read(_ sources: ConfigurationSources) -> Self { Configuration.read(sources) }
}
