import FoundationEssentials
import Glibc
import Lab
import Platform
import TestSupport
import Testing

extension RealPostgres {
    @Suite("Who comes back puts itself right", .serialized, .requiresRoot, .requiresPostgres, .requiresHerd)
    struct RejoinTests {
        @Test("A former primary that wrote alone is rewound, and what it gave up is kept and told")
        func rewound() throws {
            try Arena.trial { herd, trial in
                let lonely = try herd.primary()
                let told = Story(lonely)
                try makeTablespace(herd)
                let fault = Moment.current
                try leaveAlone(lonely, herd)
                try trial.writesGoOn()
                try lonely.heal()
                try herd.until(.replica(lonely.name), within: Arena.patience)
                #expect(told.since.contains("is rewound to"), "\(told.since)")
                #expect(!told.since.contains(" copies "), "\(told.since)")
                let kept = try #require(try bundles(of: lonely).last)
                let note = try Files.readText(kept + "/NOTE")
                #expect(note.contains("member    \(lonely.name)\n"))
                #expect(try Files.list(kept).contains { $0.utf8.count == 24 })
                #expect(try spaced(on: lonely) == "1000", "what it wrote alone into the tablespace is gone")
                try dropTablespace(herd)
                try trial.expectLossOnlyAround(fault)
            }
        }

        @Test("Its own WAL is gone: it is copied; the old directory is kept until the copy is valid")
        func copied() throws {
            try Arena.trial { herd, trial in
                try makeTablespace(herd)
                let lonely = try herd.primary()
                let told = Story(lonely)
                try leaveAlone(lonely, herd)
                try trial.writesGoOn()
                try herd.until("it has stopped writing") { !trial.watch.writable().contains(lonely.name) }
                try lonely.stop()
                try forgetWAL(of: lonely)
                try lonely.heal()
                try lonely.start()
                let previous = lonely.dataDirectory + ".previous"
                try herd.until("the old directory is kept", within: Arena.patience) { Files.exists(previous) }
                try herd.until(.replica(lonely.name), within: Arena.patience)
                try herd.until("the old directory is removed") { !Files.exists(previous) }
                #expect(try Files.list(lonely.ownVolume + "/fast").filter { !$0.hasPrefix("PG_") } == [])
                #expect(try spaced(on: lonely) == "1000")
                try dropTablespace(herd)
                #expect(told.since.contains("can't be rewound"), "\(told.since)")
                #expect(told.since.contains(" copies "), "\(told.since)")
            }
        }

        @Test("The machine dies in the middle of a rewind: what is torn is never started, but copied anew")
        func tornRewind() throws {
            try Arena.trial { herd, trial in
                let lonely = try herd.primary()
                let told = Story(lonely)
                try leaveAlone(lonely, herd)
                try trial.writesGoOn()
                try lonely.heal()
                let marker = lonely.dataDirectory + ".rewinding"
                try #require(
                    waitUntil("a rewind changes data", every: .milliseconds(1)) { Files.exists(marker) })
                try lonely.losePower()
                #expect(Files.exists(marker), "it came too late: nothing is torn")
                try lonely.returnPower()
                try herd.until(.replica(lonely.name), within: Arena.patience)
                #expect(told.since.contains("a rewind was interrupted"), "\(told.since)")
                #expect(told.since.contains(" copies "), "\(told.since)")
                #expect(!Files.exists(marker))
            }
        }

        @Test("The machine dies in the middle of a copy: it is made once more")
        func tornCopy() throws {
            try Arena.trial { herd, trial in
                let node = herd.others(than: try herd.primary())[0]
                let told = Story(node)
                try node.stop()
                try FileManager.default.removeItem(atPath: node.dataDirectory)
                try node.start()
                let unfinished = node.dataDirectory + ".unfinished"
                try #require(
                    waitUntil("a copy is under way", every: .milliseconds(1)) {
                        Files.exists(unfinished + "/PG_VERSION")
                    })
                try node.losePower()
                #expect(!Files.exists(node.dataDirectory), "it came too late: nothing is torn")
                try node.returnPower()
                try herd.until(.replica(node.name), within: Arena.patience)
                #expect(told.since.components(separatedBy: " copies ").count == 3, "\(told.since)")
                #expect(!Files.exists(unfinished))
                try trial.expectNothingLost()
            }
        }

        // MARK: how it gets there

        /// A table in a tablespace outside the data directory, on every node's own disk.
        private func makeTablespace(_ herd: Herd) throws {
            let primary = try herd.primary()
            for node in herd.nodes { try node.makeDirectory(onVolume: "fast") }
            let session = try Session(primary.database, within: .seconds(10))
            _ = try session.run("create tablespace fast location '\(primary.volume)/fast'")
            _ = try session.run(
                "create table spaced tablespace fast as select generate_series(1, 1000) n")
            try herd.until("every node has it") {
                try herd.nodes.allSatisfy { try spaced(on: $0) == "1000" }
            }
        }

        private func dropTablespace(_ herd: Herd) throws {
            let session = try Session(try herd.primary().database, within: .seconds(10))
            _ = try session.run("drop table spaced")
            _ = try session.run("drop tablespace fast")
        }

        private func spaced(on node: HerdNode) throws -> String? {
            guard let session = try? Session(node.database, within: .seconds(10)) else { return nil }
            return try? session.value("select count(*) from spaced")
        }

        /// Cuts a primary off until another writes; what it took meanwhile is nobody else's.
        private func leaveAlone(_ lonely: HerdNode, _ herd: Herd) throws {
            try lonely.cut(.everything)
            let session = try Session(lonely.database, within: .seconds(5))
            _ = try session.run("create table if not exists alone (n int)", within: .seconds(2))
            if try session.value("select to_regclass('spaced')") != nil {
                _ = try session.run("insert into spaced values (0)", within: .seconds(2))
            }
            // More than one segment, so that there is something between the fork and the end.
            for _ in 0..<2 {
                _ = try session.run("insert into alone select generate_series(1, 1000)", within: .seconds(2))
                _ = try session.run("select pg_switch_wal()", within: .seconds(2))
            }
            // Its own start needs nothing older than this.
            _ = try session.run("checkpoint", within: .seconds(2))
            try herd.until(
                .primary(isNot: lonely.name), seenBy: herd.others(than: lonely), within: Arena.patience)
        }

        /// Removes the WAL of a stopped node that its own start does not need.
        private func forgetWAL(of node: HerdNode) throws {
            let control = try Tool.run([node.postgresBin + "/pg_controldata", "-D", node.dataDirectory])
            let line = try #require(
                control.split(separator: "\n").first { $0.hasPrefix("Latest checkpoint's REDO WAL file") })
            let needed = String(try #require(line.split(separator: " ").last))
            let directory = node.dataDirectory + "/pg_wal"
            for name in try Files.list(directory) where name.utf8.count == 24 && name < needed {
                try FileManager.default.removeItem(atPath: "\(directory)/\(name)")
            }
        }

        private func bundles(of node: HerdNode) throws -> [String] {
            let directory = node.dataDirectory + ".diverged"
            return try Files.list(directory).map { "\(directory)/\($0)" }
        }
    }
}

/// What a node's agent has told from now on.
struct Story {
    private let node: HerdNode
    private let before: Int

    init(_ node: HerdNode) {
        self.node = node
        before = node.log().utf8.count
    }

    var since: String { String(decoding: node.log().utf8.dropFirst(before), as: UTF8.self) }
}
