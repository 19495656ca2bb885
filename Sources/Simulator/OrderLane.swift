import Consensus
import Supervision

/// Carries out the node's orders to Postgres, as the agent's own threads do: they end with the agent, what
/// they have set going in Postgres does not.
final class OrderLane {
    unowned let machine: Machine
    private var waiting: [(job: JobID, order: PostgresOrder)] = []
    private var current: JobID?
    var isCloning = false
    private var background: [JobID] = []
    private(set) var cancelled: [JobID] = []

    /// More than this many unfinished orders would mean a node that gives them in a loop.
    static let limit = 64
    private static let look = Duration.milliseconds(10)
    private static let startTimeout = Duration.seconds(60)

    init(_ machine: Machine) { self.machine = machine }

    var world: World { machine.world }
    var postgres: PostgresModel { machine.postgres }

    func give(_ order: PostgresOrder, as job: JobID) {
        invariant(
            waiting.count + background.count < OrderLane.limit, "\(machine.id) gives orders without end")
        world.note(machine, "order \(job): \(Describe.order(order))")
        if order.isBackground {
            background.append(job)
            return begin(order, job)
        }
        waiting.append((job, order))
        next()
    }

    func cancel(_ job: JobID) {
        if let place = waiting.firstIndex(where: { $0.job == job }) {
            waiting.remove(at: place)
            return report(job, .failed("cancelled before it began"))
        }
        cancelled.append(job)
    }

    private func next() {
        guard current == nil, !waiting.isEmpty else { return }
        let (job, order) = waiting.removeFirst()
        current = job
        begin(order, job)
    }

    private func begin(_ order: PostgresOrder, _ job: JobID) {
        guard world.options.orderFailures > 0, world.troubles,
            world.random.chance(world.options.orderFailures)
        else { return run(order, job) }
        if world.random.chance(0.5) {
            let delay = world.random.duration(upTo: .milliseconds(500))
            return after(delay) { [self] in finish(job, .failed("injected: before it did anything")) }
        }
        // Everything happens, but its end is not seen.
        run(order, job, failing: true)
    }

    private func run(_ order: PostgresOrder, _ job: JobID, failing: Bool = false) {
        let done: (PostgresOutcome.Result) -> Void = { [self] result in
            finish(job, failing ? .failed("injected: its end was not seen") : result)
        }
        switch order {
        case .initialize(let attempt, _): initialize(attempt, done)
        case .startStandby(let configuration): startStandby(configuration, done)
        case .startPrimary(let configuration): startPrimary(configuration, done)
        case .stop(let bound): stop(bound, done)
        case .freeze: freeze(done)
        case .follow(let upstream): follow(upstream, done)
        case .promote(let plan): promote(plan, done)
        case .clone(let plan): clone(plan, job, done)
        case .rewind(let plan): rewind(plan, job, done)
        case .configure(let configuration): configure(configuration, done)
        case .checkpoint: checkpoint(done)
        case .tendSlots, .examine: after(.milliseconds(2)) { done(.done) }
        }
    }

    private func finish(_ job: JobID, _ result: PostgresOutcome.Result) {
        if current == job { current = nil }
        background.removeAll { $0 == job }
        cancelled.removeAll { $0 == job }
        report(job, result)
        next()
    }

    private func report(_ job: JobID, _ result: PostgresOutcome.Result) {
        world.note(machine, "order \(job) ends: \(Describe.result(result))")
        let outcome = PostgresOutcome(result: result, report: postgres.report())
        after(.zero) { [self] in machine.agent.feed(.postgresFinished(job, outcome)) }
    }

    func after(_ delay: Duration, _ action: @escaping () -> Void) {
        world.schedule.add(after: delay, for: machine.agent.process, action)
    }

    private func time(_ least: Int64, upTo most: Int64) -> Duration {
        .milliseconds(least) + world.random.duration(upTo: .milliseconds(most - least))
    }

    typealias Done = (PostgresOutcome.Result) -> Void

    // MARK: the orders

    private func initialize(_ attempt: Term, _ done: @escaping Done) {
        after(time(300, upTo: 1500)) { [self] in
            if postgres.isAlive { return done(.failed("Postgres is running")) }
            if let there = postgres.directory, there.marker == nil {
                return done(.failed("there is a database already"))
            }
            let log = world.wal.create(timeline: 1)
            postgres.directory = PostgresModel.Directory(
                systemIdentifier: world.random.next() >> 1, log: log, marker: attempt, checkpointTimeline: 1)
            done(.done)
        }
    }

    private func startStandby(_ configuration: ManagedConfiguration, _ done: @escaping Done) {
        after(time(10, upTo: 60)) { [self] in
            guard postgres.directory != nil else { return done(.failed("there is no data directory")) }
            guard machine.guardian.process.isRunning else {
                return done(.failed("the guard does not answer"))
            }
            if postgres.isAlive {
                return done(postgres.isInRecovery ? .done : .failed("Postgres runs as primary"))
            }
            postgres.start(asPrimary: false, configuration)
            after(time(10, upTo: 40)) { done(.done) }
        }
    }

    private func startPrimary(_ configuration: ManagedConfiguration, _ done: @escaping Done) {
        after(time(10, upTo: 60)) { [self] in
            guard postgres.directory != nil else { return done(.failed("there is no data directory")) }
            guard machine.guardian.allowsPrimary else { return done(.failed("the guard is not armed")) }
            if postgres.isAlive {
                return postgres.isWritable ? done(.done) : done(.failed("Postgres runs as standby"))
            }
            postgres.start(asPrimary: true, configuration)
            waitUp(OrderLane.startTimeout, until: { [self] in postgres.isWritable }) { reached in
                done(reached ? .done : .failed("Postgres did not come up"))
            }
        }
    }

    private func stop(_ bound: Duration, _ done: @escaping Done) {
        postgres.beginStop(bound: bound)
        // The guard kills at the bound; what hangs then is the guard.
        waitUp(bound + .seconds(5), until: { [self] in !postgres.isAlive }) { reached in
            done(reached ? .done : .failed("not every process is gone"))
        }
    }

    private func freeze(_ done: @escaping Done) {
        after(time(1, upTo: 20)) { [self] in
            guard let server = postgres.server else { return done(.done) }
            guard !server.asPrimary, server.phase == .standby || server.phase == .recovering else {
                return done(.failed("Postgres is not a standby"))
            }
            postgres.closeGate()
            waitUp(
                .seconds(20), until: { [self] in postgres.report().settled != nil || postgres.server == nil }
            ) {
                reached in
                done(reached ? .done : .failed("recovery has not come to the end of the local log"))
            }
        }
    }

    private func follow(_ upstream: Upstream, _ done: @escaping Done) {
        after(time(2, upTo: 30)) { [self] in
            guard let phase = postgres.server?.phase, phase == .standby || phase == .recovering else {
                return done(.failed("Postgres is not a running standby"))
            }
            postgres.openGate(towards: upstream)
            done(.done)
        }
    }

    private func promote(_ plan: PromotionPlan, _ done: @escaping Done) {
        after(time(2, upTo: 10)) { [self] in
            guard let server = postgres.server else { return done(.failed("Postgres is not running")) }
            guard machine.guardian.allowsPrimary else { return done(.failed("the guard is not armed")) }
            if server.phase == .standby {
                guard !server.isGateOpen else { return done(.failed("the gate is open")) }
                postgres.beginPromotion(skipping: plan.skip)
            } else if server.phase != .primary, server.phase != .promoting {
                return done(.failed("Postgres is not a standby that has come to the end of its log"))
            }
            waitUp(OrderLane.startTimeout, until: { [self] in postgres.isWritable }) { [self] reached in
                done(reached ? promoted(plan) : .failed("the promotion did not end"))
            }
        }
    }

    private func promoted(_ plan: PromotionPlan) -> PostgresOutcome.Result {
        guard let log = postgres.directory?.log, let start = world.wal.branches[log.branch].parent?.end else {
            return .failed("there is no history file")
        }
        let timeline = world.wal.timeline(of: log)
        guard timeline == plan.timeline else { return .failed("promoted on timeline \(timeline)") }
        return .promoted(timeline: timeline, switchLSN: start)
    }

    private func configure(_ configuration: ManagedConfiguration, _ done: @escaping Done) {
        after(time(5, upTo: 50)) { [self] in
            guard postgres.server != nil else { return done(.failed("Postgres is not running")) }
            postgres.directory?.configuration = configuration
            world.writersMayHaveChanged(machine)
            done(.done)
        }
    }

    private func checkpoint(_ done: @escaping Done) {
        after(time(20, upTo: 300)) { [self] in
            guard postgres.server != nil, let log = postgres.directory?.log else {
                return done(.failed("Postgres is not running"))
            }
            postgres.directory?.checkpointTimeline = world.wal.timeline(of: log)
            done(.done)
        }
    }

    /// Looks again until the condition holds, Postgres has died, or the time is over.
    private func waitUp(
        _ limit: Duration, until condition: @escaping () -> Bool, _ action: @escaping (Bool) -> Void
    ) {
        let deadline = world.now + limit
        func check() {
            if condition() { return action(true) }
            let isGone = postgres.server == nil && !postgres.isAlive
            if isGone || world.now >= deadline { return action(condition()) }
            after(OrderLane.look) { check() }
        }
        check()
    }
}
