/// Help of the command line, made from the table.
public enum HelpText {
    /// What `matriarch --help` prints.
    public static var overview: String {
        let rows = CommandTable.all.map { entry in
            let others = entry.aliases.joined(separator: ", ")
            return (entry.name, entry.summary + (others.isEmpty ? "" : " (also: \(others))"))
        }
        return """
            usage: matriarch COMMAND [FLAG…]

            Any member will do: its agent answers, and passes on to the leader what only the leader may do.

            commands:
            \(columns(rows))
            every command takes:
            \(columns(CommandTable.commonFlags.map { ($0.usage, $0.help) }))
            exit codes:
            \(columns(ExitCode.allCases.map { ("\($0.rawValue)", $0.meaning) }))
            """
    }

    /// What `matriarch COMMAND --help` prints.
    public static func help(for entry: CommandEntry) -> String {
        let names = ([entry.name] + entry.aliases).map { "matriarch \($0)" }
        let words = (entry.operand.map { [$0.usage] } ?? []) + entry.flags.map { "[\($0.usage)]" }
        let flags = words.joined(separator: " ")
        let usage = names.map { "usage: \($0)" + (flags.isEmpty ? "" : " \(flags)") }.joined(separator: "\n")
        let codes = (entry.exits + [.usage, .configuration]).sorted { $0.rawValue < $1.rawValue }
        return """
            \(usage)

            \(entry.summary)
            \(entry.details)
            \(permission(entry))

            flags:
            \(columns((entry.flags + CommandTable.commonFlags).map { ($0.usage, $0.help) }))
            exit codes:
            \(columns(codes.map { ("\($0.rawValue)", $0.meaning) }))
            """
    }

    /// Where to read more, for the end of an error.
    static func pointer(for entry: CommandEntry?) -> String {
        "see: matriarch \(entry.map { $0.name + " " } ?? "")--help"
    }

    private static func permission(_ entry: CommandEntry) -> String {
        switch (entry.place, entry.isReadOnly) {
        case (.program, _): "Runs without an agent."
        case (_, true): "Any user of the machine may run it."
        case (_, false): "Only root and the user of the agent may run it."
        }
    }

    private static func columns(_ rows: [(String, String)]) -> String {
        let width = rows.map(\.0.count).max() ?? 0
        return rows.map { left, right in
            "  " + left + String(repeating: " ", count: width - left.count + 2) + right + "\n"
        }.joined()
    }
}
