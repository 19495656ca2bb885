import TestSupport
import Testing

@testable import Control

private let memberCommands = "member list, member remove, member promote-voter, member demote-voter"

struct ArgumentParserTests {
    private func run(_ arguments: String...) throws -> Invocation {
        guard case .run(let invocation) = try ArgumentParser.parse(arguments) else {
            throw UsageError(description: "no command in \(arguments)")
        }
        return invocation
    }

    @Test func flagsMayStandBeforeBetweenAndAfterTheWords() throws {
        for arguments in [
            ["--json", "--config", "/x", "failover", "--to", "pg2"],
            ["failover", "--config=/x", "--to=pg2", "--json"],
        ] {
            guard case .run(let invocation) = try ArgumentParser.parse(arguments) else {
                Issue.record("\(arguments) is no command")
                continue
            }
            #expect(invocation.entry.name == "failover")
            #expect(invocation.arguments == ["to": "pg2", "json": "true"])
            #expect(invocation.config == "/x")
            #expect(invocation.wantsJSON)
        }
        #expect(try run("member", "--json", "list").entry.name == "member list")
    }

    @Test func aCommandMayTakeAWord() throws {
        #expect(
            try run("member", "remove", "pg2", "--no-wait").arguments == ["node": "pg2", "no-wait": "true"])
        #expect(try run("member", "--json", "remove", "--", "--odd").arguments["node"] == "--odd")
    }

    @Test func anAliasIsTheCommandUnderTheTypedName() throws {
        let invocation = try run("switchover", "--dry-run")
        #expect(invocation.entry.name == "failover")
        #expect(invocation.typedName == "switchover")
        #expect(invocation.has("dry-run"))
        #expect(!invocation.has("no-wait"))
    }

    @Test(arguments: [
        ([], "a command is missing\nsee: matriarch --help"),
        (["--json"], "a command is missing\nsee: matriarch --help"),
        (["stauts"], "stauts: there is no such command\ndid you mean 'status'?"),
        (["frobnicate"], "frobnicate: there is no such command\nsee: matriarch --help"),
        (["member"], "member: must be one of: \(memberCommands)"),
        (["member", "kill"], "member kill: must be one of: \(memberCommands)"),
        (["member", "remove"], "member remove: NODE is missing\nsee: matriarch member remove --help"),
        (
            ["member", "remove", "pg2", "pg3"],
            "'pg3' is more than 'member remove' takes\nsee: matriarch member remove --help"
        ),
        (
            ["member", "remove", "--node", "pg2"],
            "--node: 'member remove' has no such flag\nsee: matriarch member remove --help"
        ),
        (["status", "pg1"], "'pg1' is more than 'status' takes\nsee: matriarch status --help"),
        (["status", "--", "--json"], "'--json' is more than 'status' takes\nsee: matriarch status --help"),
        (["status", "--to", "pg2"], "--to: 'status' has no such flag\nsee: matriarch status --help"),
        (["status", "--too", "pg2"], "--too: 'status' has no such flag\nsee: matriarch status --help"),
        (["failover", "--to"], "--to: a value is missing"),
        (["failover", "--to", "--json"], "--to: a value is missing"),
        (["failover", "--to="], "--to: the value is empty\nsee: matriarch failover --help"),
        (["failover", "--dry-run=no"], "--dry-run: takes no value\nsee: matriarch failover --help"),
        (["status", "--json", "--json"], "--json: is given twice\nsee: matriarch status --help"),
        (["status", "-j"], "-j: flags are written in full, such as --json"),
    ])
    func whatMakesNoSenseIsExplained(arguments: [String], message: String) {
        #expect(throws: UsageError(description: message)) { try ArgumentParser.parse(arguments) }
    }

    @Test func helpIsFoundHoweverItIsAskedFor() throws {
        let entry = try #require(CommandTable.entry("member list"))
        for arguments in [
            ["member", "list", "--help"], ["--help", "member", "list"], ["help", "member", "list"],
            ["member", "list", "-h"],
        ] {
            #expect(try ArgumentParser.parse(arguments) == .help(HelpText.help(for: entry)))
        }
        for arguments in [["--help"], ["-h"], ["help"], ["help", "--help"]] {
            #expect(try ArgumentParser.parse(arguments) == .help(HelpText.overview))
        }
        #expect(try ArgumentParser.parse(["--version"]) == .version)
    }
}

struct CommandTableTests {
    @Test func namesAndFlagsAreUniqueAndSpeakable() {
        let names = CommandTable.all.flatMap { [$0.name] + $0.aliases }
        #expect(Set(names).count == names.count)
        for entry in CommandTable.all {
            let flags = (entry.flags + CommandTable.commonFlags).map(\.name)
            #expect(Set(flags).count == flags.count, "\(entry.name)")
            #expect(entry.summary.hasSuffix("."), "\(entry.name)")
            #expect(entry.name.split(separator: " ").count <= 2, "\(entry.name)")
        }
    }

    /// The parser decides by the name alone whether a flag takes a value.
    @Test func aFlagTakesAValueEverywhereOrNowhere() {
        let all = CommandTable.all.flatMap(\.flags) + CommandTable.commonFlags
        for flag in all {
            let same = all.filter { $0.name == flag.name }
            #expect(Set(same.map { $0.value != nil }).count == 1, "--\(flag.name)")
        }
    }

    @Test func onlyLookingIsOpenToEverybody() {
        let open = CommandTable.all.filter(\.isReadOnly).map(\.name)
        #expect(open == ["status", "member list", "events"])
        #expect(CommandTable.all.allSatisfy { !$0.isReadOnly || $0.place == .agent })
    }
}

struct HelpGeneratedTextTests {
    @Test func theOverviewIsAsRecorded() throws {
        try expectSnapshot(HelpText.overview, at: "Snapshots/help.txt")
    }

    @Test(arguments: CommandTable.all)
    func eachHelpIsAsRecorded(entry: CommandEntry) throws {
        let file = entry.name.split(separator: " ").joined(separator: "-")
        try expectSnapshot(HelpText.help(for: entry), at: "Snapshots/help-\(file).txt")
    }
}
