import Consensus

/// The wires between the machines, each direction of each pair on its own.
struct Network {
    /// More machines than any herd here has.
    static let capacity = 32

    /// Two kinds of traffic that may break apart.
    enum Traffic { case agents, replication }

    var weather: Options.Weather
    /// How many cuts lie on each direction now: they may overlap.
    private var cuts = [Int](repeating: 0, count: capacity * capacity)
    private var replicationCuts = [Int](repeating: 0, count: capacity * capacity)
    private var extraLatency: Duration = .zero

    init(_ weather: Options.Weather) { self.weather = weather }

    private func index(_ from: Int, _ to: Int) -> Int { from * Network.capacity + to }

    func isCut(_ from: Int, _ to: Int, _ traffic: Traffic) -> Bool {
        if from == to { return false }
        switch traffic {
        case .agents: return cuts[index(from, to)] > 0
        case .replication:
            return replicationCuts[index(from, to)] > 0
                || weather.cutsReplication && cuts[index(from, to)] > 0
        }
    }

    /// Whether a connection can work: packets must pass both ways.
    func connects(_ one: Int, _ other: Int, _ traffic: Traffic) -> Bool {
        !isCut(one, other, traffic) && !isCut(other, one, traffic)
    }

    mutating func cut(_ from: Int, _ to: Int, _ traffic: Traffic = .agents) {
        switch traffic {
        case .agents: cuts[index(from, to)] += 1
        case .replication: replicationCuts[index(from, to)] += 1
        }
    }

    mutating func mend(_ from: Int, _ to: Int, _ traffic: Traffic = .agents) {
        switch traffic {
        case .agents: cuts[index(from, to)] = max(0, cuts[index(from, to)] - 1)
        case .replication: replicationCuts[index(from, to)] = max(0, replicationCuts[index(from, to)] - 1)
        }
    }

    mutating func storm(_ latency: Duration) { extraLatency = latency }

    mutating func heal() {
        cuts = cuts.map { _ in 0 }
        replicationCuts = cuts
        extraLatency = .zero
        weather.loss = 0
        weather.duplication = 0
        weather.delayed = 0
    }

    /// When copies of a message arrive, counted from its sending; none when it is lost.
    func deliveries(_ random: inout SeededRandom) -> [Duration] {
        if weather.loss > 0, random.chance(weather.loss) { return [] }
        let first = messageDelay(&random)
        guard weather.duplication > 0, random.chance(weather.duplication) else { return [first] }
        return [first, messageDelay(&random) + random.duration(upTo: weather.lateness)]
    }

    private func messageDelay(_ random: inout SeededRandom) -> Duration {
        var delay = streamDelay(&random)
        if weather.delayed > 0, random.chance(weather.delayed) {
            delay += random.duration(upTo: weather.lateness)
        }
        return delay
    }

    /// One way of a connection that repairs loss by itself.
    func streamDelay(_ random: inout SeededRandom) -> Duration {
        weather.latency + extraLatency + random.duration(upTo: weather.jitter)
    }
}
