public import Consensus

extension Node {
    /// The cluster as this node sees it. Ages, not wall-clock times: the daemon knows the date.
    public func status(at now: Instant) -> StatusReport {
        var report = StatusReport(cluster: settings.clusterName, node: me.name)
        report.term = raft.term
        report.leader = raft.leader?.name
        report.rule = lastDecision.rule
        report.reason = unwrittenReason ?? lastDecision.reason
        guard let document else { return report }
        report.document = raft.hard.committedVersion
        report.systemIdentifier = document.systemIdentifier.map(String.init)
        report.primaryRegion = document.primaryRegion
        report.timeline = document.primary?.timeline
        report.paused = document.pause != nil
        report.pausedMillisecondsLeft = pauseLeft?.milliseconds
        report.switchoverTo = document.switchover?.target.name
        report.synchronous = .init(mode: document.durability.mode.rawValue, standbys: [], need: 0)
        report.primary = openPrimary?.name
        if isOpen {
            report.writable = writableUntil.map { now < $0 } ?? false
            report.reason = report.reason ?? writesStandStill
            report.leaseLeftMilliseconds = guardian.map { max(0, ($0.deadline - now).milliseconds) }
        } else if openPrimary != nil {
            report.writable = freshBeacon?.writable ?? false
        }
        report.members = document.members.map { line($0, document, report.primary, at: now) }
        return report
    }

    /// Who takes writes, by this node's own doors or by the fresh word of the leader.
    public var openPrimary: MemberID? {
        if isOpen { return me }
        guard let beacon = freshBeacon, beacon.opened, !isLeader else { return nil }
        return beacon.primary?.member
    }

    private func line(
        _ member: Member, _ document: ClusterDocument, _ primary: String?, at now: Instant
    ) -> StatusReport.Line {
        let heard =
            member.id == me
            ? HeardReport(member: me, report: ownReport(), at: now) : report(of: member.id)
        let reachable = member.id == me || isReachable(member.id)
        var line = StatusReport.Line(
            name: member.id.name, state: reachable ? heard?.report.state ?? .joining : .unreachable,
            role: heard?.report.role ?? .none, region: member.region,
            voter: document.voters.contains(member.id),
            address: member.address,
            checks: .init(total: 3, passing: reachable ? heard?.report.checksPassing ?? 0 : 0),
            reachable: reachable, createdSeconds: member.joined)
        line.tags = member.tags
        // Two members are never shown as primary: the word of the newest term counts.
        if line.role == .primary, primary != nil, primary != member.id.name { line.role = .none }
        guard let heard else { return line }
        if !reachable { line.role = .none }
        line.timeline = heard.report.position?.timeline
        line.lsn = heard.report.position?.lsn
        line.version = heard.report.version
        line.agentVersion = heard.report.agentVersion
        line.ageMilliseconds = max(0, (now - heard.at).milliseconds)
        line.reason = heard.report.reason
        line.pendingSettings = heard.report.pendingRestart ?? []
        line.pendingRestart = !line.pendingSettings.isEmpty
        if let mine = heard.report.replayed ?? heard.report.position?.lsn, let theirs = lastPrimary {
            line.lagBytes = member.id.name == primary ? 0 : mine.behind(theirs.lsn)
        }
        // Postgres measures no time for a standby that has replayed everything.
        let measured = measuredLag(of: member.id) ?? heard.report.lagSeconds
        line.lagSeconds = line.lagBytes == 0 ? 0 : measured
        return line
    }
}
