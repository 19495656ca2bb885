import Consensus
import Glibc
import Platform
import Supervision
import Synchronization
import TestSupport
import Testing

@testable import Postgres

/// Stopping Postgres although somebody does not want to, and foreign hands, on real Postgres.
@Suite(.serialized) struct StopTests {
    @Test(.requiresPostgres) func aHungArchiverAndAFrozenStandbyHoldUpNoStopAndNothingIsLost() async {
        await #expect(processExitsWith: .success) {
            onRealPostgres {
                let (a, b, c) = (try Instance("a"), try Instance("b"), try Instance("c"))
                try a.found()
                for setting in ["archive_mode = on", "archive_command = 'exec sleep 1000'"] {
                    try a.sql("alter system set \(setting)")
                }
                try a.perform(.stop(bound: .seconds(30)))
                try a.perform(.startPrimary(a.configuration(asPrimary: true)))
                try b.join(a)
                try c.join(a)
                try a.write(1)
                let command = try waitFor("the archive command hangs") { try a.archiveCommand() }
                let receiver = try #require(try Postmaster.find(c.site)?.walReceivers().first)
                try ProcessHandle(receiver)?.signal(SIGSTOP)
                defer { try? ProcessHandle(receiver)?.signal(SIGCONT) }
                try a.sql("insert into mark values (2)")

                let told = Mutex<[OrderWord]>([])
                let begun = BootClock.now()
                let run = a.run(Cancellation()) { word in told.withLock { $0.append(word) } }
                let outcome = run.outcome(of: .stop(bound: .seconds(30)))
                #expect(outcome.result == .done)
                #expect(BootClock.now() - begun < 10_000_000_000)
                #expect(ProcessTable.entry(command.pid)?.startTime != command.startTime)
                let words = told.withLock { "\($0)" }
                for told in ["archive_command hangs", "confirms nothing"] {
                    #expect(words.contains(told), "\(words)")
                }
                // A clean stop: the guard is still armed, and the standby that works has the very end.
                let settled = try #require(outcome.report.settled)
                #expect(try a.door.state().epoch != nil)
                #expect(try b.perform(.freeze).settled == settled)
            }
        }
    }

    @Test(.requiresPostgres) func whoDoesNotStopIsEndedAtTheBoundAndNamed() async {
        await #expect(processExitsWith: .success) {
            onRealPostgres {
                let a = try Instance("a")
                try a.found()
                let client = try a.open(["application_name": "stuck"])
                let pid = try #require(
                    try client.query("select pg_backend_pid()", until: Deadline.after(.seconds(5))).value
                        .flatMap { Int32($0) })
                let backend = try #require(ProcessTable.entry(pid))
                try ProcessHandle(backend)?.signal(SIGSTOP)
                let told = Mutex<[OrderWord]>([])
                let run = a.run(Cancellation()) { word in told.withLock { $0.append(word) } }
                let begun = BootClock.now()
                #expect(run.outcome(of: .stop(bound: .seconds(2))).result == .done)
                #expect(BootClock.now() - begun < 7_000_000_000)
                let words = told.withLock { "\($0)" }
                #expect(words.contains("did not stop within 2000 ms"), "\(words)")
                #expect(words.contains("matriarch_admin"), "the backend is not named: \(words)")
            }
        }
    }

    @Test(.requiresPostgres) func underAPostgresOfSomebodyElseNothingIsChanged() async {
        await #expect(processExitsWith: .success) {
            onRealPostgres {
                let (a, b) = (try Instance("a"), try Instance("b"))
                try a.found()
                try b.join(a)
                let system = try #require(a.report.systemIdentifier)
                try b.perform(.stop(bound: .seconds(30)))
                try Files.removeDurably(b.site.standbySignal)
                let options = "-p \(b.site.port) -k \(b.site.socketDirectory) -c listen_addresses="
                _ = try b.site.run(
                    "pg_ctl",
                    ["start", "-w", "-D", b.site.dataDirectory, "-l", "/dev/null", "-o", options], limit: 60)
                let pid = try #require(Postmaster.find(b.site)?.entry.pid)
                let plan = ClonePlan(
                    member: b.member.id, source: b.upstream(a, timeline: 1, valid: false),
                    systemIdentifier: system, configuration: b.configuration(asPrimary: false, timeline: 1))
                for order in [PostgresOrder.startStandby(plan.configuration), .clone(plan)] {
                    let refused = b.attempt(order)
                    #expect(refused.reason?.contains("process \(pid), which the guard did not") == true)
                }
                #expect(!Files.exists(b.site.standbySignal))
                #expect(Postmaster.find(b.site)?.entry.pid == pid, "it was ended")
                _ = try b.site.run("pg_ctl", ["stop", "-w", "-D", b.site.dataDirectory], limit: 60)

                // It wrote as a primary meanwhile, which its timeline does not tell.
                var known = plan.configuration
                known.isKnownStandby = true
                guard case .impossible(let reason) = b.attempt(.startStandby(known)).result else {
                    Issue.record("a log that was written by hand was taken for a standby's")
                    return
                }
                #expect(reason.contains("started, by hand"))
                try b.perform(.clone(plan))
                try b.perform(.startStandby(known))
                try b.perform(.follow(b.upstream(a, timeline: 1)))
                try b.awaitStreaming()
            }
        }
    }

    @Test(.requiresPostgres) func aPortThatSomebodyElseHasIsNamed() async {
        await #expect(processExitsWith: .success) {
            onRealPostgres {
                let a = try Instance("a")
                try a.found()
                try a.perform(.stop(bound: .seconds(30)))
                let address = try #require(SocketAddress(host: "127.0.0.1", port: UInt16(a.site.port)))
                let taken = try Sockets.listen(on: address)
                let refused = a.attempt(.startPrimary(a.configuration(asPrimary: true)))
                #expect(refused.reason?.contains("listens on 127.0.0.1:\(a.site.port)") == true)
                close(taken)
                try a.perform(.startPrimary(a.configuration(asPrimary: true)))
            }
        }
    }
}

extension Instance {
    /// What the archiver is running now.
    fileprivate func archiveCommand() throws -> ProcessTable.Entry? {
        guard let postmaster = try door.state().postmaster else { return nil }
        let archiver = try ProcessTable.children(of: postmaster).first {
            ProcessTable.title(of: $0.pid).contains("archiver")
        }
        return try archiver.flatMap { try ProcessTable.children(of: $0.pid).first }
    }
}
