import Consensus
import Testing

@testable import Simulator

/// A failing seed is told by the least that still fails.
@Suite("Minimiser")
struct MinimiserTests {
    /// A judge that is wrong, in place of a product that is: the second promotion ends the run.
    private struct SecondPromotion: Checker {
        let name = "second promotion"
        let sights: [Sight] = [.history]
        private var promotions = 0

        mutating func observe(_ seen: Observation, in world: World) -> String? {
            guard case .promoted = seen else { return nil }
            promotions += 1
            return promotions == 2 ? "a second promotion" : nil
        }
    }

    private func eventful() -> Simulation {
        var options = Options.calm(3, lease: .seconds(1))
        options.faultInterval = .seconds(3)
        options.weather.loss = 0.02
        for fault in [.isolate, .crashMachine, .switchover, .swell, .killAgent, .cutPair] as [Options.Fault] {
            options.faults[fault] = 1
        }
        var simulation = Simulation(seed: 3, options: options)
        simulation.length = .seconds(120)
        return simulation
    }

    private func attempt(_ simulation: Simulation) -> Simulation.Outcome {
        simulation.run(judgedBy: Checkers.all() + [SecondPromotion()])
    }

    @Test func onlyWhatTheViolationNeedsIsLeft() throws {
        let whole = eventful()
        let first = attempt(whole)
        #expect(first.violation?.checker == "second promotion")
        var minimiser = try #require(Minimiser(whole, attempt: attempt))
        minimiser.shrink()
        let smallest = minimiser.smallest
        #expect(smallest.options.spared.contains(.loss))
        #expect(smallest.options.withheld.contains(.swell))
        let left = try #require(smallest.options.injections)
        #expect(left.count <= 2, "two promotions need no more than two troubles: \(left)")
        #expect(first.faults > left.count)
        #expect(smallest.length < whole.length)
        #expect(attempt(smallest).violation == minimiser.violation)
    }

    @Test func aRunThatDoesNotFailIsNotShrunk() {
        var quiet = eventful()
        quiet.length = .seconds(1)
        #expect(Minimiser(quiet) == nil)
    }

    /// What is left out changes nothing of what is drawn for the rest.
    @Test func anInjectionHappensAsItWouldAmongTheOthers() {
        func injections(_ change: (inout Options) -> Void) -> [String] {
            var simulation = eventful()
            simulation.length = .seconds(60)
            change(&simulation.options)
            var lines: [String] = []
            _ = simulation.run { line in
                if let place = line.firstRange(of: "injection ") {
                    lines.append(String(line[place.lowerBound...]))
                }
            }
            return lines
        }
        let all = injections { _ in }
        #expect(all.count > 6)
        #expect(injections { $0.injections = [2, 5] } == [all[2], all[5]])
    }
}
