internal import Consensus
public import Platform
public import Supervision
internal import Synchronization

/// Carries out orders to the local Postgres: dumb, whole, idempotent, and off the control thread.
///
/// Orders of the foreground run one after the other; those of the background (settings, checkpoints) beside
/// them. All methods MUST be called on the loop's thread, and all handlers are called there.
public final class PostgresExecutor {
    private let site: PostgresSite
    private let door: GuardDoor
    private let loop: EventLoop
    private let poller: PostgresPoller
    private let foreground: OrderLane
    private let background: OrderLane
    private let verified = VerifiedCredentials()
    private var running: [JobID: Cancellation] = [:]

    public init(site: PostgresSite, door: GuardDoor, loop: EventLoop, poller: PostgresPoller)
        throws(SystemError)
    {
        self.site = site
        self.door = door
        self.loop = loop
        self.poller = poller
        foreground = try OrderLane("pg-orders", loop, site, keepsSession: true)
        background = try OrderLane("pg-background", loop, site, keepsSession: false)
    }

    /// Begins an order.
    ///
    /// - Parameters:
    ///   - words: how far it is and what it did, for people; never called after `completion`.
    ///   - completion: called exactly once, with a report taken after the order's end.
    public func perform(
        _ job: JobID, _ order: PostgresOrder, words: @escaping (OrderWord) -> Void,
        completion: @escaping (PostgresOutcome) -> Void
    ) {
        let cancellation = Cancellation()
        running[job] = cancellation
        let teller = ProgressTeller(
            loop: loop,
            tell: { [weak self] word in
                if self?.running[job] != nil { words(word) }
            })
        poller.hurry()
        let lane = order.isBackground ? background : foreground
        do {
            let work = lane.work(order, site, door, verified, cancellation, teller.tell)
            try lane.thread.submit(work) { [weak self] outcome in
                self?.running[job] = nil
                self?.poller.hurry()
                self?.tidyUp(after: order, outcome)
                completion(outcome)
            }
        } catch {
            running[job] = nil
            Log.error("an order to Postgres is refused", [("reason", error.description)])
            let report = poller.latest ?? PostgresReport(state: .starting, takenAt: .zero)
            let answer = Confined {
                completion(PostgresOutcome(result: .failed(error.description), report: report))
            }
            loop.post(answer.run)
        }
    }

    /// A stream under the name of a valid member proves the copy: the data that it replaced may go.
    private func tidyUp(after order: PostgresOrder, _ outcome: PostgresOutcome) {
        guard case .follow(let upstream) = order, outcome.result == .done,
            upstream.applicationName.hasPrefix(Self.validNamePrefix)
        else { return }
        do {
            try background.thread.submit({ [site] in DataDirectory.releasePrevious(site) }, then: {})
        } catch {
            // Asked again at the next follow.
            Log.info("the old data directory stays for now", [("reason", error.description)])
        }
    }

    /// `Member.synchronousName` begins so, and no other name does.
    private static let validNamePrefix = "matriarch:"

    /// Asks a running order to end as soon as it can; its completion says that it was called off, or that it
    /// was faster.
    public func cancel(_ job: JobID) { running[job]?.cancel() }

    /// Lets orders that were begun come to their end (a clone is called off) and ends the threads.
    public func stop() {
        for cancellation in running.values { cancellation.cancel() }
        foreground.thread.stop()
        background.thread.stop()
    }
}

/// A thread for orders, one after the other, with what it keeps between them.
///
/// `@unchecked Sendable`: the survey is only touched by the lane's own thread.
private final class OrderLane: @unchecked Sendable {
    /// Orders that may wait. The rules give one at a time; more is a bug of the giver.
    private static let limit = 16

    let thread: WorkerThread
    private let survey: Survey
    private let keepsSession: Bool

    init(_ name: String, _ loop: EventLoop, _ site: PostgresSite, keepsSession: Bool) throws(SystemError) {
        thread = try WorkerThread(name: name, loop: loop, capacity: Self.limit)
        survey = Survey(site)
        self.keepsSession = keepsSession
    }

    func work(
        _ order: PostgresOrder, _ site: PostgresSite, _ door: GuardDoor, _ verified: VerifiedCredentials,
        _ cancellation: Cancellation, _ tell: @escaping @Sendable (OrderWord) -> Void
    ) -> @Sendable () -> PostgresOutcome {
        { [self] in
            let run = OrderRun(
                site: site, door: door, verified: verified, cancellation: cancellation, tell: tell,
                survey: survey)
            defer { if !keepsSession { survey.disconnect() } }
            return run.outcome(of: order)
        }
    }
}

/// Whether a running order is still wanted.
final class Cancellation: Sendable {
    private let flag = Atomic<Bool>(false)

    func cancel() { flag.store(true, ordering: .releasing) }
    var isCancelled: Bool { flag.load(ordering: .acquiring) }

    func check(_ doing: String) throws(PostgresError) {
        if isCancelled { throw PostgresError(.cancelled, doing) }
    }
}

/// Brings words about an order's progress from a worker to the loop.
///
/// `@unchecked Sendable`: the closure is made on the loop and only called there.
private final class ProgressTeller: @unchecked Sendable {
    private let loop: EventLoop
    private let handler: (OrderWord) -> Void

    init(loop: EventLoop, tell: @escaping (OrderWord) -> Void) {
        self.loop = loop
        handler = tell
    }

    func tell(_ word: OrderWord) {
        loop.post { [self] in handler(word) }
    }
}

/// Work that is made on the loop and done on the loop, a turn later.
///
/// `@unchecked Sendable`: it only passes through the loop's mailbox.
private struct Confined: @unchecked Sendable {
    let work: () -> Void
    init(_ work: @escaping () -> Void) { self.work = work }
    @Sendable func run() { work() }
}
