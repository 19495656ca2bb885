import Platform
import Supervision
import Synchronization
import TestSupport
import Testing

@testable import Postgres

@Suite struct WriteProbeTests {
    @Test(.requiresPostgres) func aProbePassesFailsAndHangsAsClientsWritesDoAndNeverPilesUp() async {
        await #expect(processExitsWith: .success) {
            onRealPostgres {
                let a = try Instance("a")
                try a.found()
                let heard = Mutex<[Int64?]>([])
                let probe = try WriteProbe(site: a.site) { began in heard.withLock { $0.append(began) } }
                try probe.start()
                #expect(heard.withLock(\.count) == 0)
                let start = BootClock.now()
                probe.want(true)
                _ = try waitFor("two probes pass") { heard.withLock { $0.count } >= 2 ? true : nil }
                #expect(heard.withLock { $0.allSatisfy { $0 ?? 0 >= start } })

                // Replicas that do not acknowledge: the writes of clients hang, and so does the probe.
                _ = try a.sql("alter system set synchronous_standby_names = 'nobody'")
                _ = try a.sql("select pg_reload_conf()")
                let hanging = "select count(*) from pg_stat_activity where wait_event = 'SyncRep'"
                _ = try waitFor("the probe hangs") { try a.sql(hanging) == "1" ? true : nil }
                let passed = heard.withLock(\.count)
                let overdue = Deadline.after(.seconds(4))
                _ = try waitFor("its budget is over") { Deadline.isPast(overdue) ? true : nil }
                #expect(try a.sql(hanging) == "1")
                #expect(heard.withLock(\.count) == passed)
                _ = try a.sql("alter system reset synchronous_standby_names")
                _ = try a.sql("select pg_reload_conf()")
                _ = try waitFor("it ended, too late") {
                    heard.withLock { $0.dropFirst(passed).first.map { $0 == nil } } == true ? true : nil
                }
                _ = try waitFor("it passes again") { heard.withLock { $0.last ?? nil } }

                try a.kill()
                _ = try waitFor("it failed") { heard.withLock { $0.last == .some(nil) } ? true : nil }
                probe.want(false)
                probe.stop()
            }
        }
    }
}
