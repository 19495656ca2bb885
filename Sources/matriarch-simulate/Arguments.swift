import Consensus
import Simulator

/// What was asked for on the command line.
struct Arguments: Sendable {
    private(set) var seeds: ClosedRange<UInt64> = 1...1
    private(set) var length: Duration = .seconds(600)
    private(set) var members: Int?
    private(set) var steps: UInt64?
    private(set) var jobs = 2
    private(set) var isVerbose = false
    private(set) var isHelp = false
    private(set) var isMinimised = false
    private(set) var isCostAsked = false
    private var omissions = Options()

    init(_ arguments: [String]) throws(SimulateCommand.UsageError) {
        jobs = Cores.count
        var rest = arguments[...]
        while let flag = rest.popFirst() {
            switch flag {
            case "--help": isHelp = true
            case "--verbose": isVerbose = true
            case "--seed":
                let seed: UInt64 = try Arguments.number(flag, rest.popFirst(), from: 0)
                seeds = seed...seed
            case "--seeds": seeds = try Arguments.range(flag, rest.popFirst())
            case "--minutes":
                let minutes: Int64 = try Arguments.number(flag, rest.popFirst(), from: 1)
                length = .seconds(minutes * 60)
            case "--milliseconds":
                length = .milliseconds(try Arguments.number(flag, rest.popFirst(), from: 1) as Int64)
            case "--without": try leaveOut(flag, rest.popFirst())
            case "--only":
                omissions.injections = try Arguments.words(flag, rest.popFirst()).map {
                    word throws(SimulateCommand.UsageError) in try Arguments.number(flag, word, from: 0)
                }
            case "--minimise": isMinimised = true
            case "--cost": isCostAsked = true
            case "--members":
                let count: Int = try Arguments.number(flag, rest.popFirst(), from: 1)
                guard count <= 7 else {
                    throw SimulateCommand.UsageError(text: "--members \(count): at most 7")
                }
                members = count
            case "--steps": steps = try Arguments.number(flag, rest.popFirst(), from: 1)
            case "--jobs": jobs = try Arguments.number(flag, rest.popFirst(), from: 1)
            default: throw SimulateCommand.UsageError(text: "there is no option \(flag)")
            }
        }
    }

    func simulation(seed: UInt64) -> Simulation {
        var simulation = Simulation(seed: seed, options: .swarm(seed: seed, members: members))
        simulation.length = length
        simulation.steps = steps
        for fault in omissions.withheld { simulation.options.withhold(fault) }
        for hardship in omissions.spared { simulation.options.spare(hardship) }
        simulation.options.injections = omissions.injections
        return simulation
    }

    /// What runs exactly this simulation again.
    func command(for simulation: Simulation) -> String {
        var words = ["matriarch-simulate --seed \(simulation.seed)"]
        words.append("--milliseconds \(simulation.length.milliseconds)")
        if let members { words.append("--members \(members)") }
        let options = simulation.options
        let left = options.withheld.map(\.rawValue) + options.spared.map(\.rawValue)
        if !left.isEmpty { words.append("--without " + left.joined(separator: ",")) }
        if let only = options.injections {
            words.append("--only " + only.map(String.init).joined(separator: ","))
        }
        return words.joined(separator: " ")
    }

    private mutating func leaveOut(_ flag: String, _ text: String?) throws(SimulateCommand.UsageError) {
        for word in Arguments.words(flag, text) {
            if let fault = Options.Fault(rawValue: word) {
                omissions.withhold(fault)
            } else if let hardship = Options.Hardship(rawValue: word) {
                omissions.spare(hardship)
            } else {
                throw SimulateCommand.UsageError(text: "\(flag) \(word): there is no such trouble")
            }
        }
    }

    private static func words(_ flag: String, _ text: String?) -> [String] {
        (text ?? "").split(separator: ",").map(String.init)
    }

    private static func number<Number: FixedWidthInteger>(
        _ flag: String, _ text: String?, from least: Number
    ) throws(SimulateCommand.UsageError) -> Number {
        guard let text, let number = Number(text), number >= least else {
            throw SimulateCommand.UsageError(text: "\(flag) \(text ?? "") must be a number from \(least) on")
        }
        return number
    }

    private static func range(
        _ flag: String, _ text: String?
    ) throws(SimulateCommand.UsageError) -> ClosedRange<UInt64> {
        let ends = (text ?? "").split(separator: ".", omittingEmptySubsequences: true).compactMap {
            UInt64($0)
        }
        guard ends.count == 2, ends[0] <= ends[1] else {
            throw SimulateCommand.UsageError(text: "\(flag) \(text ?? "") must be two numbers such as 1..300")
        }
        return ends[0]...ends[1]
    }
}
