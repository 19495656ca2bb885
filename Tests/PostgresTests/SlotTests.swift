import Platform
import Supervision
import TestSupport
import Testing

@testable import Postgres

@Suite struct SlotTests {
    @Test(.requiresPostgres) func aStandbyKeepsSlotsMovesThemAndMakesALostOneAgain() async {
        await #expect(processExitsWith: .success) {
            onRealPostgres {
                let a = try Instance("a")
                try a.found()
                let b = try Instance("b")
                try b.join(a)
                b.slots = ["matriarch_a", "matriarch_c"]
                try b.perform(.configure(b.configuration(asPrimary: false)))
                func place(_ slot: String) throws -> LSN {
                    let row = "select restart_lsn from pg_replication_slots where slot_name = '\(slot)'"
                    return try #require(try b.sql(row).flatMap { LSN($0) })
                }
                let before = try place("matriarch_a")
                #expect(try place("matriarch_c") == before)

                _ = try a.sql("create table filler as select generate_series(1, 20000) n")
                try b.catchUp(with: a)
                let replayed = try waitFor("it is replayed") {
                    b.report.replayed.flatMap { $0 > before ? $0 : nil }
                }
                let goals = [
                    SlotGoal(slot: "matriarch_a", reached: replayed),
                    SlotGoal(slot: "matriarch_c", reached: nil),
                    SlotGoal(slot: "matriarch_gone", reached: replayed),
                ]
                try b.perform(.tendSlots(goals))
                #expect(try place("matriarch_a") == replayed)
                #expect(try place("matriarch_c") == before, "an unknown position moves nothing")
                // Backwards is no error: the owner was cloned anew, perhaps.
                try b.perform(.tendSlots([SlotGoal(slot: "matriarch_a", reached: before)]))
                #expect(try place("matriarch_a") == replayed)

                // The slot of an owner that stays away loses its WAL at the limit, and does not stay lost.
                _ = try b.sql("alter system set max_slot_wal_keep_size = '1MB'")
                _ = try b.sql("alter system set wal_keep_size = 0")
                _ = try b.sql("select pg_reload_conf()")
                let status = "select wal_status from pg_replication_slots where slot_name = 'matriarch_c'"
                _ = try waitFor("it is lost", within: .seconds(60)) {
                    _ = try a.sql("select pg_switch_wal()")
                    _ = try a.sql("insert into filler select generate_series(1, 20000)")
                    _ = try a.sql("checkpoint")
                    try b.catchUp(with: a)
                    _ = try b.sql("checkpoint")
                    return try b.sql(status) == "lost" ? true : nil
                }
                try b.perform(.tendSlots(goals))
                #expect(try ["reserved", "extended"].contains(b.sql(status)))
            }
        }
    }
}
