import Simulator

/// What was asked for on the command line.
struct Arguments: Sendable {
    private(set) var seeds: ClosedRange<UInt64> = 1...1
    private(set) var minutes: Int64 = 10
    private(set) var members: Int?
    private(set) var steps: UInt64?
    private(set) var jobs = 2
    private(set) var isVerbose = false
    private(set) var isHelp = false

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
            case "--minutes": minutes = try Arguments.number(flag, rest.popFirst(), from: 1)
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
        simulation.length = .seconds(minutes * 60)
        simulation.steps = steps
        return simulation
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
