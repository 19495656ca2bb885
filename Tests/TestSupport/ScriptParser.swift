/// Splits a script into blocks and the text between them, losing nothing.
struct ScriptParser {
    enum Part {
        case verbatim(String)
        case block(ScriptBlock)
    }

    private let path: String
    private let lines: [String]
    private var next = 0

    private static let separator = "----"

    init(text: String, path: String) {
        self.path = path
        var lines = text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
        if lines.last == "" { lines.removeLast() }
        self.lines = lines
    }

    func parse() throws(ScriptError) -> [Part] {
        var parser = self
        var parts: [Part] = []
        while let line = parser.take() {
            if line.allSatisfy(\.isWhitespace) || line.hasPrefix("#") {
                parts.append(.verbatim(line))
            } else {
                parts.append(.block(try parser.block(startingWith: line)))
            }
        }
        return parts
    }

    private mutating func take() -> String? {
        guard next < lines.count else { return nil }
        defer { next += 1 }
        return lines[next]
    }

    private mutating func block(startingWith line: String) throws(ScriptError) -> ScriptBlock {
        let number = next
        let place = "\(path):\(number)"
        var input: [String] = []
        while true {
            guard let following = take() else {
                throw ScriptError(place: place, problem: "'\(line)' has no '----' line below it")
            }
            if following == Self.separator { break }
            input.append(following)
        }
        let expected = try answer(of: line, at: place)
        let words = line.split(separator: " ").map(String.init)
        let command = ScriptCommand(
            name: words[0], words: Array(words.dropFirst()), input: input, line: line, place: place,
            number: number)
        return ScriptBlock(command: command, expected: expected)
    }

    private mutating func answer(of line: String, at place: String) throws(ScriptError) -> String {
        var expected: [String] = []
        guard next < lines.count, lines[next] == Self.separator else {
            while next < lines.count, lines[next] != "" {
                expected.append(lines[next])
                next += 1
            }
            return expected.joined(separator: "\n")
        }
        next += 1
        while next + 1 < lines.count {
            if lines[next] == Self.separator, lines[next + 1] == Self.separator {
                next += 2
                return expected.joined(separator: "\n")
            }
            expected.append(lines[next])
            next += 1
        }
        throw ScriptError(
            place: place, problem: "the answer of '\(line)' has no closing pair of '----' lines")
    }
}

/// One command and what it is expected to answer.
struct ScriptBlock {
    let command: ScriptCommand
    let expected: String

    /// The block's lines with `answer` in place of the expected text.
    func lines(answering answer: String) -> [String] {
        let body = answer.isEmpty ? [] : answer.split(separator: "\n", omittingEmptySubsequences: false)
        let text = body.map(String.init)
        let head = [command.line] + command.input + ["----"]
        if text.contains("") {
            return head + ["----"] + text + ["----", "----"]
        }
        return head + text
    }
}
