/// An option of a command.
public struct CommandFlag: Hashable, Sendable {
    /// Without the dashes: `to`.
    public let name: String
    /// What stands for its value in the help (`NODE`); nil for a switch.
    public let value: String?
    public let help: String

    init(_ name: String, _ value: String? = nil, help: String) {
        self.name = name
        self.value = value
        self.help = help
    }

    /// `--to NODE`.
    var usage: String { "--\(name)" + (value.map { " \($0)" } ?? "") }
}

/// A word that follows a command's name: `matriarch member remove NODE`.
public struct CommandOperand: Hashable, Sendable {
    /// `NODE`.
    public let value: String
    public let isRequired: Bool

    init(_ value: String, required: Bool = true) {
        self.value = value
        isRequired = required
    }

    /// Under which name it travels with the flags; no command has a flag of that name, too.
    public var key: String { value.lowercased() }
    var usage: String { isRequired ? value : "[\(value)]" }
}

/// A command of `matriarch`: the one truth for its parser, its help and the agent's check of permissions.
public struct CommandEntry: Hashable, Sendable {
    public enum Place: Hashable, Sendable {
        /// By the program itself; no agent is needed.
        case program
        /// By the agent of this node.
        case agent
        /// By the leader; the agent of this node passes it on.
        case leader
    }

    /// One or two words.
    public let name: String
    public let aliases: [String]
    public let summary: String
    /// What else a person should know before running it.
    public let details: String
    public let flags: [CommandFlag]
    /// Anybody on the machine may run it; else only root and the agent's user.
    public let isReadOnly: Bool
    public let place: Place
    /// What it may exit with, besides `usage` and `configuration`.
    public let exits: [ExitCode]
    public let operand: CommandOperand?

    init(
        name: String, aliases: [String], summary: String, details: String, operand: CommandOperand? = nil,
        flags: [CommandFlag], isReadOnly: Bool, place: Place, exits: [ExitCode]
    ) {
        self.name = name
        self.aliases = aliases
        self.summary = summary
        self.details = details
        self.operand = operand
        self.flags = flags
        self.isReadOnly = isReadOnly
        self.place = place
        self.exits = exits
    }

    /// Whether a request may carry an argument of that name.
    public func takes(_ argument: String) -> Bool { flag(argument) != nil || operand?.key == argument }

    /// The table's flags and the common ones.
    public func flag(_ name: String) -> CommandFlag? {
        (flags + CommandTable.commonFlags).first { $0.name == name }
    }
}

public enum CommandTable {
    /// Taken by every command.
    public static let commonFlags = [
        CommandFlag("config", "FILE", help: "settings file; /etc/matriarch/matriarch.conf when left out"),
        CommandFlag("json", help: "print JSON, for scripts"),
        CommandFlag("help", help: "print this help"),
    ]

    public static let all = cluster + membership + care + tools

    private static let changing: [ExitCode] = [.done, .refused, .unreachable, .tryAgain, .notPermitted]
    private static let noWait = CommandFlag("no-wait", help: "return once it has begun")

    private static let cluster = [
        CommandEntry(
            name: "status", aliases: [], summary: "Show the cluster and its members.",
            details: "One line per member, above it who leads, the synchronous state and the lease.",
            flags: [CommandFlag("watch", help: "show it again each second, until interrupted")],
            isReadOnly: true, place: .agent, exits: [.done, .refused, .unreachable, .notPermitted]),
        CommandEntry(
            name: "failover", aliases: ["switchover"],
            summary: "Hand the primary role to another member.",
            details: """
                Planned hand-over while the primary is healthy, promotion of the best survivor when it is not.
                Prints the steps as they happen. Only healthy members of the primary region are considered.
                """,
            flags: [
                CommandFlag("to", "NODE", help: "the member to promote; the best one when left out"),
                CommandFlag("dry-run", help: "only say what would be done"),
                noWait,
            ],
            isReadOnly: false, place: .leader, exits: changing),
    ]

    private static let membership = [
        CommandEntry(
            name: "member list", aliases: [], summary: "List the members.",
            details: "Name, region, address and part of each member, as the cluster document has them.",
            flags: [], isReadOnly: true, place: .agent,
            exits: [.done, .refused, .unreachable, .notPermitted]),
        CommandEntry(
            name: "member remove", aliases: [], summary: "Take a member out of the cluster for good.",
            details: """
                Its vote goes to others where there are any, its slot is dropped, its replication ended. A
                node that was removed stops its Postgres and is not let in again; its data stays where it
                is. Refused for the primary, and where no majority of the voters would be left.
                """,
            operand: CommandOperand("NODE"), flags: [noWait], isReadOnly: false, place: .leader,
            exits: changing),
        CommandEntry(
            name: "member promote-voter", aliases: [], summary: "Give a member a vote.",
            details: """
                The number of voters stays odd, since one more bears no more failures. A new member of the
                primary region gets its vote by itself; this is for one whose vote was taken.
                """,
            operand: CommandOperand("NODE"), flags: [noWait], isReadOnly: false, place: .leader,
            exits: changing),
        CommandEntry(
            name: "member demote-voter", aliases: [], summary: "Take a member's vote.",
            details: """
                It goes on holding a copy. Another member votes in its place where there is one; else one more
                gives its vote back, so that the number stays odd. Who does not vote is not promoted.
                """,
            operand: CommandOperand("NODE"), flags: [noWait], isReadOnly: false, place: .leader,
            exits: changing),
    ]

    private static let care = [
        CommandEntry(
            name: "reinit", aliases: [], summary: "Have a member copy its data anew from the primary.",
            details: """
                For data that is not trusted any more. The old directory is kept until the new one is
                valid, where there is room for both. Refused for the primary.
                """,
            operand: CommandOperand("NODE"), flags: [noWait], isReadOnly: false, place: .leader,
            exits: changing),
        CommandEntry(
            name: "restart", aliases: [], summary: "Stop and start Postgres, on one member or on all.",
            details: """
                Without NODE on this one. A primary that is named is restarted where it is: clients wait or
                are cut meanwhile. With --rolling the replicas are restarted one after the other, each is
                waited for, then the primary hands over and is restarted last. What waits for a restart is
                in force then.
                """,
            operand: CommandOperand("NODE", required: false),
            flags: [CommandFlag("rolling", help: "all members, one after the other, the primary last")],
            isReadOnly: false, place: .agent, exits: changing),
        CommandEntry(
            name: "pause", aliases: [], summary: "Have nobody promoted until `matriarch resume`.",
            details: """
                No failover, no hand-over and no new voters by themselves; replicas go on following. The lease
                rules on: a primary that loses its majority stops, and starts again when it has it back.
                """,
            flags: [CommandFlag("for", "DURATION", help: "end by itself after this, such as 30min or 1h")],
            isReadOnly: false, place: .leader, exits: changing),
        CommandEntry(
            name: "resume", aliases: [], summary: "End a pause.",
            details: "Failover happens by itself again. Any member will do, and a majority is needed.",
            flags: [], isReadOnly: false, place: .leader, exits: changing),
    ]

    private static let tools = [
        CommandEntry(
            name: "events", aliases: [], summary: "Show what happened, merged over all members.",
            details: "Each failover with its phases and the time that each took.",
            flags: [
                CommandFlag("follow", help: "go on with new events, until interrupted"),
                CommandFlag("node", "NODE", help: "only what this member recorded"),
            ],
            isReadOnly: true, place: .agent, exits: [.done, .refused, .unreachable, .notPermitted]),
        CommandEntry(
            name: "secret create", aliases: [], summary: "Write a new cluster secret.",
            details: """
                The file is made with mode 0600 and never overwritten. Copy it to every member over a channel
                that you trust: who has it can join the cluster.
                """,
            flags: [
                CommandFlag("output", "FILE", help: "where to; the setting cluster_secret_file when left out")
            ],
            isReadOnly: false, place: .program, exits: [.done, .refused, .notPermitted]),
    ]

    /// The entry of a name or an alias.
    public static func entry(_ name: String) -> CommandEntry? {
        all.first { $0.name == name || $0.aliases.contains(name) }
    }
}
