import TestSupport

/// One file of the tree, as the tidy tests read it.
struct SourceFile: Sendable, CustomStringConvertible {
    /// Relative to the root.
    let path: String
    let text: String
    /// The text without comments and with empty quotes; lines keep their numbers.
    let code: String

    var description: String { path }

    init(path: String, text: String) {
        self.path = path
        self.text = text
        code = CodeScanner.code(of: text)
    }

    /// The folder below Sources or Tests: the target.
    var target: String { path.split(separator: "/").dropFirst().first.map(String.init) ?? "" }

    var codeLines: [Substring] { code.split(separator: "\n", omittingEmptySubsequences: false) }
    var textLines: [Substring] { text.split(separator: "\n", omittingEmptySubsequences: false) }

    /// All Swift files below `folder`.
    static func swift(in folder: String) -> [SourceFile] {
        SourceTree.files(below: folder).filter { $0.hasSuffix(".swift") }.compactMap(read)
    }

    /// All Markdown files of the tree.
    static func documents() -> [SourceFile] {
        let below = ["docs", "benchmarks"].flatMap { SourceTree.files(below: $0) }
        return (["README.md"] + below).filter { $0.hasSuffix(".md") }.compactMap(read)
    }

    private static func read(_ path: String) -> SourceFile? {
        (try? SourceTree.read(SourceTree.root + "/" + path)).map { SourceFile(path: path, text: $0) }
    }
}

/// The four targets that decide, and what each may import.
enum PureBlock {
    static let imports: [(target: String, may: [String])] = [
        ("Consensus", []),
        ("Supervision", ["Consensus"]),
        ("Config", ["Consensus", "Supervision"]),
        ("Simulator", ["Consensus", "Supervision", "Config"]),
    ]

    static var files: [SourceFile] { imports.flatMap { SourceFile.swift(in: "Sources/" + $0.target) } }
}

/// Blanks out comments and string literals, keeping newlines and the code inside interpolations.
private struct CodeScanner {
    private enum Context {
        /// With the depth of parentheses when inside an interpolation.
        case code(depth: Int?)
        case string(quotes: Int)
    }

    private let bytes: [UInt8]
    private var position = 0
    private var stack: [Context] = [.code(depth: nil)]
    private var output: [UInt8] = []

    private static let quote = UInt8(ascii: "\"")
    private static let slash = UInt8(ascii: "/")
    private static let newline = UInt8(ascii: "\n")

    static func code(of text: String) -> String {
        var scanner = CodeScanner(bytes: Array(text.utf8))
        scanner.scan()
        return String(decoding: scanner.output, as: UTF8.self)
    }

    private init(bytes: [UInt8]) { self.bytes = bytes }

    private func at(_ offset: Int) -> UInt8 {
        position + offset < bytes.count ? bytes[position + offset] : 0
    }

    private mutating func scan() {
        while position < bytes.count {
            switch stack[stack.count - 1] {
            case .code(let depth): scanCode(depth)
            case .string(let quotes): scanString(quotes)
            }
        }
    }

    private mutating func emit(_ byte: UInt8) {
        output.append(byte)
        position += 1
    }

    private mutating func scanCode(_ depth: Int?) {
        let byte = at(0)
        if byte == Self.quote {
            let quotes = at(1) == Self.quote && at(2) == Self.quote ? 3 : 1
            stack.append(.string(quotes: quotes))
            output.append(Self.quote)
            position += quotes
        } else if byte == Self.slash, at(1) == Self.slash {
            while position < bytes.count, at(0) != Self.newline { position += 1 }
        } else if let depth, byte == UInt8(ascii: ")"), depth == 0 {
            stack.removeLast()
            emit(UInt8(ascii: " "))
        } else {
            if let depth {
                let change = byte == UInt8(ascii: "(") ? 1 : byte == UInt8(ascii: ")") ? -1 : 0
                stack[stack.count - 1] = .code(depth: depth + change)
            }
            emit(byte)
        }
    }

    private mutating func scanString(_ quotes: Int) {
        let byte = at(0)
        if byte == UInt8(ascii: "\\") {
            if at(1) == UInt8(ascii: "(") { stack.append(.code(depth: 0)) }
            position += 2
        } else if byte == Self.quote, quotes == 1 || (at(1) == Self.quote && at(2) == Self.quote) {
            stack.removeLast()
            output.append(Self.quote)
            position += quotes
        } else if byte == Self.newline {
            if quotes == 1 { stack.removeLast() }
            emit(byte)
        } else {
            position += 1
        }
    }
}
