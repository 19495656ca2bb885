/// The declaration of one setting. The parser, `--help`, the sample file and the manual all read
/// `Setting.all`.
public struct Setting: Sendable {
    public enum Section: String, CaseIterable, Sendable {
        case cluster = "The cluster"
        case node = "This node"
        case ports = "Addresses and ports"
        case failover = "Failover"
        case roles = "Roles and passwords"
    }

    /// What it takes for a new value to count.
    public enum Change: Sendable {
        /// SIGHUP to the agent.
        case reload
        /// A restart of the agent.
        case restart
        /// Counts when the cluster is created; afterwards the cluster's own, replicated value rules.
        case creation
    }

    public let key: String
    public let section: Section
    public let change: Change
    /// What is allowed, in words.
    public let allowed: String
    /// One paragraph for people.
    public let help: String
    /// The default in words where it is not a fixed value.
    public let defaultWords: String?
    /// A value to show where there is no fixed default.
    public let example: String?
    /// Variables that give the default where nobody set a value: what the platform knows, not what a person
    /// said.
    public let defaultVariables: [String]

    /// What has to be built before the setting has an effect; nil when it has one.
    public let awaits: String?

    let take: @Sendable (String, inout Configuration) throws(Refusal) -> Void
    let copy: @Sendable (Configuration, inout Configuration) -> Void
    private let show: @Sendable (Configuration) -> String

    init<Value>(
        _ key: String, _ field: any WritableKeyPath<Configuration, Value> & Sendable,
        _ kind: SettingKind<Value>,
        in section: Section, change: Change, default words: String? = nil, example: String? = nil,
        defaultVariables variables: [String] = [], awaits: String? = nil, help: String
    ) {
        self.key = key
        self.section = section
        self.change = change
        self.help = help
        self.example = example
        self.awaits = awaits
        allowed = kind.allowed
        defaultWords = words
        defaultVariables = variables
        take = { (text, configuration) throws(Refusal) in
            configuration[keyPath: field] = try kind.parse(text)
        }
        copy = { $1[keyPath: field] = $0[keyPath: field] }
        show = { kind.print($0[keyPath: field]) }
    }

    /// The environment variable of this setting.
    public var variable: String { Setting.variablePrefix + key.uppercased() }

    static let variablePrefix = "MATRIARCH_"

    /// The value in `configuration`, written as in the file, without quotes; empty when unset.
    public func text(in configuration: Configuration) -> String { show(configuration) }

    /// The default as people read it.
    public var defaultText: String {
        let fixed = show(Setting.defaults)
        let words = defaultWords ?? (fixed.isEmpty ? "not set" : fixed)
        return defaultVariables.map { "$\($0) if set, else " }.joined() + words
    }

    /// `key = value` as the sample file shows it.
    var sampleLine: String {
        let value = defaultWords == nil ? show(Setting.defaults) : ""
        return "\(key) = \(Setting.quoted(value.isEmpty ? example ?? "" : value))"
    }

    /// Numbers stay bare, everything else is quoted.
    static func quoted(_ value: String) -> String {
        let isNumber = value.first?.isNumber == true && value.allSatisfy { $0.isNumber || $0.isLetter }
        return isNumber ? value : "'" + value.replacing("'", with: "''") + "'"
    }

    public static func named(_ key: String) -> Setting? { all.first { $0.key == key } }

    private static let defaults = Configuration(
        machine: Machine(hostName: "", addresses: [], postgresBinDirectories: [], environment: [:]))
}
