import TestSupport
import Testing

/// What must not be written, and what to write instead.
@Suite struct BanTests {
    struct Ban: Sendable {
        let pattern: String
        let instead: String

        init(_ pattern: String, use instead: String) {
            self.pattern = pattern
            self.instead = instead
        }
    }

    /// A simulated run must be the same run each time, so the deciding block has no clock, no luck and no
    /// mouth.
    static let pure = [
        Ban(#"\bDate\("#, use: "the `now` that step() is given"),
        Ban(#"\b(Continuous|Suspending)Clock\b"#, use: "the `now` that step() is given"),
        Ban(#"\bUUID\("#, use: "an identity drawn by the program and passed in"),
        Ban(
            #"\.shuffled\(\)|\.randomElement\(\)"#, use: "the variant with `using:`"),
        Ban(
            #"\.random\(in: (?!.*using:)"#, use: "random(in:using:) with the seeded generator"
        ),
        Ban(#"\bSystemRandomNumberGenerator\b"#, use: "the seeded generator"),
        Ban(#"(^|[^.\w])(print|debugPrint|dump)\("#, use: "an effect"),
        Ban(#"\.hashValue\b"#, use: "a comparison; hashes differ from run to run"),
        Ban(#"\b(Thread|Mutex|Atomic)\b"#, use: "a value"),
    ]

    static let everywhere = [
        Ban(#"\btry!"#, use: "do/catch, or a throwing function"),
        Ban(#"\bas!"#, use: "as? and an answer for nil"),
        Ban(#"\bfatalError\(\)"#, use: "invariant(…) or fatalError with a message"),
        Ban(#"@MainActor\b"#, use: "the control thread"),
        Ban(#"\bimport Foundation\b"#, use: "import FoundationEssentials"),
    ]

    static let product = [
        Ban(#"\basync\b|\bawait\b"#, use: "events and effects on the control thread"),
        Ban(#"\bDispatch(Queue|Source|Semaphore|Group)?\b"#, use: "a Platform thread or the event loop"),
        Ban(#"\bURLSession\b|\bJSONSerialization\b"#, use: "Platform sockets, Codable"),
        Ban(#"\bTask\s*[.{(]"#, use: "events and effects on the control thread"),
    ]

    static let tests = [
        Ban(#"\bTask\.sleep\b|\b(u|nano)?sleep\("#, use: "waitUntil(…), which fails with a description")
    ]

    static func findings(of bans: [Ban], in file: SourceFile) throws -> [String] {
        try bans.flatMap { ban in
            let expression = try Regex(ban.pattern).wordBoundaryKind(.simple)
            return file.codeLines.enumerated().compactMap { index, line in
                line.contains(expression)
                    ? "\(file.path):\(index + 1): '\(line.trimmingSpaces)': use \(ban.instead)" : nil
            }
        }
    }

    @Test func theDecidingBlockHasNoClockNoLuckAndNoMouth() throws {
        for file in PureBlock.files { expectNone(try Self.findings(of: Self.pure, in: file)) }
    }

    @Test func productAndTestsTakeNoShortcuts() throws {
        for file in SourceFile.swift(in: "Sources") + SourceFile.swift(in: "Tests") {
            expectNone(try Self.findings(of: Self.everywhere, in: file))
        }
    }

    @Test func productCodeRunsOnPlainThreads() throws {
        for file in SourceFile.swift(in: "Sources") {
            expectNone(try Self.findings(of: Self.product, in: file))
        }
    }

    @Test func testsWaitForConditionsNotForTime() throws {
        for file in SourceFile.swift(in: "Tests") where file.path != "Tests/TestSupport/Waiting.swift" {
            expectNone(try Self.findings(of: Self.tests, in: file))
        }
    }

    @Test func nothingIsLeftForLater() {
        let marks = ["TO" + "DO", "FIX" + "ME", "XX" + "X", "HA" + "CK"]
        for file in SourceFile.swift(in: "Sources") + SourceFile.swift(in: "Tests") + SourceFile.documents() {
            for (index, line) in file.textLines.enumerated() {
                let words = line.split { !$0.isLetter }
                for mark in marks where words.contains(Substring(mark)) {
                    Issue.record("\(file.path):\(index + 1): \(mark); do it, or open a ticket")
                }
            }
        }
    }

    @Test func theDecidingBlockIteratesNothingHashed() {
        for file in PureBlock.files { expectNone(HashedIteration.findings(in: file)) }
    }

    @Test func aPlantedMistakeIsFound() throws {
        let planted = SourceFile(
            path: "planted",
            text: """
                struct Planted {
                    var votes: [MemberID: Bool] = [:]
                    var seen = Set<MemberID>()
                    func step() {
                        for (member, vote) in votes { send(member, vote) }
                        for member in seen.sorted() { send(member) }  // fine: for x in votes
                        _ = seen.map { $0 }
                        let now = Date()
                        print("Date() in quotes is fine \\(Date())")
                        _ = Int.random(in: 0...3)
                        _ = Int.random(in: 0...3, using: &generator)
                    }
                }
                """)
        #expect(HashedIteration.findings(in: planted).count == 2)
        #expect(try Self.findings(of: Self.pure, in: planted).count == 4)
    }
}

/// Dictionaries and sets come in another order in every run; as far as text can tell, nothing depends on it.
enum HashedIteration {
    static func findings(in file: SourceFile) -> [String] {
        let names = hashedNames(in: file)
        guard !names.isEmpty, let use = expression(for: names) else { return [] }
        return file.codeLines.enumerated().compactMap { index, line in
            guard line.contains(use), !line.contains(".sorted") else { return nil }
            return "\(file.path):\(index + 1): '\(line.trimmingSpaces)': sort first, or keep a sorted array"
        }
    }

    /// Names declared in the file as a dictionary or a set.
    private static func hashedNames(in file: SourceFile) -> [String] {
        let declared = #/(?:var|let)\s+(\w+)\s*(?::|=)\s*(?:\[\s*[\w.]+\s*:[^\]=]|Set<|Dictionary<)/#
        return file.codeLines.compactMap { line in
            line.firstMatch(of: declared).map { String($0.1) }
        }
    }

    private static func expression(for names: [String]) -> Regex<AnyRegexOutput>? {
        let name = "(?:self\\.)?(?:\(names.joined(separator: "|")))"
        let walks = "map|flatMap|compactMap|forEach|first|filter|keys|values|enumerated|reduce"
        let orderless = "allSatisfy|contains|count|isEmpty|max|min"
        let pattern =
            "\\bin \(name)\\b(?!\\[|\\.)|\\b\(name)\\.(?:\(walks))\\b(?!\\.(?:\(orderless))\\b)"
        return (try? Regex(pattern))?.wordBoundaryKind(.simple)
    }
}

/// Records each finding as a failure of its own, in words.
func expectNone(_ findings: [String]) {
    for finding in findings { Issue.record(Comment(rawValue: finding)) }
}

extension Substring {
    var trimmingSpaces: String { String(drop { $0 == " " }) }
}
