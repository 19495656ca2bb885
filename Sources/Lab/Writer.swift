internal import Platform
internal import Synchronization

/// Applications that write: one per door, each a unique row every beat, remembering what was acknowledged.
///
/// What Postgres acknowledged and is not there afterwards was lost; the longest time between two
/// acknowledgements, through any door, is how long writes were away.
public final class Writer: Sendable {
    public struct Acknowledged: Sendable {
        public var id: Int64
        public var door: String
        public var sent: Moment
        public var at: Moment
    }

    /// A stretch of time without any acknowledged write.
    public struct Gap: Sendable {
        public var from: Moment
        public var until: Moment
        public var length: Duration { until - from }
    }

    public static let table = "lab_writes"
    /// The time between two writes through one door, from start to start.
    public static let beat: Duration = .milliseconds(10)
    /// An application's patience: longer than any planned hand-over, shorter than a person's.
    private static let limit: Duration = .seconds(2)
    /// Far above what a test of some minutes writes (3 doors x 100 per second); a bound all the same.
    private static let mostRecords = 1_000_000

    private struct State {
        var acknowledged: [Acknowledged] = []
        var errors: [String: Int] = [:]
        var stopped = false
    }

    /// Shared by all writers of this process: a herd outlives a writer, and its table the rows.
    private static let lastID = Atomic<Int64>(0)

    private let doors: [Door]
    private let state = Mutex(State())
    private let threads = Mutex<[Thread]>([])

    public init(through doors: [Door]) { self.doors = doors }

    /// Makes the table through one door; run once per database.
    public static func prepare(_ door: Door) throws {
        let session = try Session(door, within: .seconds(30))
        try session.run(
            "create table if not exists \(table)(id bigint primary key, door text not null)",
            within: .seconds(30))
        try session.run(
            "create table if not exists \(SingleWriterWatch.table)(node text not null)", within: .seconds(30))
    }

    public func start() throws {
        for door in doors {
            let thread = try Thread.start(name: "writer-\(door.node)") { [self] in write(through: door) }
            threads.withLock { $0.append(thread) }
        }
    }

    /// Ends the writing and waits for the last statements.
    public func stop() {
        state.withLock { $0.stopped = true }
        let running = threads.withLock { threads in
            defer { threads = [] }
            return threads
        }
        running.forEach { $0.join() }
    }

    public var acknowledged: [Acknowledged] { state.withLock { $0.acknowledged } }
    public var count: Int { state.withLock { $0.acknowledged.count } }
    /// Each kind of failure with its number, the most frequent first.
    public var errors: [(String, Int)] {
        state.withLock { $0.errors.sorted { ($1.value, $0.key) < ($0.value, $1.key) } }
    }

    /// The longest gap that began at or after `start`, or that `start` fell into.
    public func longestGap(since start: Moment, until end: Moment = .current) -> Gap {
        let moments = acknowledged.map(\.at).filter { $0 <= end }.sorted()
        var last = moments.last { $0 < start } ?? start
        var longest = Gap(from: last, until: last)
        for moment in moments.filter({ $0 >= start }) + [end] {
            if moment - last > longest.length { longest = Gap(from: last, until: moment) }
            last = moment
        }
        return longest
    }

    /// The rows that were acknowledged and are not in the database behind `door`.
    public func lost(readingFrom door: Door) throws -> [Acknowledged] {
        // Taken first: what is acknowledged while the table is read need not be in what was read.
        let promised = acknowledged
        let session = try Session(door, within: .seconds(10))
        let present = Set(
            try session.run("select id from \(Writer.table)", within: .seconds(30)).compactMap { row in
                row.first.flatMap { $0 }.flatMap { Int64($0) }
            })
        return promised.filter { !present.contains($0.id) }
    }

    private func write(through door: Door) {
        var session: Session?
        while !state.withLock({ $0.stopped || $0.acknowledged.count >= Writer.mostRecords }) {
            let began = Moment.current
            do throws(SessionError) {
                let open = try Session.reusing(session, at: door, within: Writer.limit)
                session = open
                try insert(open, door)
            } catch .refused(let code, let message) {
                note("\(code) \(message)")
                // A standby stays one for this connection's life as far as an application knows.
                session = nil
            } catch {
                note(error.description)
                session = nil
            }
            pause(Writer.beat - (.current - began))
        }
    }

    private func insert(_ session: Session, _ door: Door) throws(SessionError) {
        let id = Writer.lastID.add(1, ordering: .relaxed).newValue
        let sent = Moment.current
        try session.run("insert into \(Writer.table) values (\(id), '\(door.node)')", within: Writer.limit)
        let record = Acknowledged(id: id, door: door.node, sent: sent, at: .current)
        state.withLock { $0.acknowledged.append(record) }
    }

    private func note(_ error: String) {
        let kind = String(error.prefix(200))
        state.withLock { state in
            if state.errors.count < 200 || state.errors[kind] != nil { state.errors[kind, default: 0] += 1 }
        }
    }
}
