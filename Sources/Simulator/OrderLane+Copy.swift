import Consensus
import Supervision

/// Copying another server's data, whole or only what differs.
extension OrderLane {
    func clone(_ plan: ClonePlan, _ job: JobID, _ done: @escaping Done) {
        guard !postgres.isAlive else { return done(.failed("Postgres is running")) }
        guard let source = world.machine(at: plan.source.address) else {
            return done(.failed("no such host"))
        }
        if let refusal = refusal(of: source, plan.systemIdentifier) {
            return after(.milliseconds(50)) { done(.failed(refusal)) }
        }
        let time = world.options.cloneTime / 4 + world.random.duration(upTo: world.options.cloneTime)
        isCloning = true
        let atOnce = world.machines.count { $0.agent.lane?.isCloning == true }
        world.tally.clonesAtOnce = max(world.tally.clonesAtOnce, atOnce)
        copy(from: source, job, for: time) { [self] trouble in
            isCloning = false
            if let trouble { return done(.failed(trouble)) }
            takeOver(source, plan.configuration)
            world.tally.clones += 1
            if !source.postgres.isWritable { world.tally.clonesOfStandbys += 1 }
            done(.done)
        }
    }

    /// Checks first, with nothing changed; then changes what differs, and is torn if anything comes between.
    func rewind(_ plan: RewindPlan, _ job: JobID, _ done: @escaping Done) {
        guard !postgres.isAlive, let mine = postgres.directory else {
            return done(.failed("Postgres is running"))
        }
        guard mine.stoppedCleanly else { return done(.failed("it was not stopped cleanly")) }
        guard let source = world.machine(at: plan.source.address) else {
            return done(.failed("no such host"))
        }
        if let refusal = refusal(of: source, plan.systemIdentifier) {
            return after(.milliseconds(50)) { done(.failed(refusal)) }
        }
        guard source.postgres.directory?.checkpointTimeline == plan.source.timeline else {
            return done(.failed("the source has no checkpoint on its timeline"))
        }
        let isImpossible = world.random.chance(world.options.rewindImpossible)
        let time = world.options.rewindTime / 4 + world.random.duration(upTo: world.options.rewindTime)
        copy(from: source, job, for: time / 3) { [self] trouble in
            if let trouble { return done(.failed(trouble)) }
            if isImpossible { return done(.impossible("WAL that it needs is gone")) }
            world.observe(.rewinding(machine, from: source, plan.divergence))
            postgres.directory?.isTorn = true
            copy(from: source, job, for: time * 2 / 3) { [self] trouble in
                if let trouble { return done(.impossible(trouble)) }
                takeOver(source, mine.configuration)
                world.tally.rewinds += 1
                done(.done)
            }
        }
    }

    /// Reads from the source for some time.
    ///
    /// - Parameter end: what went wrong; nil when it was all read.
    private func copy(
        from source: Machine, _ job: JobID, for time: Duration, _ end: @escaping (String?) -> Void
    ) {
        let life = source.postgres.postmaster.life
        let ends = world.now + time
        func step() {
            if cancelled.contains(job) { return end("cancelled") }
            guard world.network.connects(machine.index, source.index, .replication),
                source.postgres.postmaster.isRunning, source.postgres.postmaster.life == life,
                source.postgres.directory != nil
            else { return end("the connection to the source broke") }
            guard world.now >= ends else {
                return after(min(.milliseconds(250), ends - world.now)) { step() }
            }
            end(nil)
        }
        after(.milliseconds(100)) { step() }
    }

    /// The directory is as the source's is now.
    private func takeOver(_ source: Machine, _ configuration: ManagedConfiguration?) {
        guard let theirs = source.postgres.directory else { return }
        postgres.directory = PostgresModel.Directory(
            systemIdentifier: theirs.systemIdentifier, log: theirs.log, marker: nil, stoppedCleanly: false,
            checkpointTimeline: theirs.checkpointTimeline, configuration: configuration)
    }

    /// Why the source won't give a copy; nil when it will.
    private func refusal(of source: Machine, _ systemIdentifier: UInt64) -> String? {
        guard world.network.connects(machine.index, source.index, .replication),
            source.postgres.postmaster.isRunning, let server = source.postgres.server,
            server.phase == .primary || server.phase == .standby, let theirs = source.postgres.directory
        else { return "could not connect to the source" }
        guard theirs.systemIdentifier == systemIdentifier else {
            return "the source has another system identifier"
        }
        guard theirs.configuration?.memberAddresses.contains(machine.settings.member.address) == true else {
            return "no pg_hba.conf entry"
        }
        return nil
    }
}
