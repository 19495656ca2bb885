import FoundationEssentials
import Glibc
import Platform
import TestSupport
import Testing

/// How late the guard wakes, and how long a kill takes until its proof.
///
/// Figures, not a test: `benchmarks/guard.sh` runs it, and docs/internals/guard.md keeps what came out.
@Suite(
    .requiresPostgres, .serialized,
    .enabled(if: ProcessInfo.processInfo.environment["MATRIARCH_BENCH"] != nil, "run benchmarks/guard.sh"))
struct GuardBenchmark {
    private static let microsecond = 1000.0

    @Test(arguments: [false, true]) func wakeUp(realTime: Bool) throws {
        if realTime, geteuid() != 0 { return print("real-time scheduling: needs root, left out") }
        let node = try GuardedPostgres(standby: false, realTime: realTime)
        let client = try node.client()
        let scheduling = realTime ? "real-time" : "normal scheduling"
        for loops in [0, 4] {
            let load = try (0..<loops).map { _ in
                try ChildProcess.spawn(executable: "/bin/sh", arguments: ["-c", "while :; do :; done"])
            }
            defer { for loop in load { try? loop.signal(SIGKILL) } }
            let first = try client.expectDone(.state).disarmed + 1
            var lateness: [Double] = []
            for epoch in first..<(first + 100) {
                let deadline = inSeconds(0.2)
                try client.expectDone(.arm(epoch: epoch, deadline: deadline))
                _ = try client.expectEvent(.fenced(reason: "deadline"))
                lateness.append(Double(BootClock.now() - deadline))
            }
            report("deadline to its event at the client, \(scheduling), \(loops) busy loops", lateness)
        }
        let memory = try Files.readText("/proc/\(node.process.pid)/smaps_rollup").split(separator: "\n")
        for line in memory where line.hasPrefix("Pss:") || line.hasPrefix("Locked:") { print(line) }
    }

    @Test(arguments: [false, true]) func kill(realTime: Bool) throws {
        if realTime, geteuid() != 0 { return print("real-time scheduling: needs root, left out") }
        let node = try GuardedPostgres(standby: false, realTime: realTime)
        let client = try node.client()
        var proofs: [Double] = []
        var commits: [Double] = []
        var killed: Int64?
        for round in 0..<20 as Range<UInt64> {
            try client.expectDone(.arm(epoch: 2 * round + 1, deadline: inSeconds(60)))
            try client.expectDone(node.start(standby: false))
            try node.waitForConnections()
            if let killed { commits.append(try lastRow(node) - Double(killed)) }
            _ = try node.query("DROP TABLE IF EXISTS writes")
            let busy = try node.startBusySessions(50)
            let deadline = inSeconds(0.3)
            killed = deadline
            try client.expectDone(.arm(epoch: 2 * round + 2, deadline: deadline))
            _ = try client.expectEvent(.fenced(reason: "deadline"))
            let killedAt = try #require(try client.expectEvent(.killed).killedAt)
            proofs.append(Double(killedAt - deadline))
            _ = busy.wait(until: inSeconds(20))
        }
        let scheduling = realTime ? "real-time" : "normal scheduling"
        report("deadline to proof of death, 50 busy sessions, \(scheduling)", proofs)
        report("deadline to last row written, 50 busy sessions, \(scheduling)", commits)
    }

    /// When the newest row was written, on `BootClock`.
    private func lastRow(_ node: GuardedPostgres) throws -> Double {
        let wall = WallClock.now()
        let offset = BootClock.now() - (wall.seconds * GuardedPostgres.seconds + wall.nanoseconds)
        let last = try node.query("SELECT (extract(epoch FROM max(at)) * 1000000)::bigint FROM writes")
        return Double(try #require(Int64(last)) * 1000 + offset)
    }

    private func report(_ what: String, _ nanoseconds: [Double]) {
        let sorted = nanoseconds.map { Int($0 / Self.microsecond) }.sorted()
        let last = sorted.count - 1
        let (median, p99) = (sorted[sorted.count / 2], sorted[min(last, sorted.count * 99 / 100)])
        print("\(what): p50 \(median) µs, p99 \(p99) µs, max \(sorted[last]) µs, n=\(sorted.count)")
    }
}
