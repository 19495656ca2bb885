import Glibc
import Platform
import TestSupport
import Testing

@testable import Lab

extension RealPostgres {
    /// The laboratory's own parts, on Postgres without Matriarch: an unproven measuring tool proves nothing.
    @Suite("The laboratory", .serialized)
    struct LaboratoryTests {
        @Test(
            "A cut node is silent, and answers again when the cable is back", .requiresRoot, .requiresPostgres
        )
        func cutAndHealed() throws {
            let pair = try PlainPostgresPair(.strangers, placement: .namespaces)
            let session = try Session(pair.first.door, within: .seconds(5))
            #expect(try session.value("select 1") == "1")

            try pair.silence(pair.first)
            #expect(throws: SessionError.self) {
                try session.run("select 2", within: .milliseconds(500))
            }
            #expect(throws: SessionError.self) {
                _ = try Session(pair.first.door, within: .milliseconds(500))
            }
            _ = try Session(pair.second.door, within: .seconds(5))

            try pair.heal(pair.first)
            _ = try Session(pair.first.door, within: .seconds(10))
        }

        @Test("A writer measures how long writes were away and finds what was lost", .requiresPostgres)
        func writerMeasures() throws {
            let pair = try PlainPostgresPair(.replicated, placement: .loopback)
            let writer = Writer(through: [pair.first.door, pair.second.door])
            try writer.start()
            waitUntil("the writer writes") { writer.count > 50 }

            let killed = Moment.current
            try pair.losePower(pair.first)
            let away: Duration = .seconds(1)
            waitUntil("a second passes without writes") { Moment.current - killed > away }
            try pair.second.promote()
            let promoted = Moment.current
            let before = writer.count
            waitUntil("the writer writes again") { writer.count > before + 20 }
            writer.stop()

            let gap = writer.longestGap(since: killed)
            #expect(gap.length >= away)
            #expect(gap.length < promoted - killed + .seconds(2))
            let kept = try writer.lost(readingFrom: pair.second.door)
            #expect(kept.count < 20, "a streaming standby of an idle machine is at most some rows behind")

            try Session(pair.second.door, within: .seconds(5)).run(
                "delete from \(Writer.table)"
                    + " where id = (select max(id) from \(Writer.table) where door = 'plain2')"
            )
            #expect(try writer.lost(readingFrom: pair.second.door).count == kept.count + 1)
        }

        @Test("The watch catches two writers, and is content with one", .requiresPostgres)
        func watchCatchesTwo() throws {
            let pair = try PlainPostgresPair(.strangers, placement: .loopback)
            let one = SingleWriterWatch(at: [pair.first.door])
            let both = SingleWriterWatch(at: [pair.first.door, pair.second.door])
            try one.start()
            try both.start()
            waitUntil("both servers took some writes") {
                both.reigns.count == 2 && both.reigns.allSatisfy { $0.writes > 5 }
            }
            one.stop()
            both.stop()
            #expect(one.violations.isEmpty)
            #expect(!both.violations.isEmpty)
        }

        @Test("Reigns that follow each other are no violation, reigns that interleave are")
        func reignsAreJudged() {
            let start = Moment.current
            func at(_ seconds: Int) -> Moment { start + .seconds(seconds) }
            func reign(_ node: String, _ timeline: String, _ from: Int, _ to: Int) -> SingleWriterWatch.Reign
            {
                SingleWriterWatch.Reign(
                    node: node, timeline: timeline, writes: 2, firstSent: at(from),
                    firstAcknowledged: at(from) + .milliseconds(10), lastSent: at(to),
                    lastAcknowledged: at(to) + .milliseconds(10))
            }
            let violations = SingleWriterWatch.violations
            #expect(violations([reign("a", "1", 0, 5), reign("b", "2", 6, 9)]).isEmpty)
            #expect(
                violations([reign("b", "2", 6, 9), reign("a", "1", 0, 5), reign("a", "3", 10, 12)]).isEmpty)
            #expect(violations([reign("a", "1", 0, 7), reign("b", "2", 6, 9)]).count == 1)
            #expect(violations([reign("a", "1", 0, 12), reign("b", "2", 6, 6)]).count == 1)
            #expect(violations([reign("a", "1", 0, 5), reign("b", "1", 6, 9)]).count == 1)
        }

        @Test(
            "Killing a laboratory, even by SIGKILL, leaves nothing behind for long", .requiresPostgres,
            arguments: [SIGINT, SIGTERM, SIGKILL])
        func nothingIsLeft(_ signal: Int32) throws {
            let victim = try LaboratoryProcess.start()
            kill(victim.pid, signal)
            _ = try victim.waitForEnd()
            if signal == SIGKILL { Registry.sweep() }
            #expect(!victim.directoryExists)
            #expect(victim.processesLeft.isEmpty)
            #expect(victim.namespacesLeft.isEmpty)
            #expect(victim.sharedMemoryLeft.isEmpty)
        }

        @Test(
            "The demo, interrupted at any time or with nobody reading on, leaves nothing behind",
            .requiresPostgres, .requiresHerd,
            arguments: [("The herd is up", SIGPIPE), ("machine is lost", SIGINT), ("Cleaning up", SIGINT)])
        func interruptedDemo(_ words: String, _ signal: Int32) throws {
            let victim = try LaboratoryProcess.startDemo(until: words)
            if signal == SIGPIPE { victim.stopReading() } else { kill(victim.pid, signal) }
            #expect(try victim.waitForEnd() == .status(128 + signal))
            #expect(!victim.directoryExists)
            #expect(victim.processesLeft.isEmpty)
            #expect(victim.sharedMemoryLeft.isEmpty)
        }
    }
}
