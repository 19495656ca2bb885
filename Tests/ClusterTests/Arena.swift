import Glibc
import Lab
import TestSupport
import Testing

/// Parent of all suites here: they share addresses and the machine's patience, so one runs after the other.
@Suite("On real Postgres", .serialized)
enum RealPostgres {}

/// The herd that most tests share: making one takes many seconds, and a herd that went through all of it is
/// worth more than a fresh one.
enum Arena {
    /// Short, so that failovers are quick; not the shortest, because other tests use this machine too.
    static let lease: Duration = .seconds(2)
    static let patience: Duration = .seconds(90)

    /// Tests run one after the other and only they come here.
    nonisolated(unsafe) private static var herd: Herd?

    static func makeHerd(nodes: Int = 3, spares: Int = 0, placement: Placement = .best) throws -> Herd {
        let options = Herd.Options(
            nodes: nodes, spares: spares, placement: placement,
            settings: ["lease_duration": "\(Int(lease.seconds))s"], volumes: Machine.isRoot)
        return try Herd(options, programs: Programs(directory: BuiltPrograms.directory))
    }

    /// The shared herd, whole: what an earlier test left cut or dead is mended first.
    static func wholeHerd() throws -> Herd {
        if let herd {
            try mend(herd)
            return herd
        }
        let made = try makeHerd(spares: 1)
        herd = made
        try made.start()
        try made.until(made.isWhole, within: patience)
        return made
    }

    /// A test that left it broken has failed already; the next one deserves a sound herd.
    private static func mend(_ herd: Herd) throws {
        for node in herd.nodes {
            try node.heal()
            node.signalEverything(SIGCONT)
            if node.agentPID == nil { try node.start() }
        }
        do {
            try herd.until(herd.isWhole, within: patience)
        } catch {
            self.herd = nil
            try herd.destroy()
            throw error
        }
    }

    /// Runs a test on the whole shared herd under load, with the watch looking for a second writer.
    static func trial(_ body: (Herd, Trial) throws -> Void) throws {
        let herd = try wholeHerd()
        try herd.until("no node is bound any more by promises from before it started") {
            herd.nodes.allSatisfy { $0.age.map { $0 > lease * 2 } == true }
        }
        let trial = try Trial(herd)
        defer { trial.end() }
        do {
            try body(herd, trial)
            try herd.until(herd.isWhole, within: patience)
        } catch {
            Issue.record("logs: \(try herd.keepLogs())")
            throw error
        }
        trial.end()
        trial.expectOneWriter()
    }
}

/// A writer through every node's 5432 and a watch at every node's 5433.
final class Trial {
    let herd: Herd
    let writer: Writer
    let watch: SingleWriterWatch
    private var hasEnded = false

    init(_ herd: Herd) throws {
        self.herd = herd
        writer = Writer(through: herd.entrances)
        watch = SingleWriterWatch(at: herd.databaseDoors)
        try Writer.prepare(try herd.primary().entrance)
        try writer.start()
        try watch.start()
        try herd.until("the writers write") { writer.count > 50 }
    }

    func end() {
        if hasEnded { return }
        hasEnded = true
        writer.stop()
        watch.stop()
    }

    /// Waits until writes are acknowledged again, through whichever door.
    func writesGoOn(within limit: Duration = Arena.patience) throws {
        let before = writer.count
        try herd.until("writes are acknowledged", within: limit) { writer.count > before + 20 }
    }

    func expectOneWriter(sourceLocation: SourceLocation = #_sourceLocation) {
        let violations = watch.violations
        #expect(violations.isEmpty, "two writers", sourceLocation: sourceLocation)
        #expect(!watch.reigns.isEmpty, "the watch saw no writer at all", sourceLocation: sourceLocation)
    }

    /// Nothing acknowledged may be missing: what every planned hand-over and every local restart owes.
    func expectNothingLost(sourceLocation: SourceLocation = #_sourceLocation) throws {
        let lost = try writer.lost(readingFrom: try herd.primary().entrance)
        #expect(lost.isEmpty, "\(lost.count) acknowledged writes are lost", sourceLocation: sourceLocation)
    }

    /// Mode `off`: a lost primary takes along what it acknowledged and had not sent yet, and an isolated one
    /// what it acknowledges until its lease ends. Nothing older and nothing newer.
    func expectLossOnlyAround(_ fault: Moment, sourceLocation: SourceLocation = #_sourceLocation) throws {
        // On a busy machine a walsender may be seconds behind; a standby that lags by more is not promoted.
        let unsent: Duration = .seconds(10)
        let lost = try writer.lost(readingFrom: try herd.primary().entrance)
        for write in lost {
            let when = "\((write.at - fault).seconds.rounded(toPlaces: 2)) s after the fault"
            #expect(
                write.at > fault - unsent, "lost although it was acknowledged \(when)",
                sourceLocation: sourceLocation)
            #expect(
                write.sent < fault + Arena.lease, "acknowledged without a lease, \(when)",
                sourceLocation: sourceLocation)
        }
    }
}

extension Trait where Self == ConditionTrait {
    static var requiresHerd: Self {
        .requiresPrograms("matriarchd", "matriarch", "matriarch-guard", "matriarch-proxy")
    }
}
