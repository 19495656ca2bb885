import Consensus

/// What the rules ask about: plain questions over the committed document and local facts.
extension Node {
    /// What the committed document says of this very instance.
    var myRecord: Member? { view.mine }

    /// The guard knows best whether Postgres lives; the report may be a moment old.
    var postgresState: PostgresReport.State {
        guard let guardian else { return postgres?.state ?? .stopped }
        let reported = postgres?.state ?? .stopped
        if guardian.isPostgresAlive {
            return reported == .absent || reported == .stopped ? .starting : reported
        }
        return reported == .absent ? .absent : .stopped
    }

    var isAlive: Bool { guardian?.isPostgresAlive ?? false }
    var armedEpoch: Term? { guardian?.epoch }
    var isPrimaryOnRecord: Bool { view.isPrimaryMine }
    var hasOpenLineage: Bool { view.hasOpenLineage }

    /// This leader is the primary on record in its own term, with its lineage open.
    var holdsPrimacy: Bool {
        isLeader && isPrimaryOnRecord && hasOpenLineage && view.primary?.epoch == raft.term
    }

    /// Postgres here may write as far as we know: the open primary, armed for this very term, alive.
    var writesAsPrimary: Bool {
        holdsPrimacy && isAlive && armedEpoch == raft.term && postgresState == .primary
            && (guardian.map { now < $0.deadline } ?? false)
    }

    /// Postgres still runs as the open primary of an older term of ours: the role can be kept without a
    /// break.
    var canResume: Bool { mayResume && postgresState == .primary }

    /// The same, though Postgres has not been asked yet, or does not answer: worth waiting for until the
    /// deadline.
    private var mayResume: Bool {
        guard isLeader, isPrimaryOnRecord, hasOpenLineage, let primary = view.primary,
            primary.epoch < raft.term, let guardian, let epoch = guardian.epoch
        else { return false }
        return guardian.isPostgresAlive && epoch >= primary.epoch && now < guardian.deadline
            && overthrownTerm < epoch
    }

    /// The last primary is this member, stopped for certain, and its log is the cluster's newest: start it
    /// again.
    var canReopen: Bool {
        guard isLeader, isPrimaryOnRecord, hasOpenLineage, let primary = view.primary,
            primary.epoch < raft.term, data.state == .valid, postgresState == .stopped,
            postgres?.unusable == nil, postgres?.isTorn != true
        else { return false }
        guard let position = postgres?.settled ?? postgres?.position else { return false }
        return position.timeline == primary.timeline && unpromotable == nil && !mayHaveGoneBack
    }

    /// Whether the directory of the last primary may hold less than it once did: an older copy of it was put
    /// in its place, which looks like a crash. Where its log really ends only a frozen start tells.
    ///
    /// An agent that saw its Postgres write knows better, and starts it again at once.
    var mayHaveGoneBack: Bool {
        guard !wasPrimaryHere, postgresState == .stopped,
            let position = postgres?.settled ?? postgres?.position
        else { return false }
        // However long ago it was heard: nobody ever held what the primary had not written.
        return reports.contains { heard in
            guard heard.member != me, heard.report.dataState == .valid,
                let theirs = heard.report.position, theirs.timeline == position.timeline
            else { return false }
            return theirs.lsn > position.lsn
        }
    }

    /// A new primary must be made, and first everyone must be frozen.
    var needsFrozenHerd: Bool {
        guard isLeader, let document, document.systemIdentifier != nil, !isPaused,
            raft.hard.accepted?.document.pause == nil
        else { return false }
        // Before its first commit a leader may freeze for its term only if it can't be the primary to go on.
        let accepted = raft.hard.accepted?.document.primary?.member
        guard raft.hasOwnCommit || (accepted != me && document.primary?.member != me) else { return false }
        if document.primary?.member == me, document.primary?.epoch == raft.term { return false }
        if isGoingOn { return false }
        return postgres != nil && !mayResume && !canReopen
    }

    /// The proposal to go on as primary is on its way: what is heard meanwhile is judged once it is
    /// committed.
    private var isGoingOn: Bool {
        guard let document = raft.hard.accepted?.document, let primary = document.primary else {
            return false
        }
        return primary.member == me && primary.epoch == raft.term && document.hasOpenPrimary
    }

    /// Everyone may follow the primary on record, and a later leader has not frozen this member.
    var mayFollow: Bool {
        guard hasOpenLineage, let primary = view.primary else { return false }
        return primary.epoch >= data.frozenTerm && primary.member != me
    }

    /// So little of the lease is left that a primary would have to begin stopping.
    var isLeaseRunningOut: Bool {
        guard let guardDeadline else { return true }
        return guardDeadline - (raft.timings.demoteMargin - raft.timings.killMargin) <= now
    }

    var leaseAhead: Bool {
        guard let guardDeadline else { return false }
        return guardDeadline > now
    }

    /// The fresh word of the leader about the primary, if there is one.
    var freshBeacon: Beacon? {
        guard let beacon, beacon.beacon.term == raft.term, now - beacon.at < raft.timings.lease else {
            return nil
        }
        return beacon.beacon
    }

    func report(of member: MemberID) -> HeardReport? { reports.first { $0.member == member } }

    /// Heard itself within two leases (or two seconds where leases are short).
    func isReachable(_ member: MemberID) -> Bool {
        if member == me { return true }
        guard let heard = report(of: member) else { return false }
        return now - heard.at < max(raft.timings.lease, .seconds(2))
    }

    /// What Postgres should be configured with, by the committed document.
    func managedConfiguration(asPrimary: Bool) -> ManagedConfiguration? {
        asPrimary ? view.asPrimary : view.asStandby
    }

    /// Where this standby should stream from, and under which name.
    var desiredUpstream: Upstream? { data.state == .valid ? view.upstream : view.joiningUpstream }

    /// The standby was found streaming from the right place when the agent started: nothing to do over.
    var streamsAsDesired: Bool {
        guard let desired = desiredUpstream, let postgres, postgres.gate == .open else { return false }
        if let followed { return followed.upstream == desired }
        return postgres.streaming && postgres.streamingFrom == "\(desired.address):\(desired.port)"
            && postgres.streamingName == desired.applicationName
            && postgres.position?.timeline == desired.timeline
    }

    // MARK: fitness

    /// Tells the elector whether, and how soon, this member may campaign.
    mutating func reportFitness() {
        let fitness = Fitness(mayLead: unfit == nil, rank: electionRank)
        guard fitness != lastFitness else { return }
        lastFitness = fitness
        drive(.fitnessChanged(fitness))
    }

    /// Why this member may not lead now; nil when it may.
    var unfit: String? {
        guard let document else { return "no cluster yet" }
        guard let record = myRecord else { return "not a member" }
        if record.kind == .witness { return "a witness" }
        if record.region != document.primaryRegion {
            return "not in the primary region \(document.primaryRegion)"
        }
        if record.neverLeads { return "tagged nofailover or priority=0" }
        if record.address != settings.member.address, document.voters.all != [me] {
            return "the cluster knows it at \(record.address), it is at \(settings.member.address)"
        }
        if rollback != nil { return "put back to an older state" }
        if guardian == nil { return "the guard does not answer" }
        if let unusable = postgres?.unusable { return unusable }
        if postgres?.isTorn == true { return "a rewind of its data was interrupted" }
        if stopping { return "being stopped" }
        // Who leads already needs its disk for nothing but changes.
        if let unwrittenReason, !isLeader { return unwrittenReason }
        if unfitUntil > now { return "a promotion failed here a moment ago" }
        if document.systemIdentifier == nil { return nil }
        if data.state != .valid { return "its data is \(data.state.rawValue)" }
        if data.isStray == true { return "it was promoted or started by hand" }
        if let foreign = foreignSystem { return foreign }
        return nil
    }

    /// Why nothing should be handed to this member now; a boot wait does not bar it from resuming what it
    /// had.
    var unfitToTakeOver: String? {
        if let unfit { return unfit }
        if postgresState == .standby, let why = postgres?.unpromotable { return why }
        return raft.isBootWaiting
            ? "it has just started and waits until promises it may have made are over" : nil
    }

    var foreignSystem: String? {
        guard let known = document?.systemIdentifier, let mine = postgres?.systemIdentifier, mine != known,
            data.state != .cloning, data.state != .rewinding
        else { return nil }
        return "its data directory belongs to another system (\(mine), the cluster's is \(known))"
    }

    /// How many voters are known to be fresher; equal ones are ordered by name.
    private var electionRank: Int {
        guard let document, document.systemIdentifier != nil else {
            return document?.voters.all.firstIndex(of: me) ?? 0
        }
        guard let mine = postgres?.position ?? postgres?.settled else { return document.voters.all.count }
        return reports.count { heard in
            guard heard.member != me, document.voters.contains(heard.member),
                heard.report.dataState == .valid,
                heard.report.unfit == nil, heard.member != document.primary?.member,
                let theirs = heard.report.position
            else { return false }
            if theirs == mine { return document.isBefore(heard.member, me) }
            return document.isFresher(theirs, than: mine)
        }
    }
}
