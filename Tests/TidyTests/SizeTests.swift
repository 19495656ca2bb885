import TestSupport
import Testing

/// Sizes that a reader can hold in the head.
@Suite struct SizeTests {
    static let functionLimit = 60
    static let fileLimit = 500
    static let lineLimit = 110

    private static var files: [SourceFile] {
        SourceFile.swift(in: "Sources") + SourceFile.swift(in: "Tests")
    }

    @Test func filesAndLinesAreShort() {
        for file in Self.files {
            #expect(file.textLines.count <= Self.fileLimit + 1, "\(file.path): split it by topic")
            for (index, line) in file.textLines.enumerated() where line.count > Self.lineLimit {
                Issue.record("\(file.path):\(index + 1): \(line.count) columns, at most \(Self.lineLimit)")
            }
        }
    }

    @Test func functionsAreShort() {
        for file in Self.files {
            for function in Self.functions(in: file) where function.length > Self.functionLimit {
                Issue.record(
                    "\(file.path):\(function.line): \(function.name) has \(function.length) lines, at most 60"
                )
            }
        }
    }

    @Test func aLongFunctionIsFound() {
        let body = (1...70).map { "        let x\($0) = \"} \\($0)\"" }.joined(separator: "\n")
        let planted = SourceFile(
            path: "planted", text: "struct A {\n    func long() {\n\(body)\n    }\n    init() {}\n}")
        let functions = Self.functions(in: planted)
        #expect(functions.map(\.length) == [72, 1])
        #expect(functions.map(\.line) == [2, 74])
    }

    struct Function {
        let name: String
        let line: Int
        let length: Int
    }

    /// By the braces: from the line with `func` or `init` to the line that closes its body.
    static func functions(in file: SourceFile) -> [Function] {
        let head =
            #/^\s*(?:@\w+(?:\([^)]*\))?\s+)*(?:[a-z]+(?:\(\w+\))?\s+)*(?:func\s+([^\s(<]+)|(init|deinit)\b)/#
        let lines = file.codeLines
        return lines.indices.compactMap { start in
            guard let match = lines[start].firstMatch(of: head) else { return nil }
            let name = match.1.map(String.init) ?? String(match.2 ?? "init")
            return length(of: lines[start...]).map { Function(name: name, line: start + 1, length: $0) }
        }
    }

    /// Nil for a declaration without a body.
    private static func length(of lines: ArraySlice<Substring>) -> Int? {
        var depth = 0
        var opened = false
        for (index, line) in lines.enumerated() {
            if index > 0, !opened, line.contains(#/^\s*(?:func|var|let|case|\})/#) { return nil }
            for character in line.utf8 {
                if character == UInt8(ascii: "{") { depth += 1 }
                if character == UInt8(ascii: "}") { depth -= 1 }
            }
            opened = opened || line.contains("{")
            if opened, depth <= 0 { return index + 1 }
            if depth < 0 { return nil }
        }
        return nil
    }
}
