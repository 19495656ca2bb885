import FoundationEssentials
import Glibc
import Lab
import Platform
import TestSupport
import Testing

extension RealPostgres {
    @Suite("Planned hand-over", .serialized, .requiresRoot, .requiresPostgres, .requiresHerd)
    struct HandoverTests {
        @Test("By command under load: the named node takes over, the old one follows without a clone")
        func byCommand() throws {
            try Arena.trial { herd, trial in
                let old = try herd.primary()
                let target = herd.others(than: old)[1]
                let marked = try Marked(old)
                let outcome = try old.command("switchover", "--to", target.name)
                #expect(outcome.status == 0, "\(outcome.error)")
                #expect(outcome.output.hasSuffix("Failover complete\n"))
                try herd.until(.primary(is: target.name), within: Arena.patience)
                try trial.writesGoOn()
                try herd.until(.replica(old.name), within: Arena.patience)
                #expect(marked.isSameCopy)
                try trial.expectNothingLost()
            }
        }

        @Test("One standby is frozen and the archiver hangs: the other takes over all the same")
        func heldUp() throws {
            try Arena.trial { herd, trial in
                let old = try herd.primary()
                let (frozen, target) = (herd.others(than: old)[0], herd.others(than: old)[1])
                let session = try Session(old.database, within: .seconds(5))
                _ = try session.run("alter system set archive_mode = on")
                _ = try session.run("alter system set archive_command = 'exec sleep 1000'")
                #expect(try old.command("restart", old.name).status == 0)
                try trial.writesGoOn()
                let receiver = try frozen.walReceiver()
                #expect(kill(receiver, SIGSTOP) == 0)
                defer { kill(receiver, SIGCONT) }
                let fault = Moment.current
                let outcome = try old.command("switchover", "--to", target.name)
                #expect(outcome.status == 0, "\(outcome.error)")
                try herd.until(.primary(is: target.name), seenBy: [old, target], within: Arena.patience)
                try trial.writesGoOn()
                // 5 s for the stop, and room for a busy machine.
                #expect(trial.writer.longestGap(since: fault).length < .seconds(10))
                kill(receiver, SIGCONT)
                let mended = try Session(old.database, within: .seconds(30))
                _ = try mended.run("alter system reset all")
                try herd.until(herd.isWhole, within: Arena.patience)
                #expect(try old.command("restart", old.name).status == 0)
                try trial.expectNothingLost()
            }
        }

        @Test("A dry run changes nothing; an unknown node is refused")
        func refused() throws {
            try Arena.trial { herd, trial in
                let primary = try herd.primary()
                let before = try primary.view().term
                let dry = try primary.command("failover", "--dry-run")
                #expect(dry.status == 0, "\(dry.error)")
                let unknown = try primary.command("failover", "--to", "nobody")
                #expect(unknown.status == 1)
                #expect(unknown.error.contains("nobody"))
                #expect(try primary.view().term == before)
                #expect(try herd.primary().name == primary.name)
                try trial.expectNothingLost()
            }
        }

        @Test("By SIGUSR1 to the primary: it hands over")
        func bySignalAway() throws {
            try Arena.trial { herd, trial in
                let old = try herd.primary()
                try old.signalAgent(SIGUSR1)
                try herd.until(.primary(isNot: old.name), within: Arena.patience)
                try trial.writesGoOn()
                try herd.until(.replica(old.name), within: Arena.patience)
                try trial.expectNothingLost()
            }
        }

        @Test("By SIGUSR1 to a standby: it takes over")
        func bySignalHere() throws {
            try Arena.trial { herd, trial in
                let target = herd.others(than: try herd.primary())[0]
                try target.signalAgent(SIGUSR1)
                try herd.until(.primary(is: target.name), within: Arena.patience)
                try trial.writesGoOn()
                try trial.expectNothingLost()
            }
        }

        @Test("SIGTERM to the primary hands over, stops Postgres and ends with 0; it comes back as a replica")
        func byStop() throws {
            try Arena.trial { herd, trial in
                let old = try herd.primary()
                let others = herd.others(than: old)
                #expect(try old.stop() == .status(0))
                try herd.until(.primary(isNot: old.name), seenBy: others, within: Arena.patience)
                try trial.writesGoOn()
                try old.start()
                try herd.until(.replica(old.name), within: Arena.patience)
                try trial.expectNothingLost()
            }
        }

        @Test("The events tell a failover with the time of every phase")
        func eventsAreTold() throws {
            let herd = try Arena.wholeHerd()
            let told = try herd.nodes[0].command("events")
            #expect(told.status == 0, "\(told.error)")
            for word in ["detected", "elected", "frozen", "promoted", "open"] {
                #expect(told.output.contains(word), "no '\(word)' in:\n\(told.output)")
            }
        }
    }
}

/// A file in a data directory that a new copy from elsewhere would not have.
struct Marked {
    private let path: String

    init(_ node: HerdNode) throws {
        // A name of its own: a mark that an earlier test left on the primary would be copied along.
        path = node.dataDirectory + "/marked-by-a-test-\(UInt64.random(in: 0 ... .max))"
        try Data().write(to: URL(filePath: path))
    }

    var isSameCopy: Bool { FileManager.default.fileExists(atPath: path) }
}

extension HerdNode {
    fileprivate func walReceiver() throws -> Int32 {
        let found = processes.first { process in
            Processes.arguments(process.pid).joined(separator: " ").contains("walreceiver")
        }
        return try #require(found).pid
    }
}
