import Consensus

/// One run of one seed: a swarm of troubles, then quiet, then everything must come right.
public struct Simulation: Hashable, Sendable {
    public var seed: UInt64
    public var options: Options
    /// How long troubles go on; after that the herd has `recoveryLimit` to become whole.
    public var length: Duration = .seconds(600)
    /// Stops after this many events.
    public var steps: UInt64?

    public init(seed: UInt64, options: Options) {
        self.seed = seed
        self.options = options
    }

    public struct Outcome: Sendable {
        public var violation: Violation?
        public var length: Duration
        public var events: UInt64
        public var faults: Int
        public var promotions: Int
        public var acknowledgedWrites: Int
        public var lostWrites: Int
        public var clones: Int
        public var rewinds: Int
        public var putBacks: Int
        /// The trace's newest lines, when it was kept.
        public var traceTail: [String] = []
    }

    /// Clones, cold starts and back-offs all fit in, one after the other.
    static let recoveryLimit = Duration.seconds(120)

    /// - Parameter sink: takes each line of the trace; nil keeps no trace, which is much faster.
    public func run(tailLimit: Int = 0, sink: ((String) -> Void)? = nil) -> Outcome {
        run(judgedBy: Checkers.all(), tailLimit: tailLimit, sink: sink)
    }

    /// With other judges: what a test of the simulator itself looks for.
    func run(
        judgedBy checkers: [any Checker], tailLimit: Int = 0, sink: ((String) -> Void)? = nil
    ) -> Outcome {
        let trace = Trace(tailLimit: tailLimit, sink: sink)
        let world = World(seed: seed, options: options, trace: trace, checkers: checkers)
        world.stepLimit = steps
        let faults = Faults(world)
        for machine in world.machines {
            let delay = world.random.duration(upTo: .seconds(3))
            world.schedule.add(after: delay, for: nil) { machine.boot() }
        }
        faults.begin()
        world.run(until: .zero + length)
        if world.violation == nil, !world.isExhausted { recover(world, faults) }
        // What is still due holds the world, which holds it.
        defer { world.schedule = Schedule() }
        return Outcome(
            violation: world.violation, length: world.now - .zero, events: world.schedule.happened,
            faults: faults.count, promotions: world.tally.promotions,
            acknowledgedWrites: world.clients.acknowledged, lostWrites: world.tally.lostWrites,
            clones: world.tally.clones, rewinds: world.tally.rewinds,
            putBacks: world.tally.putBacks,
            traceTail: trace.newest)
    }

    /// Liveness (I29): once nothing fails any more, clients get through and everybody follows, within a
    /// bound.
    private func recover(_ world: World, _ faults: Faults) {
        faults.end()
        let end = world.now + Simulation.recoveryLimit
        var nextLook = world.now + .seconds(1)
        let reached = world.run(until: end) {
            guard world.now >= nextLook else { return false }
            nextLook = world.now + .seconds(1)
            return Settled.complaint(in: world) == nil
        }
        if world.violation != nil || world.isExhausted { return }
        guard reached else {
            return world.fail("I29 liveness", Settled.complaint(in: world) ?? "it never stayed well")
        }
        // It must stay so.
        world.run(until: world.now + options.lease * 4)
        if let complaint = Settled.complaint(in: world) {
            world.fail("I29 liveness", "not for long: \(complaint)")
        }
    }
}
