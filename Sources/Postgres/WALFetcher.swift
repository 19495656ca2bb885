internal import Consensus
internal import Platform
internal import Supervision

/// Brings single segments of WAL from other members, as files, by the functions that pg_rewind uses too.
struct WALFetcher {
    let wal: WALDirectory
    /// The primary first.
    let sources: [Upstream]
    let systemIdentifier: UInt64
    let segmentBytes: UInt64

    /// Segments that one rewind may bring before a copy is the shorter way.
    static let limit = 256
    /// Read at a time.
    private static let pieceBytes: UInt64 = 1 << 20
    private static let patience = Duration.seconds(30)

    /// - Throws: `Impossible` when nobody has it.
    func fetch(_ name: String, from members: [Upstream]? = nil) throws {
        var reasons: [String] = []
        for source in members ?? sources {
            do {
                let bytes = try read(name, from: source)
                guard isSegment(bytes, name) else {
                    reasons.append("\(source.member) has other content")
                    continue
                }
                return try Files.replaceDurably("\(wal.path)/\(name)", bytes)
            } catch let error as PostgresError {
                reasons.append("\(source.member): \(error)")
            }
        }
        throw Impossible("nobody has WAL \(name) any more (\(reasons.joined(separator: "; ")))")
    }

    /// Where a primary's log ends on its disk now.
    func position(of source: Upstream) throws -> LSN {
        let session = try Session.open(source.parameters, until: Deadline.after(Self.patience))
        let text = try session.query(
            "select pg_current_wal_flush_lsn()", until: Deadline.after(Self.patience)
        )
        .value
        guard let position = text.flatMap({ LSN($0) }) else {
            throw PostgresError(.lost, "asking \(source.member) for its position", "no answer")
        }
        return position
    }

    func awaitFlush(of source: Upstream, _ position: LSN) throws {
        let deadline = Deadline.after(Self.patience)
        while try self.position(of: source) < position {
            if Deadline.isPast(deadline) {
                throw PostgresError(.timedOut, "waiting for \(source.member) to flush \(position)")
            }
            Deadline.pause(.milliseconds(50))
        }
    }

    private func read(_ name: String, from source: Upstream) throws -> [UInt8] {
        let session = try Session.open(source.parameters, until: Deadline.after(Self.patience))
        var bytes: [UInt8] = []
        bytes.reserveCapacity(Int(segmentBytes))
        while UInt64(bytes.count) < segmentBytes {
            let text = try session.query(
                "select encode(pg_read_binary_file($1, $2, $3, false), 'hex')",
                ["pg_wal/" + name, String(bytes.count), String(Self.pieceBytes)],
                until: Deadline.after(Self.patience)
            ).value
            guard let text, !text.isEmpty else { break }
            Self.decode(text, into: &bytes)
        }
        return bytes
    }

    private static func decode(_ text: String, into bytes: inout [UInt8]) {
        var high: UInt8?
        for digit in text.utf8 where digit != UInt8(ascii: "\n") {
            let value =
                digit <= UInt8(ascii: "9") ? digit - UInt8(ascii: "0") : digit - UInt8(ascii: "a") + 10
            if let first = high {
                bytes.append(first << 4 | value)
                high = nil
            } else {
                high = value
            }
        }
    }

    /// The header of the first page names the place, the system and the size (access/xlog_internal.h): a file
    /// that was recycled for later use bears an old one.
    private func isSegment(_ bytes: [UInt8], _ name: String) -> Bool {
        guard UInt64(bytes.count) == segmentBytes,
            let segment = WALNames.segment(name, segmentBytes: segmentBytes)
        else { return false }
        func number(_ offset: Int, _ count: Int) -> UInt64 {
            bytes[offset..<offset + count].reversed().reduce(0) { $0 << 8 | UInt64($1) }
        }
        return number(8, 8) == segment.number * segmentBytes && number(24, 8) == systemIdentifier
            && number(32, 4) == segmentBytes
    }
}
