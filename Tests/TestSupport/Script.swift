import FoundationEssentials
public import Testing

/// A file of commands and what each is expected to answer; behaviour that a reviewer reads as text.
///
/// A block is one command line, optional input lines, a line `----`, and the expected text up to a blank
/// line:
/// ```
/// # three voters, no leader yet
/// deliver from=pg2 to=pg1
/// vote term=3 granted
/// ----
/// pg1: becomes leader of term 3
/// ```
/// Comments (`#`) and blank lines between blocks are kept. An answer that contains blank lines is written
/// between doubled separators (`----` twice before, `----` twice after). With `REWRITE=1` in the environment
/// the answers are written into the file instead of compared; the difference is then reviewed like any code.
public struct Script: Sendable, CustomTestStringConvertible {
    public let path: String
    /// The file's name without `.txt`, as shown by the test run.
    public let name: String

    public var testDescription: String { name }

    public init(path: String) {
        self.path = path
        let file = path.split(separator: "/").last.map(String.init) ?? path
        name = file.hasSuffix(".txt") ? String(file.dropLast(4)) : file
    }

    /// Every script in `folder` beside the calling test file, sorted by name.
    ///
    /// A missing or empty folder is a failure of the test run: a suite without scripts must not pass.
    public static func all(in folder: String = "Scripts", beside file: String = #filePath) -> [Script] {
        let directory = SourceTree.directory(of: file) + "/" + folder
        let names = (try? FileManager.default.contentsOfDirectory(atPath: directory)) ?? []
        let scripts = names.filter { $0.hasSuffix(".txt") }.sorted().map {
            Script(path: directory + "/" + $0)
        }
        precondition(!scripts.isEmpty, "no scripts in \(directory)")
        return scripts
    }

    /// Runs every command through `answer` and compares, or rewrites the file when `REWRITE=1`.
    ///
    /// An error thrown by `answer` becomes the answer's text (`error: …`): refusals are scripted like the
    /// rest.
    public func run(_ answer: (ScriptCommand) throws -> String) throws {
        let old = try SourceTree.read(path)
        var pieces: [String] = []
        for part in try ScriptParser(text: old, path: path).parse() {
            switch part {
            case .verbatim(let line):
                pieces.append(line)
            case .block(let block):
                let actual = Self.trimmed(text(of: block.command, by: answer))
                if !Rewriting.isOn, actual != block.expected {
                    report(block, actual)
                }
                pieces.append(contentsOf: block.lines(answering: actual))
            }
        }
        let new = pieces.map { $0 + "\n" }.joined()
        if Rewriting.isOn, new != old {
            try SourceTree.write(new, to: path)
        }
    }

    /// Whether every answer is as written; records nothing. For asking what a script notices.
    public func holds(_ answer: (ScriptCommand) throws -> String) throws -> Bool {
        var holds = true
        for part in try ScriptParser(text: try SourceTree.read(path), path: path).parse() {
            guard case .block(let block) = part else { continue }
            // Each command is carried out, as later ones build on it.
            if Self.trimmed(text(of: block.command, by: answer)) != block.expected { holds = false }
        }
        return holds
    }

    private func text(of command: ScriptCommand, by answer: (ScriptCommand) throws -> String) -> String {
        do {
            return try answer(command)
        } catch {
            return "error: \(error)"
        }
    }

    private func report(_ block: ScriptBlock, _ actual: String) {
        let comment = """
            \(block.command.line)
            expected:
            \(TextDifference.indented(block.expected))
            actual:
            \(TextDifference.indented(actual))
            (REWRITE=1 swift test records the actual text)
            """
        let folder = path.split(separator: "/").suffix(3).joined(separator: "/")
        let place = SourceLocation(fileID: folder, filePath: path, line: block.command.number, column: 1)
        Issue.record(Comment(rawValue: comment), sourceLocation: place)
    }

    /// Trailing spaces and newlines say nothing and make diffs noisy.
    private static func trimmed(_ text: String) -> String {
        var lines = text.split(separator: "\n", omittingEmptySubsequences: false).map { line in
            String(line.reversed().drop { $0 == " " }.reversed())
        }
        while lines.last == "" { lines.removeLast() }
        return lines.joined(separator: "\n")
    }
}

/// One command of a script, split into words.
public struct ScriptCommand: Sendable {
    /// The first word.
    public let name: String
    /// The other words, in order; `key=value` words are in here too.
    public let words: [String]
    /// The lines between the command and `----`.
    public let input: [String]
    /// The command line as written.
    public let line: String
    /// Where it stands: `path:line`.
    public let place: String
    /// The line number of the command, from 1.
    public let number: Int

    /// The value of the word `key=value`, nil when there is none.
    public subscript(key: String) -> String? {
        words.first { $0.hasPrefix(key + "=") }.map { String($0.dropFirst(key.count + 1)) }
    }

    /// Whether the bare word is there.
    public func has(_ word: String) -> Bool { words.contains(word) }

    /// The words that are not `key=value`.
    public var bare: [String] { words.filter { !$0.contains("=") } }

    /// The value of `key`, or a failure that names the script's line.
    public func value(_ key: String) throws(ScriptError) -> String {
        guard let value = self[key] else {
            throw ScriptError(place: place, problem: "'\(line)' needs \(key)=…")
        }
        return value
    }

    /// The value of `key` as a number, or a failure that names the script's line.
    public func number<Value: FixedWidthInteger>(_ key: String) throws(ScriptError) -> Value {
        let text = try value(key)
        guard let number = Value(text) else {
            throw ScriptError(place: place, problem: "\(key)=\(text) is not a number")
        }
        return number
    }

    /// For the `default` of a test's switch over command names.
    public func unknown() -> ScriptError {
        ScriptError(place: place, problem: "no command '\(name)'")
    }
}

/// A script that cannot be read or that asks for what its test does not know.
public struct ScriptError: Error, CustomStringConvertible {
    public let place: String
    public let problem: String

    public init(place: String, problem: String) {
        self.place = place
        self.problem = problem
    }

    public var description: String { "\(place): \(problem)" }
}
