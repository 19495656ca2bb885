import Consensus
import Platform
import Simulator
import TestSupport
import Testing

@Suite("Swarm")
struct SwarmTests {
    private func simulation(_ seed: UInt64, minutes: Int64) -> Simulation {
        var simulation = Simulation(seed: seed, options: .swarm(seed: seed))
        simulation.length = .seconds(minutes * 60)
        return simulation
    }

    @Test(arguments: 1...4 as ClosedRange<UInt64>)
    func aFewSeedsGiveNoCauseForComplaint(_ seed: UInt64) {
        let outcome = simulation(seed, minutes: 2).run()
        #expect(outcome.violation == nil, "matriarch-simulate --seed \(seed) --minutes 2 shows why")
    }

    @Test func theSameSeedGivesTheSameTrace() {
        var traces: [[String]] = [[], []]
        for number in 0..<2 { _ = simulation(6, minutes: 1).run { traces[number].append($0) } }
        #expect(traces[0] == traces[1])
        #expect(traces[0].count > 100)
    }

    /// Hashing is seeded anew in each process: whoever walks a dictionary to decide is found out here.
    @Test(.enabled(if: BuiltPrograms.exist(["matriarch-simulate"]), "needs the built matriarch-simulate"))
    func theSameSeedGivesTheSameTraceInTwoProcesses() throws {
        let program = BuiltPrograms.path("matriarch-simulate")
        let outputs = try (0..<2).map { _ in
            try ChildProcess.run(
                program, ["--seed", "6", "--minutes", "1", "--verbose"],
                until: BootClock.now() + 120_000_000_000, captureLimit: 16 << 20)
        }
        // The last lines tell the speed, which is of this world.
        let traces = outputs.map { $0.output.split(separator: "\n").filter { !$0.hasPrefix("#") } }
        #expect(outputs[0].exit.isSuccess)
        #expect(traces[0] == traces[1])
        #expect(traces[0].count > 100)
    }

    @Test func anotherSeedGivesAnotherRun() {
        let outcomes = [8, 9].map { simulation($0, minutes: 1).run().events }
        #expect(outcomes[0] != outcomes[1])
    }
}
