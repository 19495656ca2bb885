import Consensus

/// What the node says after each step: the route of port 5432, beacons, reports, events.
extension Node {
    /// Clients may come in: written roles, slots and pg_hba are in force in this term.
    var isOpen: Bool { writesAsPrimary && reign?.openedAt != nil && handover?.isClosed != true }

    public var isStreaming: Bool { postgres?.streaming ?? false }

    mutating func announce() {
        noteOpening()
        noteFollowing()
        watchWrites()
        callAPerson()
        warnOfUnpromotable()
        tellKeptDead()
        tellNews()
        if let route = currentRoute(), route != lastRoute {
            lastRoute = route
            effects.append(.route(route))
        }
    }

    private mutating func noteOpening() {
        guard reign != nil, reign?.openedAt == nil, writesAsPrimary, let reign,
            applied?.isPrimary == true || reign.resumed
        else { return }
        self.reign?.openedAt = now
        wasPrimaryHere = true
        record(failoverRecord(reign))
        drive(.beat)
    }

    /// Postgres was found running as the open primary of an epoch before this reign: it writes on until its
    /// deadline while its agent resumes.
    private var writesSinceBefore: Bool {
        guard let guardian, let epoch = guardian.epoch, isPrimaryOnRecord, hasOpenLineage, !isOverthrown,
            let lineage = view.lineage, handover == nil
        else { return false }
        let mayRun = postgres == nil || postgresState == .primary
        let isOlder = epoch < raft.term || !isLeader || reign?.resumed == true
        return guardian.isPostgresAlive && now < guardian.deadline && mayRun && isOlder
            && epoch >= lineage.epoch
    }

    private func failoverRecord(_ reign: Reign) -> NewEvent {
        var marks = [("detected", reign.detectedAt), ("elected", reign.startedAt)]
        if let frozen = reign.majorityFrozenAt { marks.append(("frozen", frozen)) }
        if let promoted = reign.promotedAt, reign.promoted != nil { marks.append(("promoted", promoted)) }
        marks.append(("open", now))
        // Postgres may have died under this very leader: what came before has no part in it.
        var previous = reign.postgresDiedAt ?? reign.lastHeard
        var phases: [EventRecord.Phase] = []
        for (name, instant) in marks where instant >= previous {
            let length = Double((instant - previous).nanoseconds) / 1_000_000
            phases.append(.init(name: name, milliseconds: length))
            previous = instant
        }
        let timeline = document?.primary?.timeline ?? 0
        var event = NewEvent(
            "open", .notice, "\(me) takes writes as primary of term \(raft.term), timeline \(timeline)")
        event.phases = phases
        return event
    }

    /// The leader decides by what it last heard: what matters to it is not kept for the next heartbeat.
    private mutating func tellNews() {
        guard let leader = raft.leader, leader != me, isInCluster else { return }
        let news = News(
            state: memberState, role: memberRole, streaming: isStreaming, dataState: data.state,
            unfit: unfitToTakeOver, leader: leader)
        guard news != lastNews else { return }
        lastNews = news
        var envelope = Envelope(cluster: clusterID, body: .news)
        envelope.report = ownReport()
        effects.append(.send(envelope, to: .member(leader)))
    }

    struct News: Hashable {
        var state: MemberState
        var role: MemberRole
        var streaming: Bool
        var dataState: DataState
        var unfit: String?
        var leader: MemberID
    }

    /// What no rule can mend is said once, as an alarm, and not only to those who ask for the status.
    private mutating func callAPerson() {
        let trouble = foreignSystem ?? postgres?.unusable
        guard trouble != lastTrouble else { return }
        lastTrouble = trouble
        if let trouble { record(.init("data-unusable", .alarm, "\(me): \(trouble)")) }
    }

    /// Before it is missed in a failover: a standby that looks healthy and could not take over.
    private mutating func warnOfUnpromotable() {
        guard let postgres, postgresState == .standby, standbyTrouble != lastStandbyTrouble else { return }
        lastStandbyTrouble = standbyTrouble
        if let why = postgres.unpromotable {
            record(.init("unpromotable", .warning, "\(me) could not take over: \(why)"))
        } else {
            record(.init("promotable", .notice, "\(me) could take over again"))
        }
    }

    private mutating func noteFollowing() {
        guard let opened = reign?.openedAt, reign?.followedAt == nil, now > opened,
            postgres?.standbys.contains(where: {
                $0.name.hasPrefix("matriarch:") && $0.state == "streaming"
            }) == true
        else { return }
        self.reign?.followedAt = now
        var event = NewEvent("followed", .info, "the first replica follows \(me)")
        event.phases = [.init(name: "followed", milliseconds: Double((now - opened).nanoseconds) / 1_000_000)]
        record(event)
    }

    /// Nil while it can't be said: an agent that has just come back leaves clients where they are until it
    /// knows.
    private func currentRoute() -> Route? {
        guard let guardian else { return nil }
        if isOpen || writesSinceBefore, let record = myRecord, let lineage = view.lineage {
            // The lineage's epoch, not the reign's: clients may stay when the same primary goes on in a new
            // term.
            return .primary(
                epoch: lineage.epoch, host: record.address, port: record.postgresPort,
                validUntil: guardian.deadline)
        }
        if holdsPrimacy || handover != nil { return .hold(reason: "the primary is not open") }
        guard let heard = beacon, heard.from != me, heard.beacon.opened, let primary = heard.beacon.primary,
            let target = document?.member(primary.member), primary.member != me
        else { return .hold(reason: "no primary is known") }
        // A newer term without an open primary outdates the word of the older one.
        guard heard.beacon.term == raft.term || raft.leader == nil else {
            return .hold(reason: "a new leader is at work")
        }
        let validUntil = heard.at + raft.timings.lease
        guard now < validUntil else { return .hold(reason: "the primary has not been heard for a lease") }
        return .primary(
            epoch: primary.epoch, host: target.address, port: target.postgresPort, validUntil: validUntil)
    }

    mutating func currentBeacon() -> Beacon {
        var beacon = Beacon(term: raft.term, sequence: lastBeacon?.beacon.sequence ?? 0)
        if writesAsPrimary {
            beacon.primary = document?.primary
            beacon.position = postgres?.position
            beacon.checkpointTimeline = postgres?.checkpointTimeline
            beacon.copiers = shareCopyTurns()
        }
        beacon.opened = isOpen
        beacon.writable = isWritable
        beacon.final = finalOnRelease
        // What is said to all at one time is the same message.
        if lastBeacon?.beacon != beacon || lastBeacon?.drawnAt != now { beacon.sequence += 1 }
        lastBeacon = (beacon, now)
        return beacon
    }

    /// As leader: what was last heard of everyone, for members that were not told for a fifth of a lease.
    ///
    /// Every second heartbeat goes without: the roster would be most of it, and nobody is in a hurry for it.
    mutating func rosterDue(for member: MemberID) -> [RosterLine]? {
        if let due = rosterDue[member], now < due { return nil }
        rosterDue[member] = now + raft.timings.lease / 5
        let lines = lastRoster ?? roster()
        lastRoster = lines
        return lines
    }

    private func roster() -> [RosterLine] {
        var lines = reports.filter { $0.member != me }.map { heard in
            var report = heard.report
            report.lagSeconds = measuredLag(of: heard.member)
            var line = RosterLine(
                member: heard.member, report: report, ageMilliseconds: max(0, (now - heard.at).milliseconds))
            line.witnessed = witnesses.first { $0.member == heard.member }
            return line
        }
        lines.append(RosterLine(member: me, report: ownReport(), ageMilliseconds: 0))
        return lines
    }

    /// In seconds, as this Postgres measures it for the standby that streams from it.
    func measuredLag(of member: MemberID) -> Double? {
        guard let name = document?.member(member)?.synchronousName else { return nil }
        return postgres?.standbys.first { $0.name == name }?.lagSeconds
    }

    func ownReport() -> MemberReport {
        var report = MemberReport(
            dataState: data.state, state: memberState, role: memberRole,
            streaming: postgres?.streaming ?? false,
            frozenTerm: data.frozenTerm, agentVersion: settings.agentVersion)
        report.position = postgres?.position ?? postgres?.settled
        report.replayed = postgres?.replayed
        report.systemIdentifier = postgres?.systemIdentifier
        report.version = postgres?.version
        report.unfit = unfitToTakeOver
        report.reason = unwrittenReason ?? lastDecision.reason ?? standbyTrouble
        if let pending = postgres?.pendingRestart, !pending.isEmpty { report.pendingRestart = pending }
        if case .clone? = work?.order { report.copying = true }
        report.checksPassing = checksPassing
        return report
    }

    /// It follows, and yet could not take over.
    private var standbyTrouble: String? { postgresState == .standby ? postgres?.unpromotable : nil }

    private var checksPassing: Int {
        if view.isWitness { return raft.leader == nil ? 2 : 3 }
        let isUp = postgresState == .primary || postgresState == .standby
        let hasRole = memberRole == .primary ? isOpen : (postgres?.streaming ?? false)
        return 1 + (isUp ? 1 : 0) + (isUp && hasRole ? 1 : 0)
    }

    var memberRole: MemberRole {
        if view.isWitness { return .witness }
        switch postgresState {
        case .primary: return writesAsPrimary ? .primary : .none
        case .standby: return .replica
        case .absent, .stopped, .starting, .unresponsive: return .none
        }
    }

    var memberState: MemberState {
        if view.isWitness { return stopping ? .stopped : .started }
        if foreignSystem != nil || postgres?.unusable != nil { return .failed }
        if stopping, !isAlive { return .stopped }
        switch data.state {
        case .cloning: return .cloning
        case .rewinding: return .rewinding
        case .joining: return .joining
        case .none, .valid: break
        }
        switch postgresState {
        case .primary: return .started
        case .standby: return isHeldFrozen ? .fenced : .started
        case .absent: return .joining
        case .stopped: return armedEpoch == nil && data.intent != .standby ? .fenced : .stopped
        case .starting, .unresponsive: return .starting
        }
    }

    // MARK: events

    struct NewEvent {
        var kind: String
        var level: EventRecord.Level
        var text: String
        var phases: [EventRecord.Phase] = []

        init(_ kind: String, _ level: EventRecord.Level, _ text: String) {
            self.kind = kind
            self.level = level
            self.text = text
        }
    }

    mutating func record(_ event: NewEvent) {
        effects.append(
            .record(
                EventRecord(
                    at: now, term: raft.term, member: me, kind: event.kind, level: event.level,
                    text: event.text,
                    rule: lastDecision.rule, phases: event.phases)))
    }

    mutating func logStart(_ order: PostgresOrder) {
        switch order {
        case .checkpoint, .configure, .tendSlots, .examine: return
        case .promote(let plan):
            record(.init("promote", .notice, "promoting \(me) on timeline \(plan.timeline)"))
        case .follow(let upstream): record(.init("follow", .info, "\(me) follows \(upstream.member)"))
        case .clone(let plan): record(.init("clone", .notice, "\(me) copies \(plan.source.member)"))
        case .rewind(let plan):
            record(.init("rewind", .notice, "\(me) is rewound to \(plan.source.member)'s history"))
        case .stop:
            guard handover == nil, let reason = stopWithoutHandover else { fallthrough }
            record(.init("stop", .warning, "stop on \(me) without a hand-over: \(reason)"))
        case .initialize, .startStandby, .startPrimary, .freeze:
            record(.init(order.name, .info, "\(order.name) on \(me)"))
        }
    }
}
