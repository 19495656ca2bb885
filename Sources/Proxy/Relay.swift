internal import Platform
internal import Synchronization

/// One thread that moves the bytes of its sessions, and knows the newest order.
///
/// Holds and cuts by its own clock: when the agent and the rest of this process say nothing more, sessions
/// still end when the route is too old.
///
/// `@unchecked Sendable`: all state is touched on the loop's thread only; others use `adopt`, `take` and
/// `stop`, which post to it.
final class Relay: @unchecked Sendable {
    let loop: EventLoop
    let counters: Counters
    let traffic = Traffic()
    let options: ProxyOptions
    /// Shared by all sessions: what one read brought is written or kept by its session before the next read.
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: Limit.chunkBytes, alignment: 4096)

    private(set) var order: ProxyOrder
    /// The primary is named but refuses or does not answer: one session at a time tries, the rest wait.
    private(set) var isFailing = false
    private var sessions: [UInt64: Session] = [:]
    private var nextID: UInt64 = 0
    /// Held sessions in the order of their coming; some may have ended since.
    private var queue: [UInt64] = []
    private var cutTimer: TimerID?
    private var retryTimer: TimerID?
    private var connectComplaint = Complaint()
    private var refusalComplaint = Complaint()

    init(options: ProxyOptions, counters: Counters, order: ProxyOrder) throws(SystemError) {
        loop = try EventLoop()
        self.options = options
        self.counters = counters
        self.order = order
    }

    deinit { buffer.deallocate() }

    // MARK: From other threads

    /// Takes over an accepted client; `counters.sessions` has been raised for it.
    func adopt(_ client: Int32) {
        loop.post { [self] in
            nextID += 1
            let session = Session(id: nextID, client: client, relay: self)
            sessions[nextID] = session
            session.start()
        }
    }

    func take(_ order: ProxyOrder) {
        loop.post { [self] in apply(order) }
    }

    /// Closes all sessions and ends `loop.run`.
    func stop() {
        loop.post { [self] in
            for session in Array(sessions.values) { session.end() }
            loop.stop()
        }
    }

    // MARK: Orders

    private func apply(_ new: ProxyOrder) {
        let old = order
        order = new
        if old.target != new.target {
            isFailing = false
            leaveOtherTargets()
        }
        armCut()
        if !queue.isEmpty, !isFailing, new.target(forNewSessionsAt: BootClock.now()) != nil { wakeAll() }
    }

    /// Ends the sessions that are with any other target than the ordered one.
    private func leaveOtherTargets() {
        var count = 0
        for session in Array(sessions.values) {
            if let target = session.target, target != order.target, session.leaveTarget() { count += 1 }
        }
        if count > 0 {
            let place = order.target.map { "\($0.address) epoch \($0.epoch)" } ?? "nowhere"
            Log.notice("sessions cut: the primary changed", [("count", "\(count)"), ("now", place)])
        }
    }

    /// Keeps one timer for the moment at which the newest route is too old even for established sessions.
    private func armCut() {
        guard cutTimer == nil, case .route(let route) = order else { return }
        cutTimer = loop.at(route.cutAt) { [unowned self] in
            cutTimer = nil
            cutIfOverdue()
        }
    }

    private func cutIfOverdue() {
        guard case .route(let route) = order else { return }
        if BootClock.now() < route.cutAt { return armCut() }
        let why = "no word from the primary's epoch \(route.target.epoch) for too long"
        apply(.hold(reason: why))
    }

    // MARK: Waiting sessions

    func enqueue(_ session: Session) { queue.append(session.id) }

    private func wakeAll() {
        let ids = queue
        queue = []
        for id in ids { sessions[id]?.tryConnect() }
    }

    func connectFailed(_ error: SystemError) {
        connectComplaint.say("the primary cannot be reached", [("error", "\(error)")])
        isFailing = true
        armRetry()
    }

    func connectSucceeded() {
        guard isFailing else { return }
        isFailing = false
        wakeAll()
    }

    private func armRetry() {
        guard retryTimer == nil else { return }
        retryTimer = loop.at(BootClock.now() + Limit.retry) { [unowned self] in
            retryTimer = nil
            probe()
        }
    }

    /// Lets the one that has waited longest try.
    private func probe() {
        guard isFailing else { return }
        while !queue.isEmpty {
            guard let session = sessions[queue.removeFirst()], session.isWaiting else { continue }
            return session.tryConnect(asProbe: true)
        }
        // Nobody waits any more: the next one that comes tries at once.
        isFailing = false
    }

    // MARK: For sessions

    /// Waits for `interest` on a session's descriptor, and for nothing at all when that is empty.
    ///
    /// - Returns: false when the kernel has no room to watch it.
    func watch(
        _ endpoint: inout Endpoint, _ interest: Interest, _ handler: @escaping (Readiness) -> Void
    ) -> Bool {
        let old = endpoint.interest
        if interest == old { return true }
        if interest.isEmpty {
            loop.unwatch(endpoint.fd)
        } else if old.isEmpty {
            do {
                try loop.watch(endpoint.fd, interest, handler)
            } catch {
                connectComplaint.say("a connection cannot be watched", [("error", "\(error)")])
                return false
            }
        } else {
            loop.change(endpoint.fd, interest)
        }
        endpoint.interest = interest
        return true
    }

    func refused(_ refusal: Refusal) {
        counters.refused.add(1, ordering: .relaxed)
        refusalComplaint.say("a client was turned away", [("reason", refusal.message)])
    }

    func forget(_ session: Session) {
        sessions[session.id] = nil
        counters.sessions.subtract(1, ordering: .relaxed)
        // An ended session leaves its number in the queue; it must not grow by clients that come and go.
        if queue.count > 2 * sessions.count + 64 { queue.removeAll { sessions[$0] == nil } }
    }
}
