internal import Consensus
internal import Platform
internal import Supervision

/// Looks at the local Postgres and says what is there. Keeps its session between looks.
///
/// Not thread-safe: each thread that looks has its own.
final class Survey {
    private let site: PostgresSite
    private let gate: Gate
    private var session: Session?
    /// The postmaster that the session belongs to: another one's sessions are gone.
    private var served: (postmaster: Postmaster, handle: ProcessHandle?)?
    private var checkedVersion: Files.Stamp?
    private var control: (stamp: Files.Stamp, data: ControlData)?
    private var listed: (stamp: Files.Stamp, timelines: [Timeline])?
    private var unansweredSince: Int64?
    private var last: PostgresReport?
    private var version: String?
    private let settings = SettingsWatch()

    /// For one question, a new session included.
    static let budget = Duration.seconds(2)
    /// Without an answer for so long Postgres is unresponsive.
    static let patience = Duration.seconds(5)

    init(_ site: PostgresSite) {
        self.site = site
        gate = Gate(site: site)
    }

    /// One look. Nil when Postgres did not answer this time, but has not been silent for long enough to say
    /// so.
    func look() -> PostgresReport? {
        guard let postmaster = postmaster() else { return remember(stopped()) }
        let isOld = session != nil
        do {
            return remember(try ask(postmaster))
        } catch {
            disconnect()
            // An old session may have been ended by somebody: only a new one tells.
            if isOld, let report = try? ask(postmaster) { return remember(report) }
            if let error = error as? PostgresError { return unanswered(error, postmaster) }
            Log.warning("what Postgres says can't be read", [("error", "\(error)")])
            return remember(running(.starting, postmaster))
        }
    }

    /// The one of the last look while that very process lives: no other can start in its directory, and
    /// looking for it anew costs more than all that is asked of it.
    private func postmaster() -> Postmaster? {
        if let served, served.handle?.hasEnded == false { return served.postmaster }
        let found = Postmaster.find(site)
        if found == nil || found?.entry.name != served?.postmaster.entry.name {
            // Another postmaster: what was known of the one before says nothing of it.
            disconnect()
            settings.forget()
            (last, unansweredSince) = (nil, nil)
        }
        served = found.map { ($0, try? ProcessHandle($0.entry)) }
        return found
    }

    /// A session as the agent's own role, kept for the next look.
    func connected(until deadline: Int64) throws(PostgresError) -> Session {
        if let session, !session.isBroken { return session }
        let session = try Session.open(site.localParameters, until: deadline)
        self.session = session
        return session
    }

    func disconnect() { session = nil }

    private static var now: Instant { Instant(nanoseconds: BootClock.now()) }

    private func remember(_ report: PostgresReport) -> PostgresReport {
        last = report
        return report
    }

    /// Closed only when nothing can bring more: no way to connect, and nobody who is connected.
    private func gateState(_ postmaster: Postmaster) -> PostgresReport.Gate {
        if gate.hasService { return .open }
        guard let receivers = try? postmaster.walReceivers(), receivers.isEmpty else { return .open }
        return .closed
    }

    // MARK: running

    private func ask(_ postmaster: Postmaster) throws -> PostgresReport {
        let deadline = Deadline.after(Self.budget)
        let session = try connected(until: deadline)
        // Before the positions: what is closed now can't bring them anything more, and who waits for more
        // has replayed all that there is. A postmaster that was seen as primary has no gate any more.
        let gate = last?.state == .primary ? .open : gateState(postmaster)
        let replay = gate == .closed ? try replay(session, deadline) : nil
        guard let facts = Facts(try session.query(Facts.question, until: deadline)) else {
            throw PostgresError(.lost, "asking for the role", "no answer")
        }
        var report = PostgresReport(state: facts.isRecovering ? .standby : .primary, takenAt: Self.now)
        report.systemIdentifier = facts.systemIdentifier
        report.version = facts.version
        version = facts.version
        report.foundingMarker = foundingMarker
        if facts.isRecovering {
            report.gate = gate
            report.isReplayHeldUp = replay == .heldUp
            try describeStandby(facts, &report, hasReplayedAll: replay == .exhausted)
        } else {
            report.position = facts.written
            report.checkpointTimeline = facts.checkpointTimeline
            report.standbys = try standbys(session, deadline)
        }
        try askSettings(session, &report, facts, deadline)
        unansweredSince = nil
        report.takenAt = Self.now
        return report
    }

    private func describeStandby(_ facts: Facts, _ report: inout PostgresReport, hasReplayedAll: Bool) throws
    {
        report.replayed = facts.replayed
        report.streaming = facts.receiver?.status == "streaming"
        if report.streaming, let receiver = facts.receiver {
            report.streamingFrom = "\(receiver.host):\(receiver.port)"
            report.streamingName = Facts.applicationName(receiver.conninfo)
        }
        guard let end = [facts.received, facts.replayed].compactMap({ $0 }).max() else { return }
        let wal = WALDirectory(site.dataDirectory)
        let timeline = try wal.timeline(
            atEnd: end, segmentBytes: facts.segmentBytes, knownToBe: facts.recoveryTimeline,
            histories: report.gate == .open ? histories(wal) : nil)
        let position = Position(timeline: timeline, lsn: end)
        report.position = position
        // Without anything received in this postmaster's life there may be local WAL that is not replayed
        // yet, unless the startup process waits for more to come.
        if report.gate == .closed, facts.received != nil || hasReplayedAll { report.settled = position }
    }

    /// As of the last change that the directory's time shows. A second change within the same tick of that
    /// clock is missed, so this must not tell a position that is final.
    private func histories(_ wal: WALDirectory) throws -> [Timeline] {
        let stamp = Files.stamp(wal.path)
        if let listed, listed.stamp == stamp { return listed.timelines }
        let timelines = try wal.historyTimelines()
        listed = stamp.map { ($0, timelines) }
        return timelines
    }

    private enum Replay {
        /// All that there is has been replayed.
        case exhausted
        /// A session holds what replay has to remove or to lock.
        case heldUp
        case underWay
    }

    /// By what the startup process waits for.
    private func replay(_ session: Session, _ deadline: Int64) throws -> Replay {
        let wait = try session.query(
            "select wait_event, wait_event_type from pg_stat_activity where backend_type = 'startup'",
            until: deadline
        ).first
        let (event, kind) = (wait?.first.flatMap { $0 } ?? "", wait?.last.flatMap { $0 } ?? "")
        if Self.waitsForMore.contains(event) { return .exhausted }
        return event.hasPrefix("RecoveryConflict") || Self.conflicts.contains(kind) ? .heldUp : .underWay
    }

    private static let waitsForMore: Set<String> = ["RecoveryRetrieveRetryInterval", "RecoveryWalStream"]
    private static let conflicts: Set<String> = ["Lock", "BufferPin"]

    private func standbys(_ session: Session, _ deadline: Int64) throws -> [StandbyProgress] {
        let rows = try session.query(
            """
            select application_name, state, flush_lsn, replay_lsn, extract(epoch from replay_lag)
            from pg_stat_replication order by application_name
            """, until: deadline)
        return rows.cells.map { cell in
            StandbyProgress(
                name: cell[0] ?? "", state: cell[1] ?? "", flushed: cell[2].flatMap { LSN($0) },
                replayed: cell[3].flatMap { LSN($0) }, lagSeconds: cell[4].flatMap { Double($0) })
        }
    }

    private func askSettings(
        _ session: Session, _ report: inout PostgresReport, _ facts: Facts, _ deadline: Int64
    ) throws {
        let occasion = SettingsWatch.Occasion(loaded: facts.settingsLoaded, replay: facts.replayState)
        let required = { [self] in (try? controlData())?.required }
        let found = try settings.look(session, occasion, required: required, deadline)
        report.pendingRestart = found.pending
        report.isBelowRequirements = found.unmet != nil
        let pause = occasion.replay == "paused" ? "its replay is paused (pg_wal_replay_resume())" : nil
        report.unpromotable = found.unmet ?? pause ?? found.delayed
    }

    // MARK: not answering

    private func unanswered(_ error: PostgresError, _ postmaster: Postmaster) -> PostgresReport? {
        switch error.kind {
        case .server(let state) where state == .cannotConnectNow:
            unansweredSince = nil
            return remember(running(.starting, postmaster))
        case .server(let state) where state.isAuthorization || state == .tooManyConnections:
            // Alive, but our way in is blocked: that is for a person to mend, not a reason to fail over.
            Log.warning("the agent can't ask Postgres", [("error", error.description)])
            unansweredSince = nil
            return remember(running(roleOnDisk, postmaster))
        case .unreachable where last?.state != .primary && last?.state != .standby:
            return remember(running(.starting, postmaster))
        default: break
        }
        let since = unansweredSince ?? BootClock.now()
        unansweredSince = since
        guard Duration.nanoseconds(BootClock.now() - since) >= Self.patience else { return nil }
        Log.warning("Postgres does not answer", [("error", error.description)])
        return remember(running(.unresponsive, postmaster))
    }

    private var roleOnDisk: PostgresReport.State {
        Files.exists(site.standbySignal) ? .standby : .primary
    }

    /// What can be said of a running Postgres without asking it.
    private func running(_ state: PostgresReport.State, _ postmaster: Postmaster) -> PostgresReport {
        var report = PostgresReport(state: state, takenAt: Self.now)
        report.gate = gateState(postmaster)
        report.systemIdentifier = (try? controlData())?.systemIdentifier
        report.version = version
        report.foundingMarker = foundingMarker
        return report
    }

    // MARK: stopped

    private func stopped() -> PostgresReport {
        guard !DataDirectory.isAbsent(site) else { return PostgresReport(state: .absent, takenAt: Self.now) }
        var report = PostgresReport(state: .stopped, takenAt: Self.now)
        report.foundingMarker = foundingMarker
        report.isTorn = Files.exists(site.tornMarker)
        do {
            try checkOnce()
            let control = try controlData()
            report.systemIdentifier = control.systemIdentifier
            report.settled = try control.end(of: site.dataDirectory)
            report.position = report.settled ?? control.position
            report.replayed = report.position?.lsn
        } catch {
            report.unusable = "\(error)"
        }
        report.takenAt = Self.now
        return report
    }

    /// Asking the binaries for their version takes a process: once for each data directory.
    private func checkOnce() throws {
        let stamp = Files.stamp(site.data("PG_VERSION"))
        if let stamp, stamp == checkedVersion { return }
        try DataDirectory.check(site)
        checkedVersion = stamp
    }

    private var foundingMarker: Term? { DataDirectory.foundingMarker(site) }

    private func controlData() throws -> ControlData {
        let stamp = Files.stamp(site.data("global/pg_control"))
        if let control, control.stamp == stamp { return control.data }
        let data = try ControlData.read(site)
        if let stamp { control = (stamp, data) }
        return data
    }
}
