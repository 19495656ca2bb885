/// What the command line of `matriarchd` asks for.
public struct AgentArguments: Hashable, Sendable {
    public enum Action: Hashable, Sendable {
        case run
        case checkConfiguration
        case describeConfiguration
        case help
        case version
    }

    public private(set) var action = Action.run
    /// Nil: the standard path.
    public private(set) var path: String?
    public private(set) var flags: [SettingFlag] = []

    private static let actions: [(name: String, action: Action)] = [
        ("--check-config", .checkConfiguration), ("--describe-config", .describeConfiguration),
        ("--help", .help), ("--version", .version),
    ]

    /// - Parameter arguments: without the program's own name.
    /// - Throws: the first word that is no flag or lacks its value; exit 78 as for every other wrong setting.
    public init(_ arguments: [String]) throws(ConfigurationError) {
        var rest = arguments[...]
        while let word = rest.popFirst() {
            if let found = Self.actions.first(where: {
                $0.name == word || ($0.name == "--help" && word == "-h")
            }) {
                action = found.action
                continue
            }
            let (name, attached) = Self.split(word)
            guard name.hasPrefix("--"), name.count > 2 else {
                throw ConfigurationError(.syntax, at: .flag(word), "is not a flag; see matriarchd --help")
            }
            let key = String(name.dropFirst(2)).replacing("-", with: "_")
            guard key == "config" || Setting.named(key) != nil else { throw Self.unknown(name, key) }
            guard let value = attached ?? rest.popFirst() else {
                throw ConfigurationError(.syntax, at: .flag(name), "needs a value: \(name) VALUE")
            }
            if key == "config" {
                path = value
            } else {
                flags.append(SettingFlag(name: name, key: key, value: value))
            }
        }
    }

    private static func split(_ word: String) -> (name: String, value: String?) {
        guard let equals = word.firstIndex(of: "=") else { return (word, nil) }
        return (String(word[..<equals]), String(word[word.index(after: equals)...]))
    }

    private static func unknown(_ name: String, _ key: String) -> ConfigurationError {
        let words = actions.map { String($0.name.dropFirst(2)) } + ["config"] + Setting.all.map(\.key)
        let meant = Nearest.match(for: key, among: words)
        let advice = meant.map { "; did you mean '--\($0)'?" } ?? "; matriarchd --help lists all flags"
        return ConfigurationError(.unknownKey, at: .flag(name), "no such flag\(advice)")
    }

    /// The text of `matriarchd --help`.
    public static var help: String {
        """
        matriarchd: keeps one node of a herd of PostgreSQL servers, and the herd with its peers.

        Usage: matriarchd [--config FILE] [--KEY VALUE …]
               matriarchd --check-config | --describe-config | --help | --version

        --config FILE      settings; \(ConfigurationSources.standardPath) if not given
        --check-config     check all settings, print what follows from them, and exit (0 or 78)
        --describe-config  print the annotated sample file
        --KEY VALUE        any setting below; goes before the environment (MATRIARCH_KEY) and the file

        \(SettingsManual.flags)

        """
    }
}
