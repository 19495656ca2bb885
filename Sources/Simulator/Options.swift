public import Consensus

/// What a world is like: the herd's settings and the kinds of trouble, all of it drawn from the seed in a
/// swarm.
public struct Options: Hashable, Sendable {
    public struct Weather: Hashable, Sendable {
        /// The least time that a message takes one way, and how much more it may take.
        public var latency: Duration = .microseconds(200)
        public var jitter: Duration = .microseconds(300)
        public var loss = 0.0
        public var duplication = 0.0
        /// How often a message (or its copy) is late by up to `lateness`, so that others overtake it.
        public var delayed = 0.0
        public var lateness: Duration = .seconds(2)
        /// Whether what cuts the agents' links cuts the replication between their machines, too.
        public var cutsReplication = true
    }

    /// What fails, each kind with its weight; zero never happens.
    public enum Fault: String, CaseIterable, Sendable {
        case killAgent, pauseAgent, killPostmaster, killGuard, pauseGuardAndAgent, crashMachine,
            crashEverything
        case pauseMachine, suspendMachine, jumpClock
        case isolate, cutOneWay, cutPair, halve, cutReplication, storm
        case stallDisk, swell
        case switchover, signal, stop, join
        case removeMember, changeVote, replaceMachine, moveMachine
        case reinitialize, restartPostgres, pauseHerd
        case putBack
        case switchoverToSpare
    }

    public var members = 3
    public var lease: Duration = .seconds(5)
    public var maximumLag: UInt64 = 16 << 20
    public var coldStartWait: Duration = .seconds(30)
    /// Greatest error of a clock's rate, in parts per million; at most the 1000 that the protocol bears.
    public var clockDrift: Int64 = 0
    /// How late a timer may fire: a machine under load.
    public var wakeLateness: Duration = .milliseconds(1)
    public var weather = Weather()
    /// How long a durable write takes at most.
    public var persistTime: Duration = .milliseconds(5)
    /// How long ending every process of a Postgres takes at most; must stay under the guard's margin.
    public var killTime: Duration = .milliseconds(150)
    public var promoteTime: Duration = .milliseconds(150)
    public var recoveryTime: Duration = .milliseconds(300)
    public var cloneTime: Duration = .seconds(2)
    public var rewindTime: Duration = .milliseconds(800)
    /// How often WAL that a rewind needs is gone everywhere.
    public var rewindImpossible = 0.0
    /// Bytes per second that one standby takes in at most.
    public var replicationRate: UInt64 = 100 << 20
    /// How often an order to Postgres fails: before it did anything, or after it did everything.
    public var orderFailures = 0.0
    public var writers = 2
    public var writeInterval: Duration = .milliseconds(400)
    public var writeBytes: UInt64 = 512
    /// How often a machine outside tries to write to each Postgres directly.
    public var probeInterval: Duration = .seconds(1)
    /// Mean time between faults; nil for none at all.
    public var faultInterval: Duration?
    public var faults: [Fault: Int] = [:]
    /// How many machines may join beyond the founders.
    public var joiners = 0
    /// One of the joiners brings a database of another cluster.
    public var foreignJoiner = false
    /// Not every founder is in the primary region.
    public var secondRegion = false
    /// The last founder only votes.
    public var witness = false
    /// Of founders and joiners, by name.
    public var tags: [MemberID: [String]] = [:]
    /// How long a member may be silent before it is removed; nil is for ever.
    public var deadMemberRemoval: Duration?

    /// Kinds of fault that are drawn and do not happen.
    public internal(set) var withheld: [Fault] = []
    public internal(set) var spared: [Hardship] = []
    /// The numbers of the injections that happen, in the order of being drawn; nil is all of them.
    public var injections: [Int]?

    public init() {}

    public var timings: Timings { Timings(lease: lease) }
}

extension Options {
    /// A quiet world of this many members: what directed tests begin with.
    public static func calm(_ members: Int, lease: Duration = .seconds(5)) -> Options {
        var options = Options()
        options.members = members
        options.lease = lease
        return options
    }

    /// Settings and troubles drawn from the seed. Each kind of trouble is left out of about half of the
    /// worlds: what always happens hides what happens seldom.
    public static func swarm(seed: UInt64, members: Int? = nil) -> Options {
        var random = SeededRandom(seed: seed ^ 0x5357_4152_4D00)
        var options = Options()
        options.members = members ?? [1, 2, 3, 3, 3, 3, 3, 4, 5, 5].randomElement(using: &random) ?? 3
        options.lease = .milliseconds(
            [1000, 1000, 2000, 3000, 5000, 5000, 5000, 10_000].randomElement(using: &random) ?? 5000)
        options.maximumLag = [64 << 10, 1 << 20, 16 << 20].randomElement(using: &random) ?? 16 << 20
        options.coldStartWait = .seconds([5, 30].randomElement(using: &random) ?? 30)
        options.clockDrift = random.chance(0.7) ? 1000 : 0
        options.wakeLateness = .milliseconds([1, 5, 38].randomElement(using: &random) ?? 1)
        options.joiners = random.chance(0.4) ? Int.random(in: 1...2, using: &random) : 0
        options.foreignJoiner = random.chance(0.1)
        options.secondRegion = options.members > 3 && random.chance(0.3)
        options.witness = options.members > 2 && !options.secondRegion && seed.isMultiple(of: 5)
        if random.chance(0.2) {
            options.deadMemberRemoval = .seconds([20, 60].randomElement(using: &random) ?? 60)
        }
        if random.chance(0.3) { options.tags["b"] = ["clonefrom"] }
        options.drawWeather(&random)
        options.drawPostgres(&random)
        options.drawFaults(&random)
        return options
    }

    private mutating func drawWeather(_ random: inout SeededRandom) {
        weather.latency = .microseconds([50, 200, 2000, 20_000].randomElement(using: &random) ?? 200)
        weather.jitter = weather.latency + random.duration(upTo: .milliseconds(10))
        if random.chance(0.5) { weather.loss = [0.001, 0.02, 0.1].randomElement(using: &random) ?? 0 }
        if random.chance(0.4) { weather.duplication = [0.01, 0.1].randomElement(using: &random) ?? 0 }
        if random.chance(0.4) { weather.delayed = [0.001, 0.02].randomElement(using: &random) ?? 0 }
        weather.lateness = .seconds([1, 3, 70].randomElement(using: &random) ?? 3)
        weather.cutsReplication = random.chance(0.8)
    }

    private mutating func drawPostgres(_ random: inout SeededRandom) {
        persistTime = .milliseconds([1, 5, 60].randomElement(using: &random) ?? 5)
        killTime = .milliseconds(Int64.random(in: 20...190, using: &random))
        promoteTime = .milliseconds([100, 200, 3000].randomElement(using: &random) ?? 200)
        recoveryTime = .milliseconds([100, 500, 5000].randomElement(using: &random) ?? 500)
        cloneTime = .seconds([1, 5, 20].randomElement(using: &random) ?? 5)
        rewindTime = .milliseconds([300, 2000, 10_000].randomElement(using: &random) ?? 2000)
        rewindImpossible = [0, 0.1, 0.5].randomElement(using: &random) ?? 0
        replicationRate = [64 << 10, 100 << 20].randomElement(using: &random) ?? 100 << 20
        if random.chance(0.4) { orderFailures = [0.01, 0.1].randomElement(using: &random) ?? 0 }
        writeInterval = .milliseconds([150, 400, 1500].randomElement(using: &random) ?? 400)
        writeBytes = [200, 2000, 60_000].randomElement(using: &random) ?? 512
    }

    private mutating func drawFaults(_ random: inout SeededRandom) {
        if random.chance(0.05) { return }
        faultInterval = .seconds([4, 10, 30, 60].randomElement(using: &random) ?? 30)
        for fault in Fault.allCases where random.chance(0.5) {
            faults[fault] = Int.random(in: 1...4, using: &random)
        }
        if faults[.crashEverything] != nil { faults[.crashEverything] = 1 }
    }
}
