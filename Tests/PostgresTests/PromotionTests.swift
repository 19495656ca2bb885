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

    @Test(.requiresPostgres) func whoeverDiesRightAfterItsPromotionStartsFrozenOnItsOwnNewTimeline() async {
        await #expect(processExitsWith: .success) {
            onRealPostgres {
                let (a, b) = (try Instance("a"), try Instance("b"))
                try a.found()
                try b.join(a)
                try a.write(1)
                try b.catchUp(with: a)
                try a.kill()
                let end = try #require(try b.perform(.freeze).settled)
                try b.arm()
                let opened = try b.promote(PromotionPlan(timeline: 2, skip: []))
                try b.kill()
                // Its timeline is still reserved in the document, and the newest that it may follow.
                try b.perform(.startStandby(b.configuration(asPrimary: false, timeline: 2)))
                let settled = try b.awaitSettled()
                #expect(settled.timeline == 2)
                #expect(settled.lsn >= opened.switchLSN)
                #expect(opened.switchLSN == end.lsn)
                // And it goes on from there.
                try b.arm()
                let next = try b.promote(PromotionPlan(timeline: 3, skip: []))
                #expect(next.timeline == 3)
                #expect(next.switchLSN == settled.lsn)
            }
        }
    }

    @Test(.requiresPostgres) func aCrashInTheMiddleOfAPromotionLosesNothingOfTheOldTimeline() async {
        await #expect(processExitsWith: .success) {
            onRealPostgres {
                let (a, b) = (try Instance("a"), try Instance("b"))
                try a.found()
                try b.join(a)
                try a.write(1)
                try b.catchUp(with: a)
                try a.kill()
                let end = try #require(try b.perform(.freeze).settled)
                try b.arm()
                try b.sql("select pg_promote(false)")
                let wal = WALDirectory(b.site.dataDirectory)
                let deadline = Deadline.after(.seconds(20))
                while wal.history(2) == nil, !Deadline.isPast(deadline) { Deadline.pause(.microseconds(50)) }
                try b.kill()
                try b.perform(.startStandby(b.configuration(asPrimary: false, timeline: 2)))
                let settled = try b.awaitSettled()
                #expect(settled.lsn >= end.lsn)
                #expect(settled.timeline == 2 || settled == end)
            }
        }
    }

    @Test(.requiresPostgres) func aCrashWhileTheNewTimelineBeginsToComeInHidesNothingOfTheOld() async {
        await #expect(processExitsWith: .success) {
            onRealPostgres {
                let (a, b, c) = (try Instance("a"), try Instance("b"), try Instance("c"))
                try a.found()
                try b.join(a)
                try c.join(a)
                try a.sql("create table filler as select repeat('x', 100) from generate_series(1, 5000)")
                try a.sql("checkpoint")
                for standby in [b, c] { try standby.catchUp(with: a) }
                try a.kill()
                let end = try #require(try b.perform(.freeze).settled)
                #expect(try c.perform(.freeze).settled == end)
                try c.arm()
                #expect(try c.promote(PromotionPlan(timeline: 2, skip: [])).switchLSN == end.lsn)
                // What a walreceiver leaves that was cut before it had the first segment up to the branch.
                try b.kill()
                let name = WALNames.segment(end.lsn, timeline: 2, segmentBytes: 16 << 20)
                let begun = try Files.read("\(c.site.dataDirectory)/pg_wal/\(name)", at: 0, count: 65_536)
                let zeros = [UInt8](repeating: 0, count: (16 << 20) - begun.count)
                try Files.replaceDurably("\(b.site.dataDirectory)/pg_wal/\(name)", begun + zeros)
                let history = try Files.readText("\(c.site.dataDirectory)/pg_wal/00000002.history")
                try Files.replaceDurably(
                    "\(b.site.dataDirectory)/pg_wal/00000002.history", Array(history.utf8))
                try b.perform(.startStandby(b.configuration(asPrimary: false, timeline: 2)))
                #expect(try b.awaitSettled() == end)
                c.slots = [b.member.slotName]
                try c.perform(.configure(c.configuration(asPrimary: true)))
                try b.perform(.follow(b.upstream(c, timeline: 2)))
                try c.write(2)
                try b.catchUp(with: c)
                #expect(b.report.position?.timeline == 2)
            }
        }
    }

    @Test(.requiresPostgres) func aConflictingQueryDoesNotHoldUpAPromotionAndItsBacklogIsReplayed() async {
        await #expect(processExitsWith: .success) {
            onRealPostgres {
                let (a, b) = (try Instance("a"), try Instance("b"))
                try a.found()
                try b.join(a)
                try b.sql("alter system set max_standby_streaming_delay = -1")
                try b.sql("select pg_reload_conf()")
                try a.sql("create table t as select generate_series(1, 1000) i")
                try b.catchUp(with: a)
                let readers = try (0..<2).map { _ in
                    // Even one that calls itself what the agent's own sessions are called.
                    try b.openReader(as: PostgresSite.applicationName)
                }
                try a.sql("drop table t")
                let rows = "select repeat('x', 1000) from generate_series(1, 200000)"
                try a.sql("create table backlog as \(rows)")
                try b.catchUp(with: a)
                let end = try a.position
                try a.kill()
                let frozen = try b.perform(.freeze)
                #expect(frozen.settled?.lsn == end)
                #expect(try #require(frozen.replayed).behind(end) > 200_000_000)
                try b.arm()
                let promoted = try b.promote(PromotionPlan(timeline: 2, skip: []))
                #expect(promoted.switchLSN == end)
                #expect(try b.sql("select count(*) from backlog") == "200000")
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
