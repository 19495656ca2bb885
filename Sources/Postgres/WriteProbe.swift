public import Platform
internal import Synchronization

/// Commits a small record each second while this node is the open primary, on a thread and session of its
/// own: the only proof that clients' writes come to an end too.
///
/// There is never more than one probe under way. One that hangs (a disk that stopped, replicas that do not
/// acknowledge) is waited for rather than repeated: each attempt would take a connection slot for good.
public final class WriteProbe: Sendable {
    /// Between the beginnings of two probes.
    static let interval = Duration.seconds(1)
    /// A probe that needs longer has failed, though it is still waited for.
    static let budget = Duration.seconds(2)
    /// As long as the session lasts; it ends with its backend.
    private static let untilItEnds = Duration.seconds(10 * 365 * 86400)

    private struct State {
        var isWanted = false
        var isStopped = false
    }

    private let site: PostgresSite
    private let publish: @Sendable (Int64?) -> Void
    private let state = Mutex(State())
    /// Rings to end a wait between probes.
    private let bell: MessageQueue<Bool>

    /// - Parameter publish: called on the probe's thread with the `BootClock` time at which a probe that
    ///   passed had begun, or nil when one failed.
    public init(site: PostgresSite, publish: @escaping @Sendable (Int64?) -> Void) throws(SystemError) {
        self.site = site
        self.publish = publish
        bell = try MessageQueue(capacity: 1)
    }

    /// Starts the thread; called once.
    public func start() throws(SystemError) {
        try Thread.start(name: "pg-write-probe") { [self] in run() }
    }

    /// Ends the thread after the probe that it is at.
    public func stop() {
        state.withLock { $0.isStopped = true }
        bell.close()
    }

    /// Whether this node is the open primary. From any thread.
    public func want(_ isWanted: Bool) {
        let isNew = state.withLock { state in
            defer { state.isWanted = isWanted }
            return isWanted != state.isWanted
        }
        // Full: it rings already.
        if isNew { _ = bell.push(true) }
    }

    private func run() {
        var session: Session?
        while true {
            let (isWanted, isStopped) = state.withLock { ($0.isWanted, $0.isStopped) }
            if isStopped { return }
            let next = Deadline.after(isWanted ? Self.interval : Self.untilItEnds)
            if isWanted { probe(&session) } else { session = nil }
            _ = bell.takeAll(withinNanoseconds: next - BootClock.now())
        }
    }

    private func probe(_ session: inout Session?) {
        let began = BootClock.now()
        let due = Deadline.after(Self.budget)
        do throws(PostgresError) {
            let usable: Session
            if let session { usable = session } else { usable = try Session.open(parameters, until: due) }
            session = usable
            _ = try usable.query(
                "select pg_logical_emit_message(true, 'matriarch', '')",
                until: Deadline.after(Self.untilItEnds))
            publish(Deadline.isPast(due) ? nil : began)
        } catch {
            session = nil
            Log.info("the write probe failed", [("error", error.description)])
            publish(nil)
        }
    }

    /// As clients write: with the durability that the server's own settings ask for.
    private var parameters: [String: String] {
        site.localParameters.merging([
            "options": "-c statement_timeout=0 -c lock_timeout=0 -c default_transaction_read_only=off "
                + "-c idle_session_timeout=0 -c client_min_messages=error"
        ]) { $1 }
    }
}
