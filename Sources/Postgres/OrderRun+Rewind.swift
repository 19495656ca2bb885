internal import Consensus
internal import Glibc
internal import Platform
internal import Supervision

/// Taking a directory back to the history (protocol: Rejoining; docs/internals/postgres.md: Rewinding).
///
/// Until pg_rewind runs in earnest nothing is changed and a failure may be tried again; from there on it is
/// all or nothing.
extension OrderRun {
    func rewind(_ plan: RewindPlan) throws {
        let doing = "rewinding to \(plan.source.member)"
        try requireStopped(doing)
        if Files.exists(site.tornMarker) { throw Impossible("\(doing): an earlier rewind was interrupted") }
        let lock = try Files.lockDirectory(site.dataDirectory)
        defer { withExtendedLifetime(lock) {} }
        let control = try checkTarget(plan, doing)
        try checkCheckpoint(of: plan, doing)
        let store = DivergedWAL(site: site, segmentBytes: control.segmentBytes)
        note(try store.save(plan.divergence, of: plan.member))
        let fetcher = WALFetcher(
            wal: wal, sources: [plan.source] + plan.siblings, systemIdentifier: plan.systemIdentifier,
            segmentBytes: control.segmentBytes)
        try rehearse(plan, fetcher, doing)
        let own = try ownFiles()
        try keepWAL(before: plan.divergence.fork.lsn, control.segmentBytes)
        let begin = try fetcher.position(of: plan.source)
        try cancellation.check(doing)
        try Files.replaceDurably(site.tornMarker, [])
        do {
            _ = try copying("pg_rewind", arguments(plan) + ["--progress"], from: plan.source, doing)
            try complete(plan, fetcher, since: begin, doing)
            try putBack(own)
            try Files.removeDurably(site.tornMarker)
        } catch {
            throw Impossible("\(error)")
        }
    }

    private func arguments(_ plan: RewindPlan) -> [String] {
        [
            "--target-pgdata", site.dataDirectory, "--source-server", plan.source.connection,
            "--no-ensure-shutdown",
        ]
    }

    // MARK: before anything is changed

    /// What pg_rewind goes by is in the control file; it must say what the document says.
    private func checkTarget(_ plan: RewindPlan, _ doing: String) throws -> ControlData {
        let control = try ControlData.read(site)
        guard control.systemIdentifier == plan.systemIdentifier else {
            throw Impossible("\(doing): this is system \(control.systemIdentifier)")
        }
        guard control.state == .shutDown || control.state == .shutDownInRecovery else {
            throw PostgresError.refused(doing, "it was not stopped cleanly")
        }
        guard control.checkpointTimeline == plan.divergence.end.timeline else {
            throw Impossible(
                "\(doing): its last checkpoint is on timeline \(control.checkpointTimeline), its log ends on "
                    + "\(plan.divergence.end.timeline)")
        }
        return control
    }

    /// Asked of the source itself as well: without a checkpoint on its timeline pg_rewind would say that
    /// there is nothing to do.
    private func checkCheckpoint(of plan: RewindPlan, _ doing: String) throws {
        let session = try Session.open(plan.source.parameters, until: Deadline.after(.seconds(15)))
        let row =
            try session.query(
                """
                select s.system_identifier, c.timeline_id, pg_is_in_recovery()
                from pg_control_system() s, pg_control_checkpoint() c
                """, until: Deadline.after(.seconds(15))
            ).first ?? []
        guard row.count == 3, row[0] == String(plan.systemIdentifier), row[2] == "f" else {
            throw PostgresError.refused(doing, "it is not the primary of this system")
        }
        guard row[1] == String(plan.source.timeline) else {
            throw PostgresError.refused(
                doing, "its last checkpoint is on timeline \(row[1] ?? "?"), not \(plan.source.timeline) yet")
        }
    }

    /// Lets pg_rewind say what it would do, and brings the WAL that it misses.
    private func rehearse(_ plan: RewindPlan, _ fetcher: WALFetcher, _ doing: String) throws {
        let fork = plan.divergence.fork
        for _ in 0..<WALFetcher.limit {
            do {
                let words = try copying(
                    "pg_rewind", arguments(plan) + ["--dry-run"], from: plan.source, doing)
                return try checkOpinion(words.joined(separator: "\n"), fork, doing)
            } catch let error as PostgresError {
                guard error.kind == .refused, let name = Self.missingSegment(error.message) else {
                    throw error
                }
                guard let missing = WALNames.segment(name, segmentBytes: fetcher.segmentBytes),
                    missing.number < fork.lsn.bytes / fetcher.segmentBytes
                else { throw Impossible("\(doing): its own WAL \(name) is gone") }
                note("\(name) is fetched from another member to rewind")
                try fetcher.fetch(name)
            }
        }
        throw Impossible("\(doing): more than \(WALFetcher.limit) segments of WAL are gone")
    }

    /// The document decides; where Postgres's program thinks otherwise it is not let loose on the data.
    private func checkOpinion(_ words: String, _ fork: Position, _ doing: String) throws {
        let pattern = #/servers diverged at WAL location ([0-9A-F]+\/[0-9A-F]+) on timeline (\d+)/#
        guard let match = words.firstMatch(of: pattern), let place = LSN(String(match.1)),
            Timeline(match.2) == fork.timeline, place <= fork.lsn, !words.contains("no rewind required")
        else {
            throw Impossible("\(doing): the history was left at \(fork), and pg_rewind says: \(words)")
        }
    }

    private static func missingSegment(_ message: String) -> String? {
        message.firstMatch(of: #/could not open file ".*pg_wal\/([0-9A-F]{24})"/#).map { String($0.1) }
    }

    /// This node's own configuration: the source's would come with its data.
    private func ownFiles() throws -> [(name: String, bytes: [UInt8])] {
        try Files.list(site.dataDirectory).filter { $0.hasSuffix(".conf") }.map { name in
            (name, try Files.readAll(site.data(name), limit: 1 << 20))
        }
    }

    /// pg_rewind removes WAL that the source has no more, though replay starts in it. What lies before the
    /// fork is the history's own.
    private func keepWAL(before fork: LSN, _ segmentBytes: UInt64) throws {
        try Files.removeTree(site.keptWALDirectory)
        try Files.makeDirectory(site.keptWALDirectory)
        for name in try Files.list(wal.path) {
            guard let segment = WALNames.segment(name, segmentBytes: segmentBytes),
                segment.number < fork.bytes / segmentBytes
            else { continue }
            try Files.link("\(wal.path)/\(name)", to: "\(site.keptWALDirectory)/\(name)")
        }
    }

    // MARK: afterwards

    /// Makes the copy whole by itself: all WAL is there from where replay starts to where the data agrees
    /// with itself, so that it needs nobody to come up and to say where it ends.
    private func complete(
        _ plan: RewindPlan, _ fetcher: WALFetcher, since begin: LSN, _ doing: String
    ) throws {
        let control = try ControlData.read(site)
        guard control.state == .inRecovery, control.minimumRecovery.timeline == plan.source.timeline else {
            throw PostgresError.refused(doing, "it did not end on timeline \(plan.source.timeline)")
        }
        guard let label = try? Files.readText(site.data("backup_label")),
            let match = label.firstMatch(of: #/START WAL LOCATION: ([0-9A-F]+\/[0-9A-F]+)/#),
            let start = LSN(String(match.1)), let history = wal.history(plan.source.timeline)
        else { throw PostgresError.refused(doing, "it left no word of where to replay from") }
        try fetcher.awaitFlush(of: plan.source, control.minimumRecovery.lsn)
        let size = fetcher.segmentBytes
        let last = control.minimumRecovery.lsn.bytes / size
        for number in start.bytes / size...max(start.bytes / size, last) {
            try cancellation.check(doing)
            let timeline = history.timeline(of: number, segmentBytes: size, newest: plan.source.timeline)
            let name = WALNames.segment(LSN(number * size), timeline: timeline, segmentBytes: size)
            if number >= begin.bytes / size {
                // It was being written while it was copied.
                try fetcher.fetch(name, from: [plan.source])
            } else if !Files.exists("\(wal.path)/\(name)") {
                let kept = "\(site.keptWALDirectory)/\(name)"
                if Files.exists(kept) {
                    try Files.renameDurably(kept, to: "\(wal.path)/\(name)")
                } else {
                    try fetcher.fetch(name)
                }
            }
        }
        try Files.removeTree(site.keptWALDirectory)
    }

    private func putBack(_ own: [(name: String, bytes: [UInt8])]) throws {
        // Whatever happens from here on, nobody starts this as a primary.
        try Files.replaceDurably(site.standbySignal, [])
        for (name, bytes) in own { try Files.replaceDurably(site.data(name), bytes) }
        for name in ["matriarch.founding", "recovery.signal"] { try Files.removeDurably(site.data(name)) }
        // What they hold on to lies on the log that was given up; they are made anew, as on a copy.
        for name in try Files.list(site.data("pg_replslot")) {
            try Files.removeTree(site.data("pg_replslot/" + name))
        }
        try gate.close()
    }
}
