internal import Consensus
internal import Glibc
internal import Platform
internal import Supervision

/// Where WAL is kept that a member wrote, or received, and that did not become part of the history: rewinding
/// and copying would destroy the only trace of it.
struct DivergedWAL {
    let site: PostgresSite
    let segmentBytes: UInt64

    /// Of one log; what lies nearest to the history is kept.
    static let limitBytes: UInt64 = 1 << 30
    /// Of all that are kept the oldest goes first.
    static let limitCount = 8
    /// What must stay free beside it.
    private static let spareBytes: UInt64 = 512 << 20

    var directory: String { site.divergedDirectory }

    /// Copies the WAL past the fork, with a note of what it is. Twice the same is saved once.
    ///
    /// - Returns: what was done, in words for the operator.
    func save(_ divergence: Divergence, of member: MemberID) throws -> String {
        let names = try segments(of: divergence)
        guard !names.isEmpty else { return "no WAL is left of what is given up: \(divergence)" }
        let target = "\(directory)/\(Self.name(divergence))"
        if Files.exists(target) { return "what is given up is in \(target) already" }
        let kept = Array(names.prefix(Int(Self.limitBytes / segmentBytes)))
        let bytes = UInt64(kept.count) * segmentBytes
        if try Files.freeBytes(at: Files.directory(of: site.dataDirectory)) < bytes + Self.spareBytes {
            return "there is no room to keep the \(bytes >> 20) MB of WAL that are given up: \(divergence)"
        }
        try Files.makeDirectory(directory)
        let unfinished = target + ".unfinished"
        try Files.removeTree(unfinished)
        try Files.makeDirectory(unfinished)
        let wal = WALDirectory(site.dataDirectory)
        let histories = try wal.historyTimelines().filter { $0 <= divergence.end.timeline }
            .map(WALNames.history)
        for name in kept + histories {
            try Files.copyDurably("\(wal.path)/\(name)", to: "\(unfinished)/\(name)")
        }
        let note = Self.note(divergence, of: member, in: site.clusterName, kept, outOf: names.count, bytes)
        try Files.replaceDurably(unfinished + "/NOTE", Array(note.utf8), mode: 0o644)
        try Files.renameDurably(unfinished, to: target)
        try removeOldest()
        return "\(bytes >> 20) MB of WAL that are given up are kept in \(target)"
    }

    /// The files that hold WAL from the fork to the end, in order.
    private func segments(of divergence: Divergence) throws -> [String] {
        let first = divergence.fork.lsn.bytes / segmentBytes
        let last = (max(divergence.end.lsn.bytes, 1) - 1) / segmentBytes
        let found = try Files.list(site.data("pg_wal")).compactMap { name in
            WALNames.segment(name, segmentBytes: segmentBytes).map { (name, $0.timeline, $0.number) }
        }
        return found.filter { _, timeline, number in
            (first...max(first, last)).contains(number)
                && (divergence.fork.timeline...max(divergence.fork.timeline, divergence.end.timeline))
                    .contains(timeline)
        }.sorted { ($0.2, $0.1) < ($1.2, $1.1) }.map(\.0)
    }

    private static func name(_ divergence: Divergence) -> String {
        let from = "\(divergence.fork.lsn)".map { $0 == "/" ? "-" : $0 }
        let to = "\(divergence.end.lsn)".map { $0 == "/" ? "-" : $0 }
        return "timeline-\(divergence.end.timeline)-from-\(String(from))-to-\(String(to))"
    }

    private static func note(
        _ divergence: Divergence, of member: MemberID, in cluster: String, _ kept: [String],
        outOf count: Int, _ bytes: UInt64
    ) -> String {
        let cut = kept.count < count ? "; the rest was more than is kept" : ""
        return """
            WAL that \(member) has and the history of cluster \(cluster) has not: transactions that were lost
            in a failover, or that nobody was ever told of.

            member    \(member)
            timeline  \(divergence.end.timeline)
            from      \(divergence.fork)
            to        \(divergence.end)
            segments  \(kept.count) of \(count)\(cut)
            bytes     \(bytes)
            saved     \(WallClock.iso8601())

            To see what it holds:
            pg_waldump --path . --timeline \(divergence.fork.timeline) --start \(divergence.fork.lsn)

            """
    }

    private func removeOldest() throws {
        var kept = try Files.list(directory).compactMap { name in
            Files.stamp("\(directory)/\(name)").map { (name, $0.seconds, $0.nanoseconds) }
        }.sorted { ($0.1, $0.2) < ($1.1, $1.2) }
        while kept.count > Self.limitCount {
            try Files.removeTree("\(directory)/\(kept.removeFirst().0)")
        }
    }
}
