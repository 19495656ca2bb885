import Consensus
import Glibc
import Platform
import Supervision
import Synchronization
import TestSupport
import Testing

@testable import Postgres

/// Taking a diverged directory back (protocol: Rejoining), on real Postgres.
@Suite(.serialized) struct RewindTests {
    @Test(.requiresPostgres) func aFormerPrimaryIsRewoundAndWhatItGaveUpIsKept() async {
        await #expect(processExitsWith: .success) {
            onRealPostgres {
                let split = try Split()
                let (a, b) = (split.a, split.b)
                let conf = try Files.readText(a.site.data("postgresql.conf")) + "work_mem = '7MB'\n"
                try Files.replaceDurably(a.site.data("postgresql.conf"), Array(conf.utf8))
                // Written to meanwhile: what is copied is of different moments.
                for value in 2...6 { try b.write(value) }
                try a.perform(.rewind(split.plan))
                #expect(Files.exists(a.site.standbySignal))
                #expect(!Files.exists(a.site.keptWALDirectory))

                try a.perform(.startStandby(a.configuration(asPrimary: false, timeline: 3)))
                let settled = try a.awaitSettled()
                #expect(settled.timeline == 3)
                #expect(settled.lsn <= (try b.position))
                #expect(try a.sql("show work_mem") == "7MB")
                #expect(try a.sql("show port") == String(a.site.port))
                try a.perform(.follow(a.upstream(b, timeline: 3)))
                try a.awaitStreaming()
                try b.write(7)
                try a.catchUp(with: b)
                let sum = "select count(*) || ' ' || sum(n) from t"
                #expect(try waitFor("it replays") { try a.sql(sum) == b.sql(sum) ? true : nil })
                #expect(try a.sql("select count(*) from mark where value = 1") == "0")
                try split.expectKeptWAL()
            }
        }
    }

    @Test(.requiresPostgres) func missingWALFromBeforeTheForkComesFromAnotherMember() async {
        await #expect(processExitsWith: .success) {
            onRealPostgres {
                let split = try Split(segmentsBefore: 3)
                let (a, b) = (split.a, split.b)
                let fork = split.divergence.fork.lsn
                let gone = WALNames.segment(
                    LSN(fork.bytes - (16 << 20)), timeline: 1, segmentBytes: 16 << 20)
                try Files.removeDurably(a.site.data("pg_wal/" + gone))
                let told = Mutex<[OrderWord]>([])
                let run = a.run(Cancellation()) { word in told.withLock { $0.append(word) } }
                #expect(run.outcome(of: .rewind(split.plan)).result == .done)
                let fetched = OrderWord.note("\(gone) is fetched from another member to rewind")
                #expect(told.withLock { $0.contains(fetched) })
                try a.perform(.startStandby(a.configuration(asPrimary: false, timeline: 3)))
                #expect(try a.awaitSettled().timeline == 3)
                try a.perform(.follow(a.upstream(b, timeline: 3)))
                try a.awaitStreaming()
            }
        }
    }

    @Test(.requiresPostgres) func aRewindThatLacksItsOwnWALIsImpossibleAndChangesNothing() async {
        await #expect(processExitsWith: .success) {
            onRealPostgres {
                let split = try Split()
                let a = split.a
                let before = try ControlData.read(a.site)
                let last = WALNames.segment(
                    split.divergence.fork.lsn, timeline: 1, segmentBytes: before.segmentBytes)
                try Files.removeDurably(a.site.data("pg_wal/" + last))
                guard case .impossible(let reason) = a.attempt(.rewind(split.plan)).result else {
                    Issue.record("it was not impossible")
                    return
                }
                #expect(reason.contains("\(last) is gone"), "\(reason)")
                #expect(try ControlData.read(a.site) == before)
            }
        }
    }

    @Test(.requiresPostgres) func nothingIsRewoundToAPrimaryWithoutACheckpointOnItsTimeline() async {
        await #expect(processExitsWith: .success) {
            onRealPostgres {
                // A source whose last checkpoint is said to be on another timeline than the document's.
                let split = try Split()
                var plan = split.plan
                plan.source.timeline = 4
                let outcome = split.a.attempt(.rewind(plan))
                #expect(outcome.result == .failed(outcome.result.trouble ?? ""))
                #expect(outcome.result.trouble?.contains("not 4 yet") == true)
                // And what pg_rewind thinks of it must be what the document says.
                plan = split.plan
                plan.divergence.fork.lsn = LSN(split.divergence.fork.lsn.bytes - 8)
                guard case .impossible(let reason) = split.a.attempt(.rewind(plan)).result else {
                    Issue.record("it was not impossible")
                    return
                }
                #expect(reason.contains("pg_rewind says"), "\(reason)")
            }
        }
    }
}

/// Two members: `b` was promoted to timeline 3 while `a`, the former primary, wrote on and then died; `a` is
/// stopped cleanly.
private struct Split {
    let a: Instance
    let b: Instance
    let divergence: Divergence

    /// - Parameter segmentsBefore: how much WAL lies between the last common checkpoint and the fork.
    init(segmentsBefore: Int = 0) throws {
        (a, b) = (try Instance("a"), try Instance("b"))
        try a.found()
        try a.sql(
            "create table t as select g as n, repeat('x', 200) as filler from generate_series(1, 5000) g")
        try b.join(a)
        for value in 0..<segmentsBefore { try a.write(-value) }
        try b.catchUp(with: a)
        try b.perform(.freeze)
        // Lost later: pages of the table are changed on a alone.
        try a.sql("update t set n = -n where n % 3 = 0")
        try a.write(1)
        try b.arm()
        let opened = try b.promote(PromotionPlan(timeline: 3, skip: [2]))
        b.slots = [a.member.slotName]
        try b.perform(.configure(b.configuration(asPrimary: true)))
        try b.perform(.checkpoint)
        try b.sql("insert into t select g, 'new' from generate_series(5001, 6000) g")
        try a.kill()
        try a.perform(.startStandby(a.configuration(asPrimary: false, timeline: 3)))
        let end = try a.awaitSettled()
        divergence = Divergence(fork: Position(timeline: 1, lsn: opened.switchLSN), end: end)
        try a.perform(.stop(bound: .seconds(30)))
    }

    var plan: RewindPlan {
        RewindPlan(
            member: a.member.id, source: a.upstream(b, timeline: 3, valid: false), siblings: [],
            systemIdentifier: b.report.systemIdentifier ?? 0, divergence: divergence)
    }

    /// The directory beside the data holds what a wrote alone, readable by pg_waldump, and says what it is.
    func expectKeptWAL() throws {
        let names = try Files.list(a.site.divergedDirectory)
        let kept = a.site.divergedDirectory + "/" + (try #require(names.first))
        #expect(names.count == 1)
        let note = try Files.readText(kept + "/NOTE")
        for word in ["member    a", "from      \(divergence.fork)", "to        \(divergence.end)"] {
            #expect(note.contains(word), "\(note)")
        }
        let dump = try a.site.run(
            "pg_waldump",
            [
                "--path", kept, "--timeline", "1", "--start", "\(divergence.fork.lsn)", "--end",
                "\(divergence.end.lsn)",
            ],
            limit: 30)
        #expect(dump.contains("COMMIT"))
    }
}
