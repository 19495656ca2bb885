import Consensus
import Glibc
import Platform
import Supervision
import Synchronization
import TestSupport
import Testing

@testable import Postgres

/// Executor and poller as the daemon uses them: on a loop, with reports coming in.
@Suite(.serialized) struct ExecutorTests {
    @Test(.requiresPostgres) func ordersAndReportsComeToTheLoopAndAHungPostgresIsToldFromADeadOne() async {
        await #expect(processExitsWith: .success) {
            onRealPostgres {
                let a = try Instance("a")
                let driver = try Driver(a)
                #expect(try driver.perform(.initialize(attempt: 1, Instance.credentials)).result == .done)
                try a.arm()
                let configuration = a.configuration(asPrimary: true)
                #expect(try driver.perform(.startPrimary(configuration)).result == .done)
                #expect(try driver.perform(.configure(configuration)).result == .done)
                driver.await("a primary is reported") { $0.state == .primary }
                #expect(try driver.perform(.checkpoint).result == .done)
                driver.await("its checkpoint is reported") { $0.checkpointTimeline == 1 }

                let postmaster = try #require(Postmaster.find(a.site))
                let backends = try ProcessTable.children(of: postmaster.entry.pid)
                let all = try (backends + [postmaster.entry]).compactMap { try ProcessHandle($0) }
                for process in all { try process.signal(SIGSTOP) }
                driver.await("it is reported as unresponsive") { $0.state == .unresponsive }
                for process in all { try process.signal(SIGCONT) }
                driver.await("it is well again") { $0.state == .primary }

                // No way in is no death: the role is told from the files.
                try Files.replaceDurably(AccessRules.hbaFile(a.site), Array("local all all reject\n".utf8))
                try postmaster.signal(SIGHUP)
                _ = try waitFor("nobody gets in") { (try? a.sql("select 1")) == nil ? true : nil }
                _ = try ProcessTable.children(of: postmaster.entry.pid)
                    .filter { ProcessTable.title(of: $0.pid).contains("matriarch_admin") }
                    .compactMap { try ProcessHandle($0) }.map { try $0.signal(SIGTERM) }
                driver.await("it is alive without a session") { $0.state == .primary && $0.position == nil }
                #expect(try driver.perform(.stop(bound: .seconds(20))).report.state == .stopped)
                driver.await("it is reported as stopped") { $0.state == .stopped && $0.settled != nil }
                driver.stop()
            }
        }
    }
}

/// A loop on a thread of its own, with an executor and a poller.
private final class Driver: Sendable {
    private struct State {
        var reports: [PostgresReport] = []
        var outcome: PostgresOutcome?
        var nextJob: JobID = 1
    }

    /// The executor belongs to the loop's thread; only closures posted there touch it.
    private struct OnLoop: @unchecked Sendable { let executor: PostgresExecutor }

    private let loop: EventLoop
    private let poller: PostgresPoller
    private let onLoop: OnLoop
    private let state = Mutex(State())
    private let thread: Thread

    init(_ instance: Instance) throws {
        let loop = try EventLoop()
        self.loop = loop
        let reports = Reports()
        poller = try PostgresPoller(site: instance.site) { reports.add($0) }
        onLoop = OnLoop(
            executor: try PostgresExecutor(
                site: instance.site, door: instance.door, loop: loop, poller: poller))
        self.reports = reports
        thread = try Thread.start(name: "loop") { loop.run() }
        try poller.start()
    }

    private let reports: Reports

    private final class Reports: Sendable {
        private let list = Mutex<[PostgresReport]>([])
        func add(_ report: PostgresReport) { list.withLock { $0.append(report) } }
        var last: PostgresReport? { list.withLock { $0.last } }
    }

    func perform(_ order: PostgresOrder) throws -> PostgresOutcome {
        let job = state.withLock { state in
            state.outcome = nil
            state.nextJob += 1
            return state.nextJob
        }
        loop.post { [self] in
            onLoop.executor.perform(job, order, words: { _ in }) { [self] outcome in
                state.withLock { $0.outcome = outcome }
            }
        }
        return try waitFor("order \(job) ends") { state.withLock { $0.outcome } }
    }

    func await(_ what: String, _ condition: (PostgresReport) -> Bool) {
        waitUntil(what) { reports.last.map(condition) ?? false }
    }

    func stop() {
        poller.stop()
        loop.post { [self] in
            onLoop.executor.stop()
            loop.stop()
        }
        thread.join()
    }
}
