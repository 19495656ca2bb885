/// A page of the manual, for tests that do what it says.
public struct ManualPage: Sendable {
    /// What stands between two lines of ```.
    public struct Block: Sendable {
        /// The heading above it.
        public let heading: String
        public let lines: [String]

        public var text: String { lines.joined(separator: "\n") + "\n" }
    }

    /// Relative to the root.
    public let path: String
    public let blocks: [Block]
    /// What stands between single backquotes outside of blocks, and lines indented by four spaces.
    public let quotes: [String]

    public init(_ path: String) throws {
        self.path = path
        var blocks: [Block] = []
        var quotes: [String] = []
        var heading = ""
        var open: [String]?
        let text = try SourceTree.read(SourceTree.root + "/" + path)
        for line in text.split(separator: "\n", omittingEmptySubsequences: false) {
            if line.hasPrefix("```") {
                if let lines = open { blocks.append(Block(heading: heading, lines: lines)) }
                open = open == nil ? [] : nil
            } else if open != nil {
                open?.append(String(line))
            } else {
                if line.hasPrefix("    ") { quotes.append(String(line.drop { $0 == " " })) }
                if line.hasPrefix("#") { heading = String(line.drop { $0 == "#" || $0 == " " }) }
                quotes += line.matches(of: /`([^`]+)`/).map { String($0.output.1) }
            }
        }
        self.blocks = blocks
        self.quotes = quotes
    }

    public static func all() throws -> [ManualPage] {
        let below = ["docs", "benchmarks"].flatMap { SourceTree.files(below: $0) }
        return try (["README.md"] + below).filter { $0.hasSuffix(".md") }.map { try ManualPage($0) }
    }

    /// Every line of a block and every quotation that begins with one of these programs, as words: without
    /// comments, what is set before and what is piped behind.
    public func commands(of programs: Set<String>) -> [[String]] {
        (blocks.flatMap(\.lines) + quotes).compactMap { line in
            let code = line.split(separator: " #", maxSplits: 1, omittingEmptySubsequences: false)[0]
            let first = code.split(separator: "|", omittingEmptySubsequences: false)[0]
            let words = first.split(separator: " ").map(String.init).drop { $0.contains("=") || $0 == "sudo" }
            guard let program = words.first, words.count > 1, programs.contains(program) else { return nil }
            return Array(words)
        }
    }
}
