internal import Consensus
internal import Platform
internal import Supervision

/// What Postgres's control file says, as `pg_controldata` prints it.
struct ControlData: Hashable, Sendable {
    enum State: Hashable, Sendable {
        /// Stopped cleanly as a primary: the log ends with the shutdown checkpoint.
        case shutDown
        case shutDownInRecovery
        /// Recovering as a standby when last heard of.
        case inRecovery
        /// Writing when last heard of.
        case inProduction
        /// In the middle of starting or stopping as a primary.
        case between(String)
    }

    var systemIdentifier: UInt64
    var state: State
    var checkpoint: LSN
    var checkpointTimeline: Timeline
    /// Zero when it was not in recovery.
    var minimumRecovery: Position
    var segmentBytes: UInt64
    /// Settings of the primary that a standby must not be below, by their names in postgresql.conf.
    var required: [String: Int]

    /// The newest timeline that this directory certainly was on. After a promotion the checkpoint is still
    /// the old timeline's for a while, but the minimum recovery point is not.
    var timeline: Timeline { max(checkpointTimeline, minimumRecovery.timeline) }

    /// A lower bound for the end of the log.
    var position: Position {
        Position(timeline: timeline, lsn: max(checkpoint, minimumRecovery.lsn))
    }

    var wasRecovering: Bool { state == .shutDownInRecovery || state == .inRecovery }

    static func read(_ site: PostgresSite, directory: String? = nil) throws -> ControlData {
        let directory = directory ?? site.dataDirectory
        return try ControlData(parsing: try site.run("pg_controldata", ["-D", directory], limit: 10))
    }

    init(parsing text: String) throws {
        var fields: [Substring: String] = [:]
        for line in text.split(separator: "\n") {
            guard let colon = line.firstIndex(of: ":") else { continue }
            let value = line[line.index(after: colon)...].drop { $0 == " " }
            fields[line[..<colon]] = String(value)
        }
        func field(_ name: Substring) throws -> String {
            guard let value = fields[name] else {
                throw PostgresError.refused("pg_controldata", "no line '\(name)'")
            }
            return value
        }
        func value<Value>(_ name: Substring, _ read: (String) -> Value?) throws -> Value {
            let text = try field(name)
            guard let value = read(text) else {
                throw PostgresError.refused("pg_controldata", "'\(name)' is '\(text)'")
            }
            return value
        }
        systemIdentifier = try value("Database system identifier") { UInt64($0) }
        state = Self.state(try field("Database cluster state"))
        checkpoint = try value("Latest checkpoint location") { LSN($0) }
        checkpointTimeline = try value("Latest checkpoint's TimeLineID") { Timeline($0) }
        minimumRecovery = Position(
            timeline: try value("Min recovery ending loc's timeline") { Timeline($0) },
            lsn: try value("Minimum recovery ending location") { LSN($0) })
        segmentBytes = try value("Bytes per WAL segment") { UInt64($0) }
        required = [:]
        for name in [
            "max_connections", "max_worker_processes", "max_wal_senders", "max_prepared_xacts",
            "max_locks_per_xact",
        ] {
            let setting = Self.settingNames[name] ?? name
            required[setting] = try value("\(name) setting"[...]) { Int($0) }
        }
    }

    /// Where pg_controldata abbreviates.
    private static let settingNames = [
        "max_prepared_xacts": "max_prepared_transactions", "max_locks_per_xact": "max_locks_per_transaction",
    ]

    private static func state(_ text: String) -> State {
        switch text {
        case "shut down": .shutDown
        case "shut down in recovery": .shutDownInRecovery
        case "in archive recovery": .inRecovery
        case "in production": .inProduction
        default: .between(text)
        }
    }

    /// Where the log of a cleanly stopped primary ends: the end of the shutdown checkpoint's record. Its
    /// standbys have flushed exactly this when they were connected.
    func end(of directory: String) throws -> Position? {
        guard state == .shutDown else { return nil }
        let length = try recordLength(at: checkpoint, in: directory)
        let end = WALPages(segmentBytes: segmentBytes).end(ofRecordAt: checkpoint, length: length)
        return Position(timeline: checkpointTimeline, lsn: end)
    }

    /// The first four bytes of a record are its length; records begin at multiples of eight, so no page
    /// border cuts them.
    private func recordLength(at position: LSN, in directory: String) throws -> UInt64 {
        let name = WALNames.segment(position, timeline: checkpointTimeline, segmentBytes: segmentBytes)
        let path = "\(directory)/pg_wal/\(name)"
        let bytes = try Files.read(path, at: position.bytes % segmentBytes, count: 4)
        let length = bytes.reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        // 24 bytes of header; a checkpoint's record is far below one page.
        guard bytes.count == 4, (24...8192).contains(length) else {
            throw PostgresError.refused(
                "reading the shutdown checkpoint", "\(path) holds no record at \(position)")
        }
        return length
    }
}

/// The page layout of WAL, to follow a record over page borders (access/xlog_internal.h: a header of 24 bytes
/// on each page of 8 kB, 40 on the first one of a segment).
struct WALPages {
    static let pageBytes: UInt64 = 8192
    var segmentBytes: UInt64

    private func headerBytes(at page: UInt64) -> UInt64 { page % segmentBytes == 0 ? 40 : 24 }

    func end(ofRecordAt start: LSN, length: UInt64) -> LSN {
        var left = (length + 7) & ~7
        var at = start.bytes
        while true {
            let pageEnd = (at / Self.pageBytes + 1) * Self.pageBytes
            if left <= pageEnd - at { return LSN(at + left) }
            left -= pageEnd - at
            at = pageEnd + headerBytes(at: pageEnd)
        }
    }
}
