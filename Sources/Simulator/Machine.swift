import Consensus
import Supervision

/// One simulated machine: hardware, clock, disk, and the programs on it.
final class Machine {
    unowned let world: World
    let index: Int
    private(set) var settings: NodeSettings
    let hardware: Process
    var clock: SimulatedClock
    let clockDrift: Int64
    /// Durable writes end no sooner than this.
    var diskStalledUntil = WorldTime.zero
    /// Whether the disk says so while it takes nothing, as a full one does, or is just silent.
    var doesDiskRefuse = false
    /// Set from a fault that no local clock can tell, or one that takes the guard and the agent together,
    /// until Postgres here has stopped being primary: the protocol's promise of a single writer excepts it.
    var isExcused = false
    /// It works with an older state file than it once had, and does not know it.
    var isRolledBack = false
    var route: Route = .hold(reason: "not told yet")

    private(set) lazy var agent = Agent(self)
    private(set) lazy var guardian = Guardian(self)
    private(set) lazy var postgres = PostgresModel(self)

    init(_ world: World, index: Int, settings: NodeSettings, clockDrift: Int64) {
        self.world = world
        self.index = index
        self.settings = settings
        self.clockDrift = clockDrift
        hardware = Process(settings.member.id.name)
        clock = SimulatedClock(partsPerMillion: clockDrift, bootedAt: world.now)
    }

    var id: MemberID { settings.member.id }
    var now: Instant { clock.instant(at: world.now) }

    func boot() {
        guard !hardware.isAlive else { return }
        hardware.start()
        clock = SimulatedClock(partsPerMillion: clockDrift, bootedAt: world.now)
        agent.forgetBoot()
        guardian.start()
        let delay = world.random.duration(upTo: .seconds(1))
        world.schedule.add(after: delay, for: hardware) { [self] in agent.start() }
        world.note(self, "booted")
    }

    /// The power fails: nothing is left but what is on disk.
    func crash() {
        guard hardware.isAlive else { return }
        world.note(self, "machine crashes")
        agent.die()
        guardian.die(killsPostgres: false)
        postgres.vanish()
        hardware.die()
        while hardware.isPaused { world.schedule.resume(hardware) }
        route = .hold(reason: "down")
        world.writersMayHaveChanged(self)
    }

    /// What of the machine's disk an older copy takes the place of.
    enum Part: CaseIterable { case everything, state, data }

    struct DiskCopy {
        let state: DurableState
        let directory: PostgresModel.Directory?
    }

    var diskCopy: DiskCopy { DiskCopy(state: agent.durable, directory: postgres.directory) }

    /// The machine is down; it boots with what it was like before.
    func putBack(_ copy: DiskCopy, _ part: Part) {
        world.note(self, "disk put back to an older copy: \(part)")
        if part != .data { agent.putBack(copy.state) }
        guard part != .state, var directory = copy.directory else { return }
        // Copied while Postgres ran.
        directory.stoppedCleanly = false
        postgres.directory = directory
    }

    /// The hypervisor stops the machine; `clockToo` also stops its boot clock.
    func pause(clockToo: Bool) {
        if clockToo { clock.stop(at: world.now) }
        isExcused = true
        for process in processes { process.pause() }
        world.note(self, clockToo ? "machine suspended with its clock" : "machine paused")
    }

    func resume(clockToo: Bool) {
        if clockToo { clock.resume(at: world.now) }
        for process in processes { world.schedule.resume(process) }
        world.note(self, "machine goes on")
        world.writersMayHaveChanged(self)
    }

    /// Whatever is stopped goes on.
    func endPauses() {
        clock.resume(at: world.now)
        for process in processes {
            while process.isPaused { world.schedule.resume(process) }
        }
    }

    private var processes: [Process] { [hardware, guardian.process, postgres.postmaster, agent.process] }

    /// It comes with a database that has nothing to do with the herd's.
    private(set) var isForeign = false

    func bringForeignData() {
        isForeign = true
        postgres.directory = PostgresModel.Directory(
            systemIdentifier: world.random.next() >> 1, log: world.wal.create(timeline: 1), marker: nil,
            checkpointTimeline: 1)
    }

    /// Another machine takes this one's place under its name: empty disks, a new identity, the same address.
    func replace() {
        crash()
        settings.member.instance = world.freshInstance(of: id)
        agent.forgetEverything()
        isRolledBack = false
        postgres.directory = nil
        isForeign = false
        if settings.foundersExpected == 1 { learnPeers() }
        world.note(self, "replaced by an empty machine")
        boot()
    }

    /// The same machine at another address; its agent is started anew to learn of it.
    func move(to address: String) {
        agent.die()
        world.rehost(self, at: address)
        settings.member.address = address
        world.note(self, "moves to \(address)")
        agent.start()
    }

    /// Who was alone at first had no `peers`; a replacement set up without any would be alone again.
    private func learnPeers() {
        let others = world.machines.filter { $0 !== self }
        guard !others.isEmpty else { return }
        settings.foundersExpected = nil
        settings.seeds = others.map {
            PeerAddress(member: nil, host: $0.settings.member.address, port: 5501)
        }
    }

    /// People mend `peers` where it names an address that is gone; who seeks the herd is started anew.
    func learnSeed(_ former: String, isNow address: String) {
        for index in settings.seeds.indices where settings.seeds[index].host == former {
            settings.seeds[index].host = address
        }
        guard let node = agent.node, !node.isInCluster else { return }
        agent.die()
        agent.start()
    }

    /// How long a durable write that begins now takes.
    func persistDelay() -> Duration {
        let stall = diskStalledUntil > world.now ? diskStalledUntil - world.now : .zero
        return stall + .microseconds(100) + world.random.duration(upTo: world.options.persistTime)
    }

    /// How much later than asked for a timer fires.
    func lateness() -> Duration {
        .microseconds(20) + world.random.duration(upTo: world.options.wakeLateness)
    }
}
