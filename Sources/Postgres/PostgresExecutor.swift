public import Platform
public import Supervision
internal import Synchronization

/// Carries out orders to the local Postgres: dumb, whole, idempotent, and off the control thread.
///
/// Orders of the foreground run one after the other; those of the background (settings, checkpoints) beside them. All
/// methods MUST be called on the loop's thread, and all handlers are called there.
public final class PostgresExecutor {
    /// Orders that may wait in one lane. The rules give one at a time; more is a bug of the giver.
    static let laneLimit = 16

    private let site: PostgresSite
    private let door: GuardDoor
    private let loop: EventLoop
    private let poller: PostgresPoller
    private let foreground: WorkerThread
    private let background: WorkerThread
    private let verified = VerifiedCredentials()
    private var running: [JobID: Cancellation] = [:]

    public init(site: PostgresSite, door: GuardDoor, loop: EventLoop, poller: PostgresPoller)
        throws(SystemError)
    {
        self.site = site
        self.door = door
        self.loop = loop
        self.poller = poller
        foreground = try WorkerThread(name: "pg-orders", loop: loop, capacity: Self.laneLimit)
        background = try WorkerThread(name: "pg-background", loop: loop, capacity: Self.laneLimit)
    }

    /// Begins an order.
    ///
    /// - Parameters:
    ///   - progress: how far it is, for people; never called after `completion`.
    ///   - completion: called exactly once, with a report taken after the order's end.
    public func perform(
        _ job: JobID, _ order: PostgresOrder, progress: @escaping (String) -> Void,
        completion: @escaping (PostgresOutcome) -> Void
    ) {
        let cancellation = Cancellation()
        running[job] = cancellation
        let teller = ProgressTeller(
            loop: loop,
            tell: { [weak self] text in
                if self?.running[job] != nil { progress(text) }
            })
        let run = OrderRun(
            site: site, door: door, verified: verified, cancellation: cancellation, progress: teller.tell)
        poller.hurry()
        let lane = order.isBackground ? background : foreground
        do {
            try lane.submit({ run.outcome(of: order) }) { [weak self] outcome in
                self?.running[job] = nil
                self?.poller.hurry()
                self?.tidyUp(after: order, run, outcome)
                completion(outcome)
            }
        } catch {
            running[job] = nil
            Log.error("an order to Postgres is refused", [("reason", error.description)])
            loop.post(
                Confined { [site] in
                    completion(
                        PostgresOutcome(result: .failed(error.description), report: OrderRun.report(of: site))
                    )
                }.run)
        }
    }

    /// A stream under the name of a valid member proves the copy: the data that it replaced may go.
    private func tidyUp(after order: PostgresOrder, _ run: OrderRun, _ outcome: PostgresOutcome) {
        guard case .follow(let upstream) = order, outcome.result == .done,
            upstream.applicationName.hasPrefix(Self.validNamePrefix)
        else { return }
        do {
            try background.submit({ run.releasePrevious() }, then: {})
        } catch {
            // Asked again at the next follow.
            Log.info("the old data directory stays for now", [("reason", error.description)])
        }
    }

    /// `Member.synchronousName` begins so, and no other name does.
    private static let validNamePrefix = "matriarch:"

    /// Asks a running order to end as soon as it can; its completion says that it was called off, or that it was
    /// faster.
    public func cancel(_ job: JobID) { running[job]?.cancel() }

    /// Lets orders that were begun come to their end (a clone is called off) and ends the threads.
    public func stop() {
        for cancellation in running.values { cancellation.cancel() }
        foreground.stop()
        background.stop()
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
    private let handler: (String) -> Void

    init(loop: EventLoop, tell: @escaping (String) -> Void) {
        self.loop = loop
        handler = tell
    }

    func tell(_ text: String) {
        loop.post { [self] in handler(text) }
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
