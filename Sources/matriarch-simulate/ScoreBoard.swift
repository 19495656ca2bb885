import Platform
import Simulator
import Synchronization

/// Hands out seeds to threads and collects what became of them; failures are named as they are found.
final class ScoreBoard: Sendable {
    struct Result {
        var passed = 0
        var violations: [Violation] = []
        var length: Duration = .zero
        var events: UInt64 = 0
        var faults = 0
        var promotions = 0
        var acknowledgedWrites = 0
        var lostWrites = 0
        var clones = 0
        var rewinds = 0
        var putBacks = 0
    }

    private struct State {
        var seeds: ClosedRange<UInt64>.Iterator
        var result = Result()
    }

    private let state: Mutex<State>

    init(_ seeds: ClosedRange<UInt64>) { state = Mutex(State(seeds: seeds.makeIterator())) }

    func next() -> UInt64? { state.withLock { $0.seeds.next() } }

    func note(_ outcome: Simulation.Outcome) {
        state.withLock { state in
            state.result.length += outcome.length
            state.result.events += outcome.events
            state.result.faults += outcome.faults
            state.result.promotions += outcome.promotions
            state.result.acknowledgedWrites += outcome.acknowledgedWrites
            state.result.lostWrites += outcome.lostWrites
            state.result.clones += outcome.clones
            state.result.rewinds += outcome.rewinds
            state.result.putBacks += outcome.putBacks
            if let violation = outcome.violation {
                state.result.violations.append(violation)
                print("FAILED \(violation)")
            } else {
                state.result.passed += 1
            }
        }
    }

    var result: Result { state.withLock { $0.result } }
}

/// How many processors this machine has.
enum Cores {
    static var count: Int {
        guard let entries = try? Files.list("/sys/devices/system/cpu") else { return 1 }
        let processors = entries.filter {
            $0.hasPrefix("cpu") && $0.dropFirst(3).allSatisfy(\.isNumber) && $0.count > 3
        }
        return max(1, processors.count)
    }
}
