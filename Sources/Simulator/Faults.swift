import Consensus
import Supervision

/// Brings about the troubles of a swarm, one after the other and often several at once.
final class Faults {
    unowned let world: World
    /// When what is drawn: the same whatever is left out of the run.
    private var rhythm: SeededRandom
    /// The details of the newest injection, the same whatever is left out before it.
    var random: SeededRandom
    private let kinds: [(fault: Options.Fault, weight: Int)]
    private var joined = 0
    var moves = 0
    private var drawn = 0
    /// Those that happened.
    private(set) var count = 0

    init(_ world: World) {
        self.world = world
        rhythm = SeededRandom(seed: world.seed ^ 0x4641_554C_5453)
        random = rhythm
        kinds = Options.Fault.allCases.compactMap { fault in
            world.options.faults[fault].map { (fault, $0) }
        }
    }

    func begin() {
        guard let interval = world.options.faultInterval, !kinds.isEmpty else { return }
        let pause = interval / 8 + rhythm.duration(upTo: interval * 2)
        world.schedule.add(after: pause, for: nil) { [self] in
            guard world.troubles else { return }
            happen()
            begin()
        }
        if count == 0, world.options.deadMemberRemoval != nil { letBackTheDead() }
    }

    private func happen() {
        let total = kinds.reduce(0) { $0 + $1.weight }
        var draw = Int.random(in: 0..<total, using: &rhythm)
        for (fault, weight) in kinds {
            if draw < weight { return inject(fault) }
            draw -= weight
        }
    }

    private func inject(_ fault: Options.Fault) {
        let number = drawn
        drawn += 1
        guard world.options.happens(number, fault) else { return }
        random = SeededRandom(seed: world.seed ^ UInt64(number) << 32)
        count += 1
        world.note("injection \(number): \(fault)")
        bring(fault)
    }

    /// Half of the time it hits the one who matters most.
    private func victim() -> Machine {
        let primary = world.machines.first { $0.postgres.isWritable }
        if let primary, random.chance(0.5) { return primary }
        return world.machines[Int.random(in: 0..<world.machines.count, using: &random)]
    }

    /// From a tenth of a second to three leases and a half minute, short ones as often as long ones.
    func spell() -> Duration {
        let longest = world.options.lease * 3 + .seconds(30)
        let scale: Double = [0.02, 0.1, 0.3, 1.0].randomElement(using: &random) ?? 1
        return .milliseconds(100) + random.duration(upTo: longest.scaled(by: scale))
    }

    private func bring(_ fault: Options.Fault) {
        switch fault {
        case .killAgent, .pauseAgent, .killPostmaster, .killGuard, .pauseGuardAndAgent: bringToProcess(fault)
        case .crashMachine, .crashEverything, .pauseMachine, .suspendMachine, .jumpClock, .stallDisk:
            bringToMachine(fault)
        case .isolate, .cutOneWay, .cutPair, .halve, .cutReplication, .storm, .swell: bringToNetwork(fault)
        case .switchover, .signal, .stop, .join: ask(fault)
        case .removeMember, .changeVote, .replaceMachine, .moveMachine, .reinitialize, .restartPostgres,
            .pauseHerd, .switchoverToSpare:
            changeMembers(fault)
        case .putBack: putBack()
        }
    }

    func later(_ delay: Duration, _ action: @escaping () -> Void) {
        world.schedule.add(after: delay, for: nil, action)
    }

    // MARK: processes

    private func bringToProcess(_ fault: Options.Fault) {
        let machine = victim()
        guard machine.hardware.isRunning else { return }
        world.note(machine, "fault: \(fault)")
        switch fault {
        case .killAgent: killAgent(machine)
        case .pauseAgent: pause([machine.agent.process])
        case .pauseGuardAndAgent:
            machine.isExcused = true
            pause([machine.agent.process, machine.guardian.process])
        case .killPostmaster: machine.postgres.kill()
        default: killGuard(machine)
        }
    }

    private func killAgent(_ machine: Machine) {
        machine.agent.die()
        let delay = random.chance(0.5) ? random.duration(upTo: world.options.lease) : spell()
        world.schedule.add(after: delay, for: machine.hardware) { machine.agent.start() }
    }

    private func killGuard(_ machine: Machine) {
        machine.guardian.die()
        let delay = .milliseconds(100) + random.duration(upTo: .seconds(2))
        world.schedule.add(after: delay, for: machine.hardware) { machine.guardian.start() }
    }

    private func pause(_ processes: [Process]) {
        let lives = processes.map(\.life)
        for process in processes { process.pause() }
        later(spell()) { [world] in
            for (process, life) in zip(processes, lives) where process.life == life {
                world.schedule.resume(process)
            }
        }
    }

    // MARK: machines

    private func bringToMachine(_ fault: Options.Fault) {
        let machine = victim()
        guard machine.hardware.isRunning else { return }
        world.note(machine, "fault: \(fault)")
        switch fault {
        case .crashMachine: crash(machine)
        case .crashEverything:
            for each in world.machines where each.hardware.isAlive { crash(each) }
        case .pauseMachine: pause(machine, clockToo: false)
        case .suspendMachine: pause(machine, clockToo: true)
        case .jumpClock: jumpClock(machine)
        default:
            machine.diskStalledUntil = world.now + spell()
            // In turn.
            machine.doesDiskRefuse.toggle()
        }
    }

    /// A voter whose clock jumps forgets its promise too early: whoever writes now may get company.
    private func jumpClock(_ machine: Machine) {
        for other in world.machines { other.isExcused = true }
        machine.clock.jump(by: random.duration(upTo: world.options.lease * 2), at: world.now)
        for other in world.machines { world.writersMayHaveChanged(other) }
    }

    func crash(_ machine: Machine) {
        machine.crash()
        later(spell()) { machine.boot() }
    }

    /// Somebody restores an older copy of a machine's disk, or of a part of it.
    private func putBack() {
        let machine = victim()
        guard machine.agent.process.isRunning, !machine.isForeign else { return }
        let copy = machine.diskCopy
        let part = Machine.Part.allCases.randomElement(using: &random) ?? .everything
        later(spell()) { [self] in
            guard world.troubles, world.bears(machine, goingBackTo: copy) else { return }
            world.tally.putBacks += 1
            machine.crash()
            machine.putBack(copy, part)
            later(spell()) { machine.boot() }
        }
    }

    private func pause(_ machine: Machine, clockToo: Bool) {
        let life = machine.hardware.life
        machine.pause(clockToo: clockToo)
        later(spell()) {
            guard machine.hardware.isAlive, machine.hardware.life == life else { return }
            machine.resume(clockToo: clockToo)
        }
    }

    // MARK: the network

    private func bringToNetwork(_ fault: Options.Fault) {
        let machine = victim()
        world.note(machine, "fault: \(fault)")
        switch fault {
        case .isolate: cut(pairs(of: [machine], both: true))
        case .cutOneWay: cut(random.chance(0.5) ? pairs(of: [machine], both: false) : pairs(to: machine))
        case .cutPair:
            let other = world.machines[Int.random(in: 0..<world.machines.count, using: &random)]
            cut([(machine.index, other.index), (other.index, machine.index)])
        case .halve:
            let half = world.machines.filter { _ in random.chance(0.5) }
            cut(pairs(of: half, both: true))
        case .cutReplication: cut(pairs(of: [machine], both: true), .replication)
        case .storm:
            world.network.storm(random.duration(upTo: world.options.lease.scaled(by: 0.7)))
            later(spell()) { [world] in world.network.storm(.zero) }
        default: world.clients.swell(for: spell(), world)
        }
    }

    private func pairs(of group: [Machine], both: Bool) -> [(Int, Int)] {
        var result: [(Int, Int)] = []
        for one in group {
            for other in world.machines where !group.contains(where: { $0 === other }) {
                result.append((one.index, other.index))
                if both { result.append((other.index, one.index)) }
            }
        }
        return result
    }

    private func pairs(to machine: Machine) -> [(Int, Int)] {
        world.machines.filter { $0 !== machine }.map { ($0.index, machine.index) }
    }

    private func cut(_ pairs: [(Int, Int)], _ traffic: Network.Traffic = .agents) {
        for (from, to) in pairs { world.network.cut(from, to, traffic) }
        later(spell()) { [world] in
            for (from, to) in pairs { world.network.mend(from, to, traffic) }
        }
    }

    // MARK: people

    private func ask(_ fault: Options.Fault) {
        let machine = victim()
        guard machine.agent.process.isAlive else { return }
        switch fault {
        case .switchover:
            let target = random.chance(0.5) ? world.machines.randomElement(using: &random)?.id : nil
            world.ask(.switchover(target: target, dryRun: random.chance(0.1), reason: "command"), of: machine)
        case .signal: world.ask(.signalSwitchover, of: machine)
        case .stop: stop(machine)
        default: join()
        }
    }

    /// SIGTERM; somebody starts it again some time after it has ended.
    private func stop(_ machine: Machine) {
        let delay = spell()
        machine.agent.whenExited { [world] in
            world.schedule.add(after: delay, for: machine.hardware) { machine.agent.start() }
        }
        world.ask(.stop, of: machine)
    }

    private func join() {
        guard joined < world.options.joiners else { return }
        let machine = world.addMachine(World.names[world.options.members + joined], founders: nil)
        joined += 1
        if world.options.foreignJoiner, joined == 1 { machine.bringForeignData() }
        machine.boot()
    }

    // MARK: the end

    /// Everything that is broken is mended, everything that is down is started; what then is not well is
    /// wrong.
    func end() {
        world.troubles = false
        world.note("troubles are over")
        world.network.heal()
        world.clients.calm()
        for machine in world.machines {
            machine.diskStalledUntil = world.now
            machine.endPauses()
            machine.boot()
            machine.guardian.start()
            machine.agent.start()
        }
        resumeHerd()
    }
}
