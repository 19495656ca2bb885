/// A command line that makes sense.
public struct Invocation: Equatable, Sendable {
    public let entry: CommandEntry
    /// The name that was typed: the entry's own or an alias.
    public let typedName: String
    /// Flags by name without dashes; switches are "true". Without `config` and `help`.
    public var arguments: [String: String]
    /// The settings file that was named.
    public var config: String?

    public var wantsJSON: Bool { has("json") }
    public func has(_ flag: String) -> Bool { arguments[flag] != nil }
    public subscript(flag: String) -> String? { arguments[flag] }
}

/// What a command line asks for.
public enum ParsedArguments: Equatable, Sendable {
    case run(Invocation)
    /// Text for stdout.
    case help(String)
    case version
}

/// A command line that makes no sense: exit code 64.
public struct UsageError: Error, Equatable, CustomStringConvertible {
    /// What is wrong, and what would be right; one or two lines.
    public let description: String
}

public enum ArgumentParser {
    /// Reads the arguments after the program's name. Flags may stand before, between and after a command's
    /// words.
    public static func parse(_ arguments: [String]) throws(UsageError) -> ParsedArguments {
        if arguments.isEmpty {
            throw UsageError(description: "a command is missing\n" + HelpText.pointer(for: nil))
        }
        if arguments == ["--version"] { return .version }
        let (words, given, beyond) = try split(arguments)
        if words.isEmpty || words == ["help"] {
            if given.contains(where: { $0.name == "help" }) || words == ["help"] {
                return .help(HelpText.overview)
            }
            throw UsageError(description: "a command is missing\n" + HelpText.pointer(for: nil))
        }
        let asked = words.first == "help" ? Array(words.dropFirst()) : words
        let (entry, typed, extra) = try command(asked)
        if words.first == "help" || given.contains(where: { $0.name == "help" }) {
            return .help(HelpText.help(for: entry))
        }
        if let flag = given.first(where: { entry.flag($0.name) == nil }) {
            throw usage("--\(flag.name): '\(typed)' has no such flag", entry)
        }
        var rest = extra + beyond
        let word = entry.operand == nil || rest.isEmpty ? nil : rest.removeFirst()
        if let surplus = rest.first { throw usage("'\(surplus)' is more than '\(typed)' takes", entry) }
        if let operand = entry.operand, operand.isRequired, word?.isEmpty ?? true {
            throw usage("\(typed): \(operand.value) is missing", entry)
        }
        var invocation = try invocation(entry, typed, given)
        if let operand = entry.operand { invocation.arguments[operand.key] = word }
        return .run(invocation)
    }

    // MARK: Words and flags

    private struct Given {
        let name: String
        var value: String?
    }

    /// Parts the command's words from the flags; which flags take a value is known from the whole table, as
    /// the command may come later.
    private static func split(
        _ arguments: [String]
    ) throws(UsageError) -> (words: [String], flags: [Given], beyond: [String]) {
        var words: [String] = []
        var flags: [Given] = []
        var rest = arguments[...]
        while let argument = rest.popFirst() {
            if argument == "--" { return (words, flags, Array(rest)) }
            if argument == "-h" {
                flags.append(Given(name: "help"))
                continue
            }
            guard argument.hasPrefix("-"), argument.count > 1 else {
                words.append(argument)
                continue
            }
            guard argument.hasPrefix("--") else {
                throw UsageError(description: "\(argument): flags are written in full, such as --json")
            }
            let parts = argument.dropFirst(2).split(
                separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            var flag = Given(name: String(parts.first ?? ""), value: parts.count > 1 ? String(parts[1]) : nil)
            if flag.value == nil, takesValue(flag.name) {
                guard let value = rest.popFirst(), !value.hasPrefix("--") else {
                    throw UsageError(description: "--\(flag.name): a value is missing")
                }
                flag.value = value
            }
            flags.append(flag)
        }
        return (words, flags, [])
    }

    private static func takesValue(_ name: String) -> Bool {
        let flags = CommandTable.all.flatMap(\.flags) + CommandTable.commonFlags
        return flags.contains { $0.name == name && $0.value != nil }
    }

    // MARK: The command

    /// The longest name that the words begin with.
    private static func command(
        _ words: [String]
    ) throws(UsageError) -> (entry: CommandEntry, typed: String, extra: [String]) {
        for count in [2, 1] where words.count >= count {
            let name = words.prefix(count).joined(separator: " ")
            if let entry = CommandTable.entry(name) { return (entry, name, Array(words.dropFirst(count))) }
        }
        let typed = words.prefix(2).joined(separator: " ")
        let names = CommandTable.all.flatMap { [$0.name] + $0.aliases }
        let inGroup = names.filter { $0.hasPrefix((words.first ?? "") + " ") }
        if !inGroup.isEmpty {
            throw UsageError(description: "\(typed): must be one of: \(inGroup.joined(separator: ", "))")
        }
        let first = words.first ?? ""
        let near = names.first { distance($0, first) <= 2 || distance($0, typed) <= 2 }
        let advice = near.map { "did you mean '\($0)'?" } ?? HelpText.pointer(for: nil)
        throw UsageError(description: "\(first): there is no such command\n\(advice)")
    }

    private static func invocation(
        _ entry: CommandEntry, _ typed: String, _ given: [Given]
    ) throws(UsageError) -> Invocation {
        var arguments: [String: String] = [:]
        for flag in given {
            if entry.flag(flag.name)?.value == nil, flag.value != nil {
                throw usage("--\(flag.name): takes no value", entry)
            }
            if flag.value == "" { throw usage("--\(flag.name): the value is empty", entry) }
            if arguments.updateValue(flag.value ?? "true", forKey: flag.name) != nil {
                throw usage("--\(flag.name): is given twice", entry)
            }
        }
        let config = arguments.removeValue(forKey: "config")
        return Invocation(entry: entry, typedName: typed, arguments: arguments, config: config)
    }

    private static func usage(_ problem: String, _ entry: CommandEntry) -> UsageError {
        UsageError(description: "\(problem)\n\(HelpText.pointer(for: entry))")
    }

    /// How many letters must be changed, added or removed to make one word of the other.
    private static func distance(_ left: String, _ right: String) -> Int {
        let right = Array(right)
        var row = Array(0...right.count)
        for (index, letter) in left.enumerated() {
            var diagonal = row[0]
            row[0] = index + 1
            for column in right.indices {
                let substituted = diagonal + (letter == right[column] ? 0 : 1)
                diagonal = row[column + 1]
                row[column + 1] = min(substituted, row[column] + 1, diagonal + 1)
            }
        }
        return row[right.count]
    }
}
