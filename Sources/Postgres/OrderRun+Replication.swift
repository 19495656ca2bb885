internal import Consensus
internal import Glibc
internal import Platform
internal import Supervision

/// Freezing, following and promoting (protocol: Freeze, Promotion, Rejoining).
extension OrderRun {
    /// The running standby's postmaster, by the guard's word.
    private func standbyPostmaster(_ doing: String) throws -> Postmaster {
        guard let pid = try door.state().postmaster else {
            throw PostgresError.refused(doing, "Postgres does not run")
        }
        guard let postmaster = Postmaster(site, pid: pid) else {
            throw PostgresError.refused(doing, "process \(pid) is not at work in \(site.dataDirectory)")
        }
        guard Files.exists(site.standbySignal) else {
            throw PostgresError.refused(doing, "Postgres runs as a primary: it must be ended first")
        }
        return postmaster
    }

    /// Replay of what was received goes on for a moment; who asks gets told "not yet" after this.
    private static let settlePatience = Duration.seconds(1)

    func freeze() throws {
        try gate.shut()
        if try door.state().postmaster == nil { return try gate.closeSettings() }
        let postmaster = try standbyPostmaster("freezing")
        try postmaster.endWALReceivers {
            try gate.closeSettings()
            try postmaster.signal(SIGHUP)
        }
        let began = BootClock.now()
        let deadline = Deadline.after(Self.settlePatience)
        var nextSweep = BootClock.now()
        while !Deadline.isPast(deadline), postmaster.isRunning {
            let report = survey.look()
            if report?.settled != nil { return }
            if report?.isReplayHeldUp == true, Deadline.isPast(nextSweep) {
                try endClientSessions(try survey.connected(until: deadline))
                nextSweep = Deadline.after(Self.sessionPatience)
            }
            Deadline.pause(Deadline.rest(since: began, within: Self.startLook))
        }
    }

    /// How long a follow waits to see the stream; that it is still missing then is the report's to tell.
    private static let streamPatience = Duration.milliseconds(250)

    func follow(_ upstream: Upstream) throws {
        let postmaster = try standbyPostmaster("following \(upstream.member)")
        let removed = try wal.removeHistories { $0 > upstream.timeline }
        if !removed.isEmpty { note("removed history files newer than timeline \(upstream.timeline)") }
        let before = try? Files.readText(gate.serviceFile)
        try gate.open(to: upstream)
        if let before, before != (try Files.readText(gate.serviceFile)) {
            // Postgres sees no change in its settings: the old stream must be ended for it.
            try postmaster.endWALReceivers()
        }
        try postmaster.signal(SIGHUP)
        let deadline = Deadline.after(Self.streamPatience)
        while survey.look()?.streaming != true, !Deadline.isPast(deadline) {
            Deadline.pause(.milliseconds(10))
        }
    }

    // MARK: promotion

    /// Without any progress of replay; a long backlog takes as long as it takes.
    private static let promotionPatience = Duration.seconds(60)
    /// Between two words about it.
    private static let wordInterval = Duration.seconds(1)
    /// A session that came in meanwhile may hold up replay as well.
    private static let sessionPatience = Duration.milliseconds(200)

    func promote(_ plan: PromotionPlan) throws -> PostgresOutcome.Result {
        let doing = "promoting to timeline \(plan.timeline)"
        let state = try door.state()
        guard state.epoch != nil else { throw PostgresError.refused(doing, "the guard is not armed") }
        let report = Self.report(by: survey)
        let session = try survey.connected(until: Deadline.after(.seconds(5)))
        if report.state == .primary, report.position?.timeline == plan.timeline {
            return try promoted(session)
        }
        guard report.state == .standby, let end = report.settled else {
            throw PostgresError.refused(doing, "Postgres is no frozen standby (\(report.state.rawValue))")
        }
        try wal.reserve(plan.timeline, from: end.timeline)
        try checkPlaceholder(session, doing)
        try endClientSessions(session)
        _ = try session.query("select pg_promote(false)", until: Deadline.after(.seconds(5)))
        try awaitPromotion(session, from: end.lsn, doing)
        return try promoted(session)
    }

    /// Before it can write it must be unable to acknowledge: the new primary's own rule comes after its
    /// start.
    private func checkPlaceholder(_ session: Session, _ doing: String) throws {
        let rule = try session.query(
            "select current_setting('synchronous_standby_names')", until: Deadline.after(.seconds(5))
        ).value
        guard rule == ManagedSettings.placeholderRule else {
            throw PostgresError.refused(
                doing, "synchronous_standby_names is '\(rule ?? "")', not the placeholder of a standby")
        }
    }

    /// A query that conflicts with replay would hold the promotion up until it ends.
    private func endClientSessions(_ session: Session) throws {
        _ = try session.query(
            """
            select pg_terminate_backend(pid) from pg_stat_activity
            where backend_type = 'client backend' and pid <> pg_backend_pid()
                and not (application_name = $1 and usename = current_user)
            """, [PostgresSite.applicationName], until: Deadline.after(.seconds(5)))
    }

    /// What was received and not replayed yet comes first: it may have been acknowledged.
    private func awaitPromotion(_ session: Session, from end: LSN, _ doing: String) throws {
        var deadline = Deadline.after(Self.promotionPatience)
        var (nextSweep, nextWord) = (Deadline.after(Self.sessionPatience), Deadline.after(Self.wordInterval))
        var replayed: LSN?
        while true {
            let row = try session.query(
                "select pg_is_in_recovery(), pg_last_wal_replay_lsn()", until: deadline
            ).first
            if row?.first == "f" { return }
            if let now = row?.last?.flatMap({ LSN($0) }), now != replayed {
                replayed = now
                deadline = Deadline.after(Self.promotionPatience)
            }
            if Deadline.isPast(deadline) { throw PostgresError(.timedOut, doing) }
            if Deadline.isPast(nextSweep) {
                try endClientSessions(session)
                nextSweep = Deadline.after(Self.sessionPatience)
            }
            if let replayed, Deadline.isPast(nextWord) {
                tell(.progress("\(replayed.behind(end) >> 20) MB left to replay"))
                nextWord = Deadline.after(Self.wordInterval)
            }
            Deadline.pause(.milliseconds(2))
        }
    }

    /// Which timeline it really became, and where that left its parent: by Postgres's own history file.
    private func promoted(_ session: Session) throws -> PostgresOutcome.Result {
        let name = try session.query(
            "select left(pg_walfile_name(pg_current_wal_flush_lsn()), 8)", until: Deadline.after(.seconds(5))
        ).value
        guard let timeline = name.flatMap({ Timeline($0, radix: 16) }) else {
            throw PostgresError.refused("promoting", "the new timeline can't be read")
        }
        guard let start = wal.history(timeline)?.start else {
            throw PostgresError.refused("promoting", "there is no \(WALNames.history(timeline))")
        }
        return .promoted(timeline: timeline, switchLSN: start)
    }
}
