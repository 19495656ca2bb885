import TestSupport
import Testing

/// The clock on the wall is set by people and by NTP, an hour back if they like: it may be shown, and nothing
/// may be decided by it (protocol: Times).
@Suite struct WallClockTests {
    /// Who may look at it, and what for.
    static let places = [
        "Sources/Platform/Clocks.swift": "reads it",
        "Sources/Platform/Log.swift": "the date before a line of the log",
        "Sources/Control/AnswerLines.swift": "the date of an event",
        "Sources/Postgres/DivergedWAL.swift": "the date in a note for people",
        "Sources/matriarchd/Founding.swift": "the date of joining, in `status`",
        "Sources/matriarchd/StatusPublisher.swift": "the dates in `status`",
        "Sources/matriarchd/ControlDesk.swift": "when a pause ends, in words; it ends by the boot clock",
    ]

    /// The dates in the document, and who hands them on; no rule reads them.
    static let dates = [
        #"\.joined\b(?!\()"#: [
            "Sources/Supervision/Member.swift", "Sources/Supervision/Membership.swift",
            "Sources/Supervision/Node+Status.swift",
        ],
        #"\b[pP]ause\??\.until\b"#: [],
    ]

    private static let looks =
        #"\bWallClock\b|CLOCK_(REALTIME|TAI)|\bgettimeofday\b|\btime\((nil|NULL|0|&)|\bDate(\(|\.now)"#

    private static func looking(_ code: [Substring]) throws -> [Int] {
        let expression = try Regex(looks).wordBoundaryKind(.simple)
        return code.indices.filter { code[$0].contains(expression) }.map { $0 + 1 }
    }

    private static var product: [String] {
        SourceTree.files(below: "Sources").filter { path in
            let isSource = [".swift", ".c", ".h"].contains { path.hasSuffix($0) }
            return isSource && !path.hasPrefix("Sources/Lab/") && !path.hasPrefix("Sources/matriarch-lab/")
        }
    }

    @Test func onlyNamedPlacesLookAtTheClockOnTheWall() throws {
        var seen = Set<String>()
        for path in Self.product {
            let file = SourceFile(path: path, text: try SourceTree.read(SourceTree.root + "/" + path))
            let lines = try Self.looking(file.codeLines)
            if Self.places[path] != nil, !lines.isEmpty { seen.insert(path) }
            guard Self.places[path] == nil else { continue }
            #expect(lines.isEmpty, "\(path): lines \(lines) look at the clock on the wall; use BootClock")
        }
        #expect(seen == Set(Self.places.keys), "a place in the table does not look at it any more")
    }

    /// Database time is wall time too: what Postgres says of dates must not come back as a fact.
    @Test func noQueryAsksPostgresForTheTime() throws {
        let words = #/\bnow\(\)\s*[-+<>]|clock_timestamp|current_timestamp|replay_timestamp|localtimestamp/#
        for path in Self.product where path.hasPrefix("Sources/Postgres/") {
            let text = try SourceTree.read(SourceTree.root + "/" + path)
            let queries = text.split(separator: "\n").filter { !$0.contains("BootClock.now()") }
            #expect(!queries.contains { $0.contains(words) }, "\(path) asks Postgres for the time")
        }
    }

    @Test func theDatesInTheDocumentAreOnlyPassedOn() throws {
        for (date, files) in Self.dates {
            let read = try Regex(date).wordBoundaryKind(.simple)
            let compared = try Regex(date + #"\s*(==|!=|[<>]|[-+])"#).wordBoundaryKind(.simple)
            for file in PureBlock.files where !file.path.hasPrefix("Sources/Simulator/") {
                let lines = file.codeLines.filter { $0.contains(read) }
                #expect(lines.isEmpty || files.contains(file.path), "\(file.path) reads a date: \(lines)")
                #expect(!lines.contains { $0.contains(compared) }, "\(file.path) compares a date")
            }
        }
    }

    @Test func aPlantedLookIsFound() throws {
        let planted = """
            let now = WallClock.now()
            clock_gettime(CLOCK_REALTIME, &now);
            clock_gettime(CLOCK_BOOTTIME, &now);
            let start = time(nil)
            wait(time: now)
            """
        #expect(try Self.looking(planted.split(separator: "\n")) == [1, 2, 4])
    }
}
