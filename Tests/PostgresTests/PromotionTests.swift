import Consensus
import Glibc
import Platform
import Supervision
import TestSupport
import Testing

@testable import Postgres

/// Becoming primary and following one, on real Postgres (protocol: Promotion, Positions).
@Suite(.serialized) struct PromotionTests {
    @Test(.requiresPostgres) func twoPromotionsNeverShareATimelineAndSiblingsFollowWithoutARestart() async {
        await #expect(processExitsWith: .success) {
            onRealPostgres {
                let (a, b, c) = (try Instance("a"), try Instance("b"), try Instance("c"))
                try a.found()
                try b.join(a)
                try c.join(a)
                try a.write(1)
                try b.catchUp(with: a)
                try c.catchUp(with: a)
                try a.kill()
                try b.perform(.freeze)
                try c.perform(.freeze)
                let postmaster = try c.door.state().postmaster
                // Number 2 was reserved for b, whose leader was then overtaken: c's promotion must not reuse
                // it.
                try b.arm()
                let burnt = try b.promote(PromotionPlan(timeline: 2, skip: []))
                #expect(burnt.timeline == 2)
                try b.kill()
                try c.arm()
                let settled = try c.awaitSettled()
                let opened = try c.promote(PromotionPlan(timeline: 3, skip: [2]))
                #expect(opened.timeline == 3)
                #expect(opened.switchLSN == settled.lsn)
                #expect(try c.door.state().postmaster == postmaster)
                c.slots = [b.member.slotName, a.member.slotName]
                try c.perform(.configure(c.configuration(asPrimary: true)))
                #expect(c.report.position?.timeline == 3)
                // The burnt one can't come back by following: its log is on a branch of its own.
                try b.perform(.startStandby(b.configuration(asPrimary: false, timeline: 3)))
                #expect(try b.awaitSettled().timeline == 2)
                // A member that was no part of either follows.
                try a.perform(.startStandby(a.configuration(asPrimary: false, timeline: 3)))
                let old = try a.awaitSettled()
                #expect(old.timeline == 1)
                #expect(old.lsn <= settled.lsn)
                try a.perform(.follow(a.upstream(c, timeline: 3)))
                try a.awaitStreaming()
                try c.write(2)
                try a.catchUp(with: c)
                #expect(a.report.position?.timeline == 3)
            }
        }
    }

    @Test(.requiresPostgres) func aSiblingFollowsTheNewPrimaryOverSkippedNumbersAndSoDoesTheStoppedOldOne()
        async
    {
        await #expect(processExitsWith: .success) {
            onRealPostgres {
                let (a, b, c) = (try Instance("a"), try Instance("b"), try Instance("c"))
                try a.found()
                try b.join(a)
                try c.join(a)
                try a.write(1)
                let end = try #require(try a.perform(.stop(bound: .seconds(30))).settled)
                try b.perform(.freeze)
                try c.perform(.freeze)
                #expect(b.report.settled == end)
                try b.arm()
                let opened = try b.promote(PromotionPlan(timeline: 5, skip: [2, 3, 4]))
                #expect(opened.timeline == 5)
                #expect(opened.switchLSN == end.lsn)
                b.slots = [a.member.slotName, c.member.slotName]
                try b.perform(.configure(b.configuration(asPrimary: true)))
                let postmaster = try c.door.state().postmaster
                try c.perform(.follow(c.upstream(b, timeline: 5)))
                try c.awaitStreaming()
                #expect(try c.door.state().postmaster == postmaster)
                try a.perform(.startStandby(a.configuration(asPrimary: false, timeline: 5)))
                try a.perform(.follow(a.upstream(b, timeline: 5)))
                try b.write(2)
                for standby in [a, c] {
                    try standby.catchUp(with: b)
                    #expect(standby.report.position?.timeline == 5)
                }
                // What is frozen now is known to be on the new timeline, and a restart knows it too.
                let frozen = try #require(try c.perform(.freeze).settled)
                #expect(frozen == Position(timeline: 5, lsn: try b.position))
                try c.kill()
                try c.perform(.startStandby(c.configuration(asPrimary: false, timeline: 5)))
                #expect(try c.awaitSettled() == frozen)
            }
        }
    }

    @Test(.requiresPostgres) func aConflictingQueryDoesNotHoldUpAPromotion() async {
        await #expect(processExitsWith: .success) {
            onRealPostgres {
                let (a, b) = (try Instance("a"), try Instance("b"))
                try a.found()
                try b.join(a)
                try a.sql("create table t as select generate_series(1, 1000) i")
                try b.catchUp(with: a)
                let readers = try (0..<2).map { _ in try b.openReader() }
                try a.sql("drop table t")
                try b.catchUp(with: a)
                try a.kill()
                try b.perform(.freeze)
                try b.arm()
                let started = BootClock.now()
                _ = try b.promote(PromotionPlan(timeline: 2, skip: []))
                // Left alone the conflict holds it up for max_standby_streaming_delay, half a minute.
                #expect(BootClock.now() - started < 10_000_000_000)
                for reader in readers {
                    #expect(throws: PostgresError.self) {
                        try reader.query("select 1", until: Deadline.after(.seconds(5)))
                    }
                }
            }
        }
    }

    @Test(.requiresPostgres) func aPromotionByHandAcknowledgesNothingAndIsEndedByTheGuard() async {
        await #expect(processExitsWith: .success) {
            onRealPostgres {
                let (a, b) = (try Instance("a"), try Instance("b"))
                try a.found()
                try b.join(a)
                try b.catchUp(with: a)
                try a.kill()
                let client = try b.openRemote("postgres", Instance.credentials.operatorPassword)
                _ = try client.query("select pg_promote(false)", until: Deadline.after(.seconds(5)))
                var acknowledged = false
                for number in 0..<200 where !acknowledged {
                    do {
                        let statement = "create table rogue\(number) (i int)"
                        _ = try client.query(statement, until: Deadline.after(.seconds(20)))
                        acknowledged = true
                    } catch {
                        // Still in recovery (25006) is asked again; the loss of the session is what must
                        // come.
                        if (error as? PostgresError)?.state != SQLState("25006") { break }
                    }
                }
                #expect(!acknowledged)
                _ = try waitFor("the guard has ended it") {
                    try b.door.state().postmaster == nil ? true : nil
                }
            }
        }
    }

    @Test(.requiresPostgres) func aPromotionNeedsAnArmedGuardAFrozenStandbyAndThePlaceholder() async {
        await #expect(processExitsWith: .success) {
            onRealPostgres {
                let (a, b) = (try Instance("a"), try Instance("b"))
                try a.found()
                try b.join(a)
                let plan = PostgresOrder.promote(PromotionPlan(timeline: 2, skip: []))
                #expect(b.attempt(plan).reason?.contains("not armed") == true)
                try b.arm()
                #expect(b.attempt(plan).reason?.contains("no frozen standby") == true)
                try b.perform(.freeze)
                try b.sql("alter system set synchronous_standby_names = ''")
                try b.sql("select pg_reload_conf()")
                _ = try waitFor("the placeholder is gone") {
                    try b.sql("show synchronous_standby_names") == "" ? true : nil
                }
                #expect(b.attempt(plan).reason?.contains("placeholder") == true)
                #expect(b.report.state == .standby)
                // Configuring takes the setting back, and says so.
                try b.perform(.configure(b.configuration(asPrimary: false)))
                #expect(try b.promote(PromotionPlan(timeline: 2, skip: [])).timeline == 2)
            }
        }
    }
}
