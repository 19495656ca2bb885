import Consensus
import Glibc
import Platform
import Supervision
import TestSupport
import Testing

@testable import Postgres

/// Holding still, on real Postgres (protocol: Freeze).
@Suite(.serialized) struct FreezeTests {
    @Test(.requiresPostgres) func afterAFreezeNothingIsReceivedAndTheFollowGoesOnWithoutARestart() async {
        await #expect(processExitsWith: .success) {
            onRealPostgres {
                let (a, b) = (try Instance("a"), try Instance("b"))
                try a.found()
                try b.join(a)
                try a.write(1)
                try b.catchUp(with: a)
                let frozen = try b.perform(.freeze)
                #expect(frozen.gate == .closed)
                let settled = try #require(frozen.settled)
                #expect(settled == Position(timeline: 1, lsn: try a.position))
                try a.write(2)
                #expect(b.report.settled == settled)
                #expect(a.report.standbys.isEmpty)
                let postmaster = try b.door.state().postmaster
                try b.perform(.follow(b.upstream(a, timeline: 1)))
                try b.catchUp(with: a)
                #expect(try b.door.state().postmaster == postmaster)
                #expect(b.report.streamingName == b.member.synchronousName)
                #expect(b.report.streamingFrom == "127.0.0.1:\(a.site.port)")
                #expect(b.report.settled == nil)
            }
        }
    }

    @Test(.requiresPostgres) func aPausedReplayDoesNotKeepTheReceiverAlive() async {
        await #expect(processExitsWith: .success) {
            onRealPostgres {
                let (a, b) = (try Instance("a"), try Instance("b"))
                try a.found()
                try b.join(a)
                try b.sql("select pg_wal_replay_pause()")
                try a.write(1)
                try b.catchUp(with: a)
                let frozen = try b.perform(.freeze)
                #expect(frozen.gate == .closed)
                // What was received but not replayed counts: it may have been acknowledged.
                #expect(frozen.settled == Position(timeline: 1, lsn: try a.position))
                #expect(frozen.replayed ?? .zero < (try a.position))
                let acknowledged = try a.position
                try a.write(2)
                #expect(a.report.standbys.isEmpty)
                #expect(b.report.settled?.lsn == acknowledged)
            }
        }
    }

    @Test(.requiresPostgres) func aConflictingQueryDoesNotKeepTheReceiverAlive() async {
        await #expect(processExitsWith: .success) {
            onRealPostgres {
                let (a, b) = (try Instance("a"), try Instance("b"))
                try a.found()
                try b.join(a)
                try a.sql("create table t as select generate_series(1, 1000) i")
                try b.catchUp(with: a)
                let reader = try b.openReader()
                try a.sql("drop table t")
                try b.catchUp(with: a)
                let started = BootClock.now()
                let frozen = try b.perform(.freeze)
                #expect(BootClock.now() - started < 3_000_000_000)
                #expect(frozen.gate == .closed)
                #expect(frozen.settled?.lsn == (try a.position))
                withExtendedLifetime(reader) {}
            }
        }
    }

    @Test(.requiresPostgres) func whoHoldsUpTheReplayOfARestartedStandbyIsEndedByAFreeze() async {
        await #expect(processExitsWith: .success) {
            onRealPostgres {
                let (a, b) = (try Instance("a"), try Instance("b"))
                try a.found()
                try b.join(a)
                try a.sql("create table t as select generate_series(1, 1000) i")
                _ = try waitFor("the table is there") { try? b.sql("select count(*) from t") }
                // A start from here finds the table; the end of its rows waits until a reader has come in.
                try a.sql("checkpoint")
                let begin = try a.position
                _ = try waitFor("it is replayed") { b.report.replayed ?? .zero >= begin ? true : nil }
                try b.sql("checkpoint")
                for setting in ["max_standby_archive_delay = -1", "recovery_min_apply_delay = '1h'"] {
                    try b.sql("alter system set \(setting)")
                }
                try b.sql("select pg_reload_conf()")
                try a.sql("delete from t")
                try a.sql("vacuum t")
                try b.catchUp(with: a)
                let end = try a.position
                try b.kill()
                try b.perform(.startStandby(b.configuration(asPrimary: false, timeline: 1)))
                let reader = try b.openReader()
                try b.sql("alter system reset recovery_min_apply_delay")
                try b.sql("select pg_reload_conf()")
                _ = try waitFor("the reader is in the way") { b.report.isReplayHeldUp ? true : nil }
                #expect(b.report.settled == nil)
                #expect(try b.perform(.freeze).settled == Position(timeline: 1, lsn: end))
                withExtendedLifetime(reader) {}
            }
        }
    }

    @Test(.requiresPostgres) func aRestartedStandbySettlesWhereItsLocalLogEnds() async {
        await #expect(processExitsWith: .success) {
            onRealPostgres {
                let (a, b) = (try Instance("a"), try Instance("b"))
                try a.found()
                try b.join(a)
                try a.write(1)
                try b.catchUp(with: a)
                let before = try a.position
                try b.kill()
                #expect(b.report.state == .stopped)
                #expect(b.report.settled == nil)
                try b.perform(.startStandby(b.configuration(asPrimary: false, timeline: 1)))
                #expect(try b.awaitSettled() == Position(timeline: 1, lsn: before))
                // Nothing has come in since the start, so Postgres itself does not know this position.
                #expect(try b.sql("select pg_last_wal_receive_lsn()") == nil)
            }
        }
    }

    @Test(.requiresPostgres) func aRestartedStandbyTellsNoEndBeforeItsWholeBacklogIsReplayed() async {
        await #expect(processExitsWith: .success) {
            onRealPostgres {
                let (a, b) = (try Instance("a"), try Instance("b"))
                try a.found()
                try b.join(a)
                try b.sql("select pg_wal_replay_pause()")
                let rows = "select repeat('x', 200) from generate_series(1, 300000)"
                try a.sql("create table backlog as \(rows)")
                try a.write(1)
                try b.catchUp(with: a)
                let end = try a.position
                try b.kill()
                try b.perform(.startStandby(b.configuration(asPrimary: false, timeline: 1)))
                // The first answer is the true one: what was replayed so far is not where the log ends.
                let survey = Survey(b.site)
                var pendingAnswers = 0
                let settled = try waitFor("the backlog is replayed") { () -> Position? in
                    guard let report = survey.look() else { return nil }
                    if report.settled == nil, report.replayed != nil { pendingAnswers += 1 }
                    return report.settled
                }
                #expect(settled == Position(timeline: 1, lsn: end))
                #expect(pendingAnswers > 0, "the backlog was replayed before anybody could ask")
            }
        }
    }

    @Test(.requiresPostgres) func aCleanStopSettlesWhereTheStandbysDo() async {
        await #expect(processExitsWith: .success) {
            onRealPostgres {
                let (a, b) = (try Instance("a"), try Instance("b"))
                try a.found()
                try b.join(a)
                try a.write(1)
                let stopped = try a.perform(.stop(bound: .seconds(30)))
                #expect(stopped.state == .stopped)
                let settled = try #require(stopped.settled)
                let frozen = try b.perform(.freeze)
                #expect(frozen.settled == settled)
                // And where the stopped one itself comes to, as a standby.
                try a.perform(.startStandby(a.configuration(asPrimary: false, timeline: 1)))
                #expect(try a.awaitSettled() == settled)
            }
        }
    }

    @Test(.requiresPostgres) func aReceiverThatIsStoppedHardIsKilled() async {
        await #expect(processExitsWith: .success) {
            onRealPostgres {
                let (a, b) = (try Instance("a"), try Instance("b"))
                try a.found()
                try b.join(a)
                let receiver = try #require(try Postmaster.find(b.site)?.walReceivers().first)
                try ProcessHandle(receiver)?.signal(SIGSTOP)
                _ = b.attempt(.freeze)
                #expect(ProcessTable.entry(receiver.pid)?.startTime != receiver.startTime)
                // Postgres ends with it (restart_after_crash = off); started again it settles.
                _ = try waitFor("Postgres has ended") { try b.door.state().postmaster == nil ? true : nil }
                try b.perform(.startStandby(b.configuration(asPrimary: false, timeline: 1)))
                _ = try b.awaitSettled()
            }
        }
    }
}
