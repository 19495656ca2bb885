import Consensus
import Platform
import Simulator

/// `matriarch-simulate`: runs the product's deciding code in a hostile world made from a seed.
enum SimulateCommand {
    struct UsageError: Error { let text: String }

    static let usage = """
        usage: matriarch-simulate --seed N [--verbose | --minimise] [--minutes M] [--members N] [--steps N]
               matriarch-simulate --seeds A..B [--minutes M] [--members N] [--jobs N]
               matriarch-simulate --cost

        --seed N      one run; prints its figures, and on failure what is wrong and the trace's end
        --seeds A..B  many runs on all cores; names those that fail
        --verbose     prints the whole trace (columns: docs/internals/simulator.md)
        --minutes M   simulated time of each run, 10 when left out
        --members N   founders of the herd; from the seed when left out
        --steps N     stops after this many events
        --minimise    shrinks a failing run, and prints the command for the smallest that still fails
        --without A,B leaves out these troubles, named as the trace and the options name them
        --only 3,17   of the injections that the trace numbers, only these happen
        --milliseconds M  as --minutes
        --cost        what a quiet herd costs its leader, by the number of members
        --jobs N      threads, one per core when left out
        """

    /// - Returns: the exit code: 0 when every run was clean, 1 when one was not, 64 for a wrong call.
    static func run(_ arguments: [String]) -> Int32 {
        do {
            var plan = try Arguments(arguments)
            if plan.isHelp {
                print(usage)
                return 0
            }
            if plan.isMinimised { return minimise(plan) }
            if plan.isCostAsked { return cost() }
            return plan.seeds.count == 1 ? one(plan) : many(&plan)
        } catch {
            print("matriarch-simulate: \(error.text)\n\(usage)")
            return 64
        }
    }

    /// How many of the newest lines of the trace a failure is printed with.
    static let tail = 60

    private static func one(_ plan: Arguments) -> Int32 {
        let simulation = plan.simulation(seed: plan.seeds.lowerBound)
        if plan.isVerbose { print("# \(simulation.options)") }
        let began = BootClock.now()
        let outcome = simulation.run(
            tailLimit: plan.isVerbose ? 0 : tail, sink: plan.isVerbose ? { print($0) } : nil)
        report(outcome, BootClock.now() - began)
        guard let violation = outcome.violation else {
            print("1 passed, 0 failed")
            return 0
        }
        for line in outcome.traceTail { print(line) }
        print("FAILED \(violation)")
        print("0 passed, 1 failed")
        return 1
    }

    private static func minimise(_ plan: Arguments) -> Int32 {
        guard var minimiser = Minimiser(plan.simulation(seed: plan.seeds.lowerBound)) else {
            print("1 passed, 0 failed: nothing to minimise")
            return 0
        }
        print("FAILED \(minimiser.violation)")
        minimiser.shrink()
        let smallest = minimiser.smallest
        for line in smallest.run(tailLimit: tail).traceTail { print(line) }
        print("# \(minimiser.runs) runs; what is left of it:")
        print("FAILED \(minimiser.violation)")
        print(plan.command(for: smallest))
        return 1
    }

    private static func cost() -> Int32 {
        print("members  sent/s  received/s  leader µs/s  µs per member  other member µs/s")
        for members in [3, 5, 8, 13, 23] {
            guard let cost = HerdCost.measure(members: members, clock: { ThreadClock.now() }) else {
                print("a herd of \(members) did not become whole")
                return 1
            }
            let leader = microseconds(cost.leader)
            let columns = [
                (String(members), 7), (oneDigit(cost.messagesSent), 8), (oneDigit(cost.messagesReceived), 12),
                (String(leader), 13), (String(leader / Int64(members)), 15),
                (String(microseconds(cost.follower)), 19),
            ]
            print(columns.map { String(repeating: " ", count: max(0, $1 - $0.count)) + $0 }.joined())
        }
        return 0
    }

    private static func microseconds(_ duration: Duration) -> Int64 { duration.nanoseconds / 1000 }

    private static func oneDigit(_ number: Double) -> String { String((number * 10).rounded() / 10) }

    private static func report(_ outcome: Simulation.Outcome, _ nanoseconds: Int64) {
        print(
            "# \(seconds(outcome.length)) s simulated, \(ratio(outcome.length, nanoseconds)) times real "
                + "time: \(outcome.events) events, \(outcome.faults) faults, "
                + "\(outcome.promotions) promotions, \(outcome.putBacks) disks put back, "
                + "\(outcome.acknowledgedWrites) writes acknowledged, \(outcome.lostWrites) lost, "
                + "\(outcome.rewinds) rewinds, \(outcome.clones) clones")
    }

    private static func many(_ plan: inout Arguments) -> Int32 {
        let board = ScoreBoard(plan.seeds)
        let began = BootClock.now()
        let frozen = plan
        do {
            let threads = try (0..<plan.jobs).map { number in
                try Thread.start(name: "simulate-\(number)", stackBytes: 16 << 20) { @Sendable in
                    while let seed = board.next() { board.note(frozen.simulation(seed: seed).run()) }
                }
            }
            for thread in threads { thread.join() }
        } catch {
            print("matriarch-simulate: \(error)")
            return 1
        }
        let result = board.result
        let spent = BootClock.now() - began
        print(
            "# \(seconds(result.length)) s simulated in \(spent / 1_000_000) ms, "
                + "\(ratio(result.length, spent)) times real time on \(plan.jobs) threads, "
                + "\(ratio(result.length, spent) / Int64(plan.jobs)) on each: "
                + "\(result.events) events, \(result.faults) faults, \(result.promotions) promotions, "
                + "\(result.putBacks) disks put back, "
                + "\(result.acknowledgedWrites) writes acknowledged, \(result.lostWrites) lost, "
                + "\(result.rewinds) rewinds, \(result.clones) clones")
        print("\(result.passed) passed, \(result.violations.count) failed")
        return result.violations.isEmpty ? 0 : 1
    }

    private static func seconds(_ length: Duration) -> Int64 { length.nanoseconds / 1_000_000_000 }

    private static func ratio(_ length: Duration, _ nanoseconds: Int64) -> Int64 {
        length.nanoseconds / max(1, nanoseconds)
    }
}
