import TestSupport
import Testing

/// The script runner judges most of the pure block, so it is judged first.
@Suite struct ScriptRunnerTests {
    private func echo(_ command: ScriptCommand) throws -> String {
        switch command.name {
        case "say": command.input.joined(separator: "\n")
        case "add": try "\(command.number("a") + command.number("b") as Int)"
        default: throw command.unknown()
        }
    }

    private func script(_ text: String) throws -> (Script, TemporaryDirectory) {
        let directory = try TemporaryDirectory("script")
        return (Script(path: try directory.write(text, to: "sample.txt")), directory)
    }

    @Test func anAnswerAsWrittenPasses() throws {
        let (sample, directory) = try script(
            """
            # numbers
            add a=1 b=2
            ----
            3

            say
            one

            two
            ----
            ----
            one

            two
            ----
            ----
            add a=1
            ----
            error: \("PLACE"): 'add a=1' needs b=…

            """)
        let text = try directory.read("sample.txt").replacing("PLACE", with: "\(sample.path):17")
        try directory.write(text, to: "sample.txt")
        try sample.run(echo)
    }

    @Test func anotherAnswerFailsAndNamesTheScriptLine() throws {
        let (sample, directory) = try script("\nadd a=1 b=2\n----\n4\n")
        defer { withExtendedLifetime(directory) {} }
        try withKnownIssue {
            try sample.run(echo)
        } matching: { issue in
            issue.sourceLocation?.line == 2 && "\(issue)".contains("add a=1 b=2")
        }
    }

    @Test func aCommandWithoutSeparatorIsAnError() throws {
        let (sample, directory) = try script("add a=1 b=2\n3\n")
        defer { withExtendedLifetime(directory) {} }
        #expect(throws: ScriptError.self) { try sample.run(echo) }
    }

    @Test func waitingForWhatNeverComesFailsWithItsDescription() {
        withKnownIssue {
            waitUntil("pigs fly", within: .milliseconds(30), every: .milliseconds(5)) { false }
        } matching: {
            "\($0)".contains("pigs fly")
        }
    }

    @Test func aTemporaryDirectoryGoesAway() throws {
        var directory: TemporaryDirectory? = try TemporaryDirectory("gone")
        let path = try #require(directory?.path)
        try directory?.write("x", to: "inner/file")
        #expect(SourceTree.exists(path))
        directory = nil
        #expect(!SourceTree.exists(path))
    }
}
