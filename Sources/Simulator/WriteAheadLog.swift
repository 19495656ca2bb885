import Consensus
import Supervision

/// A client's write, by number.
typealias WriteID = Int

/// What one data directory holds: everything on the way from the first record to `end` on `branch`.
struct Log: Hashable {
    var branch: Int
    var end: LSN
}

/// All WAL that was ever written in this world, as the truth that no member can see.
///
/// Two servers that write after the same record make two branches, whatever timeline number they give them:
/// that is how the checkers tell bytes apart that Postgres can't.
struct WriteAheadLog {
    struct Record {
        let end: LSN
        let write: WriteID
    }

    struct Branch {
        let timeline: Timeline
        /// Where it left its parent; nil for the first of a database.
        let parent: Log?
        let start: LSN
        /// Of all copies the longest.
        var end: LSN
        /// Records that carry a client's write, in order.
        var writes: [Record] = []
    }

    /// Why a server won't stream to a standby.
    enum Refusal: String {
        case unknownTimeline = "requested timeline is not in this server's history"
        case pastBranchPoint = "standby is past the point where this server's history left its timeline"
        case aheadOfServer = "requested starting point is ahead of the WAL flush position of this server"
    }

    private(set) var branches: [Branch] = []

    static let firstLSN = LSN(0x100_0028)
    /// An end-of-recovery or shutdown checkpoint record.
    static let checkpointBytes: UInt64 = 112

    mutating func create(timeline: Timeline) -> Log {
        add(
            Branch(
                timeline: timeline, parent: nil, start: WriteAheadLog.firstLSN, end: WriteAheadLog.firstLSN))
    }

    /// A promotion: a new timeline from where the log ends, begun by its end-of-recovery record.
    mutating func promote(_ log: Log, to timeline: Timeline) -> Log {
        var promoted = add(Branch(timeline: timeline, parent: log, start: log.end, end: log.end))
        _ = append(to: &promoted, bytes: WriteAheadLog.checkpointBytes, write: nil)
        return promoted
    }

    private mutating func add(_ branch: Branch) -> Log {
        branches.append(branch)
        return Log(branch: branches.count - 1, end: branch.end)
    }

    /// Appends a record, durable at once.
    ///
    /// - Returns: true when somebody else had written there before, so that one timeline now has two
    /// contents.
    mutating func append(to log: inout Log, bytes: UInt64, write: WriteID?) -> Bool {
        let forks = log.end != branches[log.branch].end
        if forks {
            log = add(
                Branch(timeline: branches[log.branch].timeline, parent: log, start: log.end, end: log.end))
        }
        log.end = LSN(log.end.bytes + bytes)
        branches[log.branch].end = log.end
        if let write { branches[log.branch].writes.append(Record(end: log.end, write: write)) }
        return forks
    }

    func timeline(of log: Log) -> Timeline { branches[log.branch].timeline }

    func position(of log: Log) -> Position { Position(timeline: timeline(of: log), lsn: log.end) }

    /// The ways that the log came, newest first, each with the place up to which the log holds it.
    func history(of log: Log) -> [Log] {
        var chain = [log]
        while let last = chain.last, let parent = branches[last.branch].parent { chain.append(parent) }
        return chain
    }

    /// Whether `log` holds, byte for byte, everything that `part` holds.
    func contains(_ part: Log, in log: Log) -> Bool {
        var step = log
        while step.branch != part.branch {
            guard let parent = branches[step.branch].parent else { return false }
            step = parent
        }
        return part.end <= step.end
    }

    /// The beginning of `log` up to `lsn`.
    func prefix(of log: Log, upTo lsn: LSN) -> Log {
        var step = log
        while lsn <= branches[step.branch].start, let parent = branches[step.branch].parent { step = parent }
        return Log(branch: step.branch, end: min(lsn, step.end))
    }

    /// What Postgres itself checks before it streams, by timeline numbers and positions.
    func refusal(of standby: Log, by server: Log) -> Refusal? {
        let timeline = timeline(of: standby)
        let chain = history(of: server)
        guard let place = chain.firstIndex(where: { self.timeline(of: $0) == timeline }) else {
            return .unknownTimeline
        }
        guard standby.end > chain[place].end else { return nil }
        return place == 0 ? .aheadOfServer : .pastBranchPoint
    }

    /// The clients' writes of the log that are not in `other`.
    func writes(of log: Log, notIn other: Log) -> [WriteID] {
        var missing: [WriteID] = []
        for part in history(of: log) {
            let start = branches[part.branch].start
            for record in branches[part.branch].writes.reversed() where record.end <= part.end {
                if contains(Log(branch: part.branch, end: record.end), in: other) { return missing }
                missing.append(record.write)
            }
            if contains(Log(branch: part.branch, end: start), in: other) { return missing }
        }
        return missing
    }
}
