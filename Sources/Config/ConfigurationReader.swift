/// Everything that a configuration is read from; a later one wins: default, file, environment, flag.
public struct ConfigurationSources {
    public static let standardPath = "/etc/matriarch/matriarch.conf"

    public var machine: Machine
    public var files: ConfigurationFiles
    /// Nil: the standard path, which may be missing.
    public var path: String?
    public var flags: [SettingFlag]

    public init(machine: Machine, files: ConfigurationFiles, path: String? = nil, flags: [SettingFlag] = []) {
        self.machine = machine
        self.files = files
        self.path = path
        self.flags = flags
    }
}

/// A setting given on the command line.
public struct SettingFlag: Hashable, Sendable {
    /// As typed, for messages: `--lease_duration`.
    public let name: String
    public let key: String
    public let value: String
}

/// What a program gets from its settings: all of them, or every reason why not.
public enum ConfigurationOutcome: Sendable {
    case ok(Configuration, notices: [ConfigurationNotice])
    case refused([ConfigurationError])
}

extension Configuration {
    /// Reads all sources and checks every value and how they go together.
    public static func read(_ sources: ConfigurationSources) -> ConfigurationOutcome {
        var reader = ConfigurationReader(sources)
        reader.readAll()
        let check = ConfigurationCheck(reader.configuration)
        let errors = reader.errors + check.contradictions(leavingOut: reader.brokenKeys)
        if errors.isEmpty {
            return .ok(reader.configuration, notices: reader.notices + check.notices)
        }
        return .refused(errors)
    }

    /// What can be read, with defaults for the rest: enough for the command line to find a running agent,
    /// whose settings may have been broken after it started.
    public static func readLeniently(_ sources: ConfigurationSources) -> Configuration {
        var reader = ConfigurationReader(sources)
        reader.readAll()
        return reader.configuration
    }
}

/// Applies one source after the other and keeps all that is wrong with them.
struct ConfigurationReader {
    /// Deeper nesting of include_dir is a circle.
    static let maximumIncludeDepth = 10

    private(set) var configuration: Configuration
    private(set) var errors: [ConfigurationError] = []
    private(set) var notices: [ConfigurationNotice] = []
    /// Keys whose value was refused; contradictions that name them would be noise.
    private(set) var brokenKeys: [String] = []
    private let sources: ConfigurationSources

    init(_ sources: ConfigurationSources) {
        self.sources = sources
        configuration = Configuration(machine: sources.machine)
    }

    mutating func readAll() {
        readDefaultVariables()
        readFile(sources.path ?? ConfigurationSources.standardPath, mayBeMissing: sources.path == nil)
        readEnvironment()
        for flag in sources.flags { take(flag.key, flag.value, from: .flag(flag.name)) }
        resolveDefaults()
    }

    private func variable(_ name: String) -> String? {
        sources.machine.environment[name].flatMap { $0.isEmpty ? nil : $0 }
    }

    private mutating func readDefaultVariables() {
        for setting in Setting.all {
            for name in setting.defaultVariables {
                if let value = variable(name) { take(setting.key, value, from: .environment(name)) }
            }
        }
        configuration.operatorPassword = variable("OPERATOR_PASSWORD").map(Secret.init)
        configuration.replicationPassword = variable("REPL_PASSWORD").map(Secret.init)
    }

    /// A mistyped variable is refused; one that only shares our prefix (container platforms make
    /// `MATRIARCH_SERVICE_HOST` and the like by themselves) is none of our business.
    private mutating func readEnvironment() {
        for setting in Setting.all {
            if let value = variable(setting.variable) {
                take(setting.key, value, from: .environment(setting.variable))
            }
        }
        let prefix = Setting.variablePrefix
        let known = Setting.all.map { String($0.variable.dropFirst(prefix.count)) }
        for name in sources.machine.environment.keys.sorted() where name.hasPrefix(prefix) {
            let word = String(name.dropFirst(prefix.count))
            if known.contains(word) { continue }
            if let meant = Nearest.match(for: word, among: known) {
                let problem = "no such setting; did you mean \(prefix)\(meant)?"
                errors.append(ConfigurationError(.unknownKey, at: .environment(name), problem))
            }
        }
    }

    private mutating func readFile(_ path: String, mayBeMissing: Bool = false, depth: Int = 0) {
        switch sources.files.bytes(path) {
        case .success(let bytes):
            for entry in ConfigurationFile.parse(bytes) {
                switch entry {
                case .success(let line): take(line, of: path, depth: depth)
                case .failure(let problem):
                    let origin = Origin.file(path: path, line: problem.number)
                    errors.append(ConfigurationError(.syntax, at: origin, problem.text.withoutControls))
                }
            }
        case .failure(.missing):
            if !mayBeMissing { refuse(file: path, "there is no such file") }
        case .failure(.unreadable(let reason)):
            refuse(file: path, "cannot be read: \(reason)")
        }
    }

    private mutating func refuse(file path: String, _ problem: String) {
        errors.append(ConfigurationError(.file, at: .file(path: path, line: nil), problem))
    }

    private mutating func take(_ line: ConfigurationFile.Line, of path: String, depth: Int) {
        let origin = Origin.file(path: path, line: line.number)
        guard line.key == "include_dir" else {
            let earlier = configuration.origin(of: line.key)
            if case .file = earlier {
                let text = "was set at \(earlier) already; this later line counts"
                notices.append(ConfigurationNotice(origin: origin, key: line.key, text: text))
            }
            return take(line.key, line.value, from: origin)
        }
        guard depth < Self.maximumIncludeDepth else {
            let problem = "is nested more than \(Self.maximumIncludeDepth) deep; does it include itself?"
            return refuse(.contradiction, line.key, line.value, origin, problem)
        }
        include(directory: absolute(line.value, besides: path), from: origin, depth: depth + 1)
    }

    /// Every `*.conf` in the directory in the order of the letters, as Postgres does.
    private mutating func include(directory: String, from origin: Origin, depth: Int) {
        switch sources.files.names(directory) {
        case .success(let names):
            for name in names.sorted() where name.hasSuffix(".conf") && !name.hasPrefix(".") {
                readFile(directory + "/" + name, depth: depth)
            }
        case .failure(.missing):
            refuse(.file, "include_dir", directory, origin, "there is no such directory")
        case .failure(.unreadable(let reason)):
            refuse(.file, "include_dir", directory, origin, "cannot be read: \(reason)")
        }
    }

    private func absolute(_ path: String, besides file: String) -> String {
        let trimmed = path.count > 1 && path.hasSuffix("/") ? String(path.dropLast()) : path
        guard !trimmed.hasPrefix("/"), let slash = file.lastIndex(of: "/") else { return trimmed }
        return file[...slash] + trimmed
    }

    private mutating func take(_ key: String, _ value: String, from origin: Origin) {
        guard let setting = Setting.named(key) else {
            let keys = Setting.all.map(\.key) + ["include_dir"]
            let hint = Nearest.suggestion(for: key, among: keys)
            let advice = hint.isEmpty ? "; 'matriarchd --describe-config' lists all settings" : hint
            return refuse(.unknownKey, key, value, origin, "no such setting\(advice)")
        }
        do {
            try Self.checkText(value)
            try setting.take(value, &configuration)
            configuration.note(origin, of: key)
        } catch {
            brokenKeys.append(key)
            refuse(error.code, key, value.withoutControls, origin, error.problem)
        }
    }

    /// What no setting may hold, wherever it comes from. Variables and flags arrive here with their bytes
    /// that are no UTF-8 replaced already.
    private static func checkText(_ value: String) throws(Refusal) {
        if value.unicodeScalars.contains("\u{FFFD}") {
            throw .bad("has bytes that are not UTF-8, or U+FFFD in their place; write it in UTF-8")
        }
        if value.unicodeScalars.contains(where: \.isControl) {
            throw .bad("has a control character; there is no setting that may")
        }
    }

    private mutating func refuse(
        _ code: ConfigurationError.Code, _ key: String, _ value: String, _ origin: Origin, _ problem: String
    ) {
        errors.append(ConfigurationError(code, at: origin, key: key, value: value, problem))
    }

    /// The defaults that depend on other settings.
    private mutating func resolveDefaults() {
        if configuration.primaryRegion.isEmpty { configuration.primaryRegion = configuration.region }
        if configuration.peers.isEmpty, !configuration.isSet("bootstrap_expect") {
            configuration.bootstrapExpect = 1
        }
        if configuration.nodeAddress.isEmpty {
            let alone = configuration.peers.isEmpty ? "127.0.0.1" : ""
            configuration.nodeAddress = sources.machine.addresses.first ?? alone
        }
    }
}

extension Unicode.Scalar {
    fileprivate var isControl: Bool { value < 0x20 || (0x7F...0x9F).contains(value) }
}

extension String {
    /// For messages: what a terminal would act on is replaced.
    fileprivate var withoutControls: String {
        String(String.UnicodeScalarView(unicodeScalars.map { $0.isControl ? "\u{FFFD}" : $0 }))
    }
}
