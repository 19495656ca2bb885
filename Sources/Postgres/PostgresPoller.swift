public import Platform
public import Supervision
internal import Synchronization

/// Looks at the local Postgres again and again, on a thread of its own, and hands every report on.
///
/// All that decides, answers a check or prints a metric reads these reports; nobody asks Postgres on demand.
public final class PostgresPoller: Sendable {
    /// Between looks when nothing happens.
    static let steady = Duration.seconds(1)
    /// For a while after something was done to it, and while Postgres starts: then less and less often.
    static let quick = Duration.milliseconds(50)
    static let quickAfterOrder = Duration.seconds(3)

    private let site: PostgresSite
    private let publish: @Sendable (PostgresReport) -> Void
    /// Rings to end a wait.
    private let bell: MessageQueue<Bool>
    private let quickUntil = Atomic<Int64>(0)
    private let stopped = Atomic<Bool>(false)
    private let last = Mutex<PostgresReport?>(nil)

    /// - Parameter publish: called on the poller's thread with each report.
    public init(site: PostgresSite, publish: @escaping @Sendable (PostgresReport) -> Void) throws(SystemError)
    {
        self.site = site
        self.publish = publish
        bell = try MessageQueue(capacity: 1)
    }

    /// Starts the thread; called once.
    public func start() throws(SystemError) {
        try Thread.start(name: "pg-poller") { [self] in run() }
    }

    /// Ends the thread after the look that it is at.
    public func stop() {
        stopped.store(true, ordering: .releasing)
        bell.close()
    }

    /// Looks at once, and often for the next seconds: something has just changed. From any thread.
    public func hurry() {
        let until = Deadline.after(Self.quickAfterOrder)
        quickUntil.store(until, ordering: .releasing)
        // Full: it rings already.
        _ = bell.push(true)
    }

    /// The report that was published last, if any was. From any thread.
    public var latest: PostgresReport? { last.withLock { $0 } }

    private func run() {
        let survey = Survey(site)
        var startingSince: Int64?
        while !stopped.load(ordering: .acquiring) {
            let report = survey.look()
            if let report {
                last.withLock { $0 = report }
                publish(report)
            }
            if report?.state == .starting {
                let since = startingSince ?? BootClock.now()
                startingSince = since
                wait(Deadline.rest(since: since, within: Self.quick...Self.steady))
            } else {
                startingSince = nil
                wait(Deadline.isPast(quickUntil.load(ordering: .acquiring)) ? Self.steady : Self.quick)
            }
        }
    }

    private func wait(_ duration: Duration) {
        _ = bell.takeAll(withinNanoseconds: Deadline.after(duration) - BootClock.now())
    }
}
