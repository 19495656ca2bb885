internal import Consensus
internal import Platform
internal import Supervision

/// How Postgres names what lies in pg_wal.
enum WALNames {
    static func history(_ timeline: Timeline) -> String { hexadecimal(timeline) + ".history" }

    static func timeline(ofHistory name: String) -> Timeline? {
        guard name.hasSuffix(".history"), name.utf8.count == 16 else { return nil }
        return Timeline(name.prefix(8), radix: 16)
    }

    static func segment(_ position: LSN, timeline: Timeline, segmentBytes: UInt64) -> String {
        let number = position.bytes / segmentBytes
        let perFile = (UInt64(1) << 32) / segmentBytes
        return hexadecimal(timeline) + hexadecimal(UInt32(number / perFile))
            + hexadecimal(UInt32(number % perFile))
    }

    /// Which place a segment's name means; nil for every other name.
    static func segment(_ name: String, segmentBytes: UInt64) -> (timeline: Timeline, number: UInt64)? {
        let digits = Array(name.utf8)
        guard digits.count == 24, let timeline = Timeline(name.prefix(8), radix: 16),
            let high = UInt64(name.dropFirst(8).prefix(8), radix: 16),
            let low = UInt64(name.suffix(8), radix: 16)
        else { return nil }
        return (timeline, high * ((UInt64(1) << 32) / segmentBytes) + low)
    }

    private static func hexadecimal(_ value: UInt32) -> String {
        let digits = String(value, radix: 16, uppercase: true)
        return String(repeating: "0", count: 8 - digits.count) + digits
    }
}

/// A timeline's ancestors and where each of them was left.
struct TimelineHistory: Hashable {
    struct Branch: Hashable {
        var timeline: Timeline
        var left: LSN
    }

    /// Oldest first. Empty in a placeholder.
    var branches: [Branch]

    init(parsing text: String) {
        branches = text.split(whereSeparator: \.isNewline).compactMap { line in
            let words = line.split { $0 == "\t" || $0 == " " }
            guard words.count >= 2, let timeline = Timeline(words[0]), let left = LSN(String(words[1])) else {
                return nil
            }
            return Branch(timeline: timeline, left: left)
        }
    }

    /// Where this timeline begins.
    var start: LSN? { branches.last?.left }

    /// Whose file holds segment `number`: of the timelines that share it the newest, which begins with a copy
    /// of what its parent has there.
    func timeline(of number: UInt64, segmentBytes: UInt64, newest: Timeline) -> Timeline {
        branches.first { $0.left.bytes / segmentBytes > number }?.timeline ?? newest
    }

    func left(_ timeline: Timeline) -> LSN? { branches.first { $0.timeline == timeline }?.left }
}

/// The directory pg_wal, as far as timelines are concerned (docs/internals/postgres.md).
struct WALDirectory {
    let path: String

    init(_ dataDirectory: String) { path = dataDirectory + "/pg_wal" }

    /// The text that makes Postgres pass over a number.
    static let placeholder = "# burnt: this timeline is never to be followed\n"

    func historyTimelines() throws(SystemError) -> [Timeline] {
        try Files.list(path).compactMap(WALNames.timeline(ofHistory:)).sorted()
    }

    /// Nil when there is no such file.
    func history(_ timeline: Timeline) -> TimelineHistory? {
        guard let text = try? Files.readText("\(path)/\(WALNames.history(timeline))") else { return nil }
        return TimelineHistory(parsing: text)
    }

    /// The timeline that the log is on where it ends at `end`: the newest one whose history is here, which
    /// has begun by then, and of which there is WAL at that place.
    ///
    /// A timeline counts only from where it begins: before that the same bytes are its parent's.
    ///
    /// - Parameter histories: of `historyTimelines`, for whoever has looked already.
    func timeline(
        atEnd end: LSN, segmentBytes: UInt64, knownToBe least: Timeline, histories: [Timeline]? = nil
    ) throws(SystemError) -> Timeline {
        let last = LSN(end.bytes == 0 ? 0 : end.bytes - 1)
        let candidates = if let histories { histories } else { try historyTimelines() }
        for candidate in candidates.reversed() where candidate > least {
            guard let start = history(candidate)?.start, end >= start else { continue }
            let name = WALNames.segment(last, timeline: candidate, segmentBytes: segmentBytes)
            if Files.exists("\(path)/\(name)") { return candidate }
        }
        return least
    }

    /// Removes history files, and makes that last.
    func removeHistories(where isUnwanted: (Timeline) -> Bool) throws(SystemError) -> [Timeline] {
        let unwanted = try historyTimelines().filter(isUnwanted)
        for timeline in unwanted { try Files.removeDurably("\(path)/\(WALNames.history(timeline))") }
        return unwanted
    }

    /// Removes the history files that would lead a start astray: Postgres follows the newest one that it
    /// finds.
    ///
    /// - Parameter limit: the newest timeline that may be followed; nil while the cluster's history is
    ///   unknown.
    /// - Parameter history: the timelines that may be followed at all; nil likewise.
    func sanitize(
        for control: ControlData, limit: Timeline?, history known: [Timeline]? = nil
    ) throws(SystemError) -> [Timeline] {
        let own = control.timeline
        var newest = own
        // Who was writing replays its own log to its own end first: what it wrote past a branch must show.
        if control.wasRecovering {
            for candidate in try historyTimelines() where candidate > own && candidate <= limit ?? .max {
                guard let history = history(candidate), let left = history.left(own),
                    left >= control.position.lsn,
                    holdsParents(of: candidate, history, segmentBytes: control.segmentBytes),
                    known?.contains(candidate) ?? true
                else { continue }
                newest = candidate
            }
        }
        let strangers = try removeHistories { timeline in
            timeline > newest
                || (timeline > own && known?.contains(timeline) == false && history(timeline)?.start != nil)
        }
        // Postgres looks for the next one in an unbroken row: those in between go on as numbers only.
        for timeline in strangers where timeline < newest {
            try Files.replaceDurably(
                "\(path)/\(WALNames.history(timeline))", Array(Self.placeholder.utf8))
        }
        return strangers
    }

    /// Whether no segment in which a branch begins holds less of the parent than the parent's own.
    ///
    /// A walreceiver fills the first segment of a new timeline from the segment's beginning, though the
    /// branch begins further on. Cut early and restarted, Postgres reads the newer file, misses what the
    /// older one holds, and either refuses to start or takes the log to end before what was acknowledged.
    private func holdsParents(
        of timeline: Timeline, _ history: TimelineHistory, segmentBytes: UInt64
    ) -> Bool {
        let children = history.branches.dropFirst().map(\.timeline) + [timeline]
        return zip(history.branches, children).allSatisfy { parent, child in
            func file(_ timeline: Timeline) -> String {
                path + "/" + WALNames.segment(parent.left, timeline: timeline, segmentBytes: segmentBytes)
            }
            guard Files.exists(file(parent.timeline)), Files.exists(file(child)) else { return true }
            return Self.agree(file(parent.timeline), file(child), upTo: parent.left.bytes % segmentBytes)
        }
    }

    private static func agree(_ one: String, _ other: String, upTo end: UInt64) -> Bool {
        let chunk: UInt64 = 1 << 20
        return stride(from: 0, to: end, by: UInt64.Stride(chunk)).allSatisfy { place in
            let count = Int(min(chunk, end - place))
            guard let left = try? Files.read(one, at: place, count: count),
                let right = try? Files.read(other, at: place, count: count)
            else { return false }
            return left.count == count && left == right
        }
    }

    /// Makes Postgres choose exactly `timeline` at its next promotion: it takes the number after the last one
    /// in an unbroken row of history files.
    func reserve(_ timeline: Timeline, from current: Timeline) throws(SystemError) {
        _ = try removeHistories { $0 >= timeline }
        guard current < timeline else { return }
        for number in current + 1..<max(timeline, current + 1) {
            let file = "\(path)/\(WALNames.history(number))"
            if Files.exists(file) { continue }
            try Files.replaceDurably(file, Array(Self.placeholder.utf8))
        }
    }
}
