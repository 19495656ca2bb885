import Consensus
import Glibc
import Platform
import Supervision
import Synchronization
import TestSupport
import Testing

@testable import Postgres

/// Making and replacing data directories, on real Postgres (protocol: Bootstrap, Rejoining).
@Suite(.serialized) struct CopyTests {
    @Test(.requiresPostgres) func aCopyKeepsTheOldDirectoryAndRefusesAForeignSystem() async {
        await #expect(processExitsWith: .success) {
            onRealPostgres {
                let (a, b) = (try Instance("a"), try Instance("b"))
                try a.found()
                let system = try #require(a.report.systemIdentifier)
                try b.perform(.initialize(attempt: 7, Instance.credentials))
                let foreign = try #require(b.report.systemIdentifier)
                #expect(foreign != system)
                var plan = ClonePlan(
                    member: b.member.id, source: b.upstream(a, timeline: 1, valid: false),
                    systemIdentifier: foreign,
                    configuration: b.configuration(asPrimary: false, timeline: 1))
                let refusal = b.attempt(.clone(plan))
                #expect(refusal.reason?.contains("it is system \(system)") == true)
                #expect(refusal.report.systemIdentifier == foreign)
                #expect(!Files.exists(b.site.previousDirectory))

                plan.systemIdentifier = system
                let told = Mutex<[OrderWord]>([])
                let run = b.run(Cancellation()) { word in told.withLock { $0.append(word) } }
                let outcome = run.outcome(of: .clone(plan))
                #expect(outcome.result == .done)
                #expect(outcome.report.state == .stopped)
                #expect(outcome.report.systemIdentifier == system)
                #expect(outcome.report.foundingMarker == nil)
                guard case .progress(let text)? = told.withLock({ $0.last }) else {
                    Issue.record("no progress is told")
                    return
                }
                #expect(text.hasSuffix("MB copied"))
                #expect(
                    try ControlData.read(b.site, directory: b.site.previousDirectory).systemIdentifier
                        == foreign)
                #expect(!Files.exists(b.site.unfinishedDirectory))
                // A second copy keeps the first one's predecessor: what it replaces has proven nothing.
                try b.perform(.clone(plan))
                #expect(
                    try ControlData.read(b.site, directory: b.site.previousDirectory).systemIdentifier
                        == foreign)
                DataDirectory.releasePrevious(b.site)
                #expect(!Files.exists(b.site.previousDirectory))
            }
        }
    }

    @Test(.requiresPostgres) func aTablespaceThatNothingOfThisNodeLeadsToIsLeftAlone() async {
        await #expect(processExitsWith: .success) {
            onRealPostgres {
                let (a, b) = (try Instance("a"), try Instance("b"))
                try a.found()
                try b.perform(.initialize(attempt: 7, Instance.credentials))
                // One file system for both: what b finds at the path is the source's own.
                let path = a.directory.file("fast=space")
                try Files.makeDirectory(path)
                try a.sql("create tablespace fast location '\(path)'")
                try a.sql("create table t tablespace fast as select generate_series(1, 1000) n")
                let plan = ClonePlan(
                    member: b.member.id, source: b.upstream(a, timeline: 1, valid: false),
                    systemIdentifier: try #require(a.report.systemIdentifier),
                    configuration: b.configuration(asPrimary: false, timeline: 1))
                let refused = b.attempt(.clone(plan))
                #expect(refused.reason?.contains("its tablespace \(path) holds PG_15_") == true)
                #expect(try a.sql("select count(*) from t") == "1000")
                let held = try Files.list(path)

                // Once it leads there it is b's to replace; what it held is kept as long as the old data is.
                let space = try #require(Tablespace.linked(from: a.site.dataDirectory).first)
                #expect(space.path == path)
                try space.relink(in: b.site.dataDirectory, to: path)
                try b.perform(.clone(plan))
                #expect(try Files.list(space.previous) == held)
                #expect(Tablespace.linked(from: b.site.dataDirectory) == [space])
                DataDirectory.releasePrevious(b.site)
                #expect(try Files.list(path) == held)
            }
        }
    }

    @Test(.requiresPostgres) func aCopyThatIsCalledOffLeavesTheOldDirectoryAndNothingElse() async {
        await #expect(processExitsWith: .success) {
            onRealPostgres {
                let (a, b) = (try Instance("a"), try Instance("b"))
                try a.found()
                try b.perform(.initialize(attempt: 7, Instance.credentials))
                let cancellation = Cancellation()
                let plan = ClonePlan(
                    member: b.member.id, source: b.upstream(a, timeline: 1, valid: false),
                    systemIdentifier: try #require(a.report.systemIdentifier),
                    configuration: b.configuration(asPrimary: false, timeline: 1))
                let before = b.report.systemIdentifier
                cancellation.cancel()
                let outcome = b.run(cancellation) { _ in }.outcome(of: .clone(plan))
                #expect(outcome.reason?.contains("called off") == true)
                #expect(outcome.report.systemIdentifier == before)
                for path in [
                    b.site.unfinishedDirectory, b.site.previousDirectory, b.directory.file("copy.pgpass"),
                ] {
                    #expect(!Files.exists(path))
                }
            }
        }
    }

    @Test(.requiresPostgres) func aFirstDatabaseIsMadeOnceAndNeverOverData() async {
        await #expect(processExitsWith: .success) {
            onRealPostgres {
                let a = try Instance("a")
                #expect(a.report.state == .absent)
                let made = try a.perform(.initialize(attempt: 3, Instance.credentials))
                #expect(made.state == .stopped)
                #expect(made.foundingMarker == 3)
                #expect(
                    try a.perform(.initialize(attempt: 3, Instance.credentials)).systemIdentifier
                        == made.systemIdentifier)
                // What a failed attempt left may go.
                let again = try a.perform(.initialize(attempt: 4, Instance.credentials))
                #expect(again.foundingMarker == 4)
                #expect(again.systemIdentifier != made.systemIdentifier)
                try a.arm()
                try a.perform(.startPrimary(a.configuration(asPrimary: true)))
                #expect(a.report.foundingMarker == nil)
                try a.perform(.stop(bound: .seconds(30)))
                let refused = a.attempt(.initialize(attempt: 5, Instance.credentials))
                #expect(refused.reason?.contains("holds data") == true)
                #expect(refused.report.systemIdentifier == again.systemIdentifier)
                #expect(
                    try a.site.run("pg_checksums", ["--check", "-D", a.site.dataDirectory], limit: 60)
                        .contains("Bad checksums:  0"))
            }
        }
    }

    @Test(.requiresPostgres) func aDirectoryThatCannotBeUsedSaysWhy() async {
        await #expect(processExitsWith: .success) {
            onRealPostgres {
                let a = try Instance("a")
                try a.site.preflight()
                try a.perform(.initialize(attempt: 1, Instance.credentials))
                try a.site.preflight()
                try Files.replaceDurably(a.site.data("PG_VERSION"), Array("13\n".utf8))
                #expect(a.report.unusable?.contains("made by Postgres 13") == true)
                #expect(throws: PreflightFailure.self) { try a.site.preflight() }
                let start = a.attempt(.startStandby(a.configuration(asPrimary: false)))
                #expect(start.reason?.contains("made by Postgres 13") == true)
                try Files.removeDurably(a.site.data("PG_VERSION"))
                #expect(a.report.unusable?.contains("PG_VERSION is missing") == true)
                var elsewhere = a.site
                elsewhere.binDirectory = "/nowhere"
                #expect { try elsewhere.preflight() } throws: { "\($0)".contains("postgres_bin_directory") }
                elsewhere = a.site
                elsewhere.dataDirectory = "/root"
                #expect { try elsewhere.preflight() } throws: {
                    "\($0)".contains("belongs to") || "\($0)".contains("opendir")
                }
            }
        }
    }
}
