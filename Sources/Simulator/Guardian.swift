import Consensus
import Supervision

/// The guard's rules (protocol: The guard): it knows whether a primary is allowed, and until when.
final class Guardian {
    enum Request {
        case arm(epoch: Term, deadline: Instant)
        case disarm(epoch: Term)
        case kill(reason: String)
        /// An agent that connects: it only wants to know.
        case look
    }

    unowned let machine: Machine
    let process = Process("guard")
    private(set) var epoch: Term?
    private(set) var deadline = Instant.zero
    private(set) var highestDisarmed: Term = 0
    private var lastExit: String?
    private var timerAt = WorldTime.never

    /// How often it looks whether a standby is still one.
    static let standbyWatch = Duration.milliseconds(200)

    init(_ machine: Machine) { self.machine = machine }

    private var world: World { machine.world }

    func start() {
        guard !process.isAlive else { return }
        process.start()
        epoch = nil
        deadline = .zero
        highestDisarmed = 0
        lastExit = nil
        timerAt = .never
    }

    /// The postmaster dies with its guard; what then kills the backends is the unit's control group.
    func die(killsPostgres: Bool = true) {
        guard process.isAlive else { return }
        process.die()
        epoch = nil
        if killsPostgres {
            machine.postgres.kill()
            machine.agent.lostGuard()
        }
    }

    var report: GuardReport {
        GuardReport(
            epoch: epoch, deadline: deadline, highestDisarmed: highestDisarmed,
            isPostgresAlive: machine.postgres.isAlive, lastExit: lastExit)
    }

    /// Whether Postgres may be started or promoted as primary now.
    var allowsPrimary: Bool { process.isRunning && epoch != nil && machine.now < deadline }

    func handle(_ request: Request) {
        switch request {
        case .arm(let newEpoch, let newDeadline): arm(newEpoch, until: newDeadline)
        case .disarm(let oldEpoch): disarm(oldEpoch)
        case .kill(let reason): kill("asked for: \(reason)")
        case .look: break
        }
    }

    private func arm(_ newEpoch: Term, until newDeadline: Instant) {
        guard newEpoch > highestDisarmed, newEpoch >= epoch ?? 0 else {
            world.note(machine, "guard refuses epoch \(newEpoch)")
            return
        }
        if newEpoch != epoch { world.note(machine, "guard armed for epoch \(newEpoch)") }
        deadline = newEpoch == epoch ? max(deadline, newDeadline) : newDeadline
        epoch = newEpoch
        world.observe(.guardArmed(machine, newEpoch))
        wakeAtDeadline()
    }

    private func disarm(_ oldEpoch: Term) {
        guard let armed = epoch, armed <= oldEpoch else {
            highestDisarmed = max(highestDisarmed, oldEpoch)
            return
        }
        guard !machine.postgres.isAlive || machine.postgres.isInRecovery else {
            world.note(machine, "guard refuses to disarm: Postgres is primary")
            return
        }
        epoch = nil
        highestDisarmed = max(highestDisarmed, oldEpoch)
        world.note(machine, "guard disarmed")
    }

    private func kill(_ reason: String) {
        highestDisarmed = max(highestDisarmed, epoch ?? 0)
        epoch = nil
        guard machine.postgres.isAlive else { return }
        world.note(machine, "guard kills Postgres: \(reason)")
        lastExit = reason
        machine.postgres.kill()
    }

    private func wakeAtDeadline() {
        let moment = machine.clock.moment(of: deadline)
        guard moment < timerAt else { return }
        timerAt = moment
        world.schedule.add(at: moment + machine.lateness(), for: process) { [self] in
            timerAt = .never
            guard epoch != nil else { return }
            if machine.now < deadline { return wakeAtDeadline() }
            kill("its deadline passed")
            machine.agent.hearGuard(report)
        }
    }

    // MARK: what it sees of its child

    func started(asPrimary: Bool) {
        lastExit = nil
        machine.agent.hearGuard(report)
    }

    /// Postgres stopped being a standby by itself or by somebody's hand.
    func standbySignalVanished() {
        machine.agent.hearGuard(report)
        guard epoch == nil else { return }
        let delay = world.random.duration(upTo: Guardian.standbyWatch)
        world.schedule.add(after: delay, for: process) { [self] in
            guard epoch == nil, machine.postgres.isAlive, !machine.postgres.isInRecovery else { return }
            kill("standby.signal is gone and no primary is allowed")
        }
    }

    /// The last process of Postgres is gone: proof of death.
    func reaped(_ how: String) {
        guard process.isAlive else { return }
        if lastExit == nil { lastExit = how }
        world.schedule.add(after: .microseconds(200), for: process) { [self] in
            machine.agent.hearGuard(report)
        }
    }
}
