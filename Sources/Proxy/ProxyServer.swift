internal import Glibc
public import Platform
internal import Synchronization

/// The relay of one node: listeners, relay threads and the control socket, together on a loop.
///
/// Knows nothing of the cluster but the newest order; without one, clients wait.
public final class ProxyServer {
    /// Another process serves the same runtime directory.
    public struct AlreadyRunning: Error, CustomStringConvertible {
        public let description: String
    }

    private let options: ProxyOptions
    private let loop: EventLoop
    private let counters = Counters()
    private let lock: FileLock
    private let sessionLimit: Int
    private var listeners: [Int32] = []
    private var relays: [(relay: Relay, thread: Thread)] = []
    private var control: ControlSocket?
    private var nextRelay = 0
    private var isPaused = false
    private var pauseComplaint = Complaint()

    /// The control socket in a runtime directory.
    public static func socketPath(_ runtimeDirectory: String) -> String { runtimeDirectory + "/proxy.sock" }

    /// Starts to listen; clients wait until the loop runs and an order has come.
    ///
    /// - Throws: `AlreadyRunning`, or `SystemError`: EADDRINUSE and the like for a port, ENOENT or EACCES
    ///   for the runtime directory.
    public init(options: ProxyOptions, loop: EventLoop) throws {
        self.options = options
        self.loop = loop
        do {
            lock = try Files.lock(options.runtimeDirectory + "/proxy.lock")
        } catch let held as FileLock.Held {
            throw AlreadyRunning(description: "another matriarch-proxy runs here: \(held)")
        }
        sessionLimit = Self.raiseDescriptorLimit()
        do {
            listeners = try Self.listen(options)
            let path = Self.socketPath(options.runtimeDirectory)
            control = try ControlSocket(path: path, loop: loop, delegate: self)
            let first = OrderBook().order
            for number in 1...options.threads {
                let relay = try Relay(options: options, counters: counters, order: first)
                let thread = try Thread.start(name: "relay \(number)", stackBytes: Limit.relayStackBytes) {
                    relay.loop.run()
                }
                relays.append((relay, thread))
            }
            for listener in listeners { try watch(listener) }
        } catch {
            stop()
            throw error
        }
    }

    /// The port that is really listened on; differs from the options' when those say 0.
    public var port: UInt16? { listeners.first.flatMap { Sockets.localAddress($0)?.port } }

    /// Closes the listeners, the control socket and all sessions. Returns when that is done.
    public func stop() {
        for listener in listeners {
            loop.unwatch(listener)
            close(listener)
        }
        listeners = []
        control?.stop()
        for (relay, _) in relays { relay.stop() }
        for (_, thread) in relays { thread.join() }
        relays = []
    }

    // MARK: Listening

    private static func listen(_ options: ProxyOptions) throws(SystemError) -> [Int32] {
        var listeners: [Int32] = []
        do {
            for address in try addresses(options) {
                do {
                    listeners.append(try Sockets.listen(on: address))
                } catch  where options.listenAddress == "*" && error.code == EAFNOSUPPORT {
                    // A kernel without IPv6 (or IPv4) has one kind of "all addresses" less.
                }
            }
        } catch {
            for listener in listeners { close(listener) }
            throw error
        }
        return listeners
    }

    private static func addresses(_ options: ProxyOptions) throws(SystemError) -> [SocketAddress] {
        let hosts =
            options.listenAddress == "*"
            ? ["0.0.0.0", "::"] : options.listenAddress.split(separator: ",").map(String.init)
        var addresses: [SocketAddress] = []
        for host in hosts {
            let bare = host.filter { $0 != " " }
            guard let address = SocketAddress(host: bare, port: options.port) else {
                let rule = "\(host): must be * or a numeric IP address"
                throw SystemError(call: "--listen-address", code: EINVAL, detail: rule)
            }
            addresses.append(address)
        }
        return addresses
    }

    /// As many descriptors as we may have; a session takes two.
    ///
    /// - Returns: how many sessions that is good for.
    private static func raiseDescriptorLimit() -> Int {
        var limit = rlimit()
        guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return 400 }
        var wanted = limit
        wanted.rlim_cur = wanted.rlim_max
        if setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &wanted) == 0 { limit = wanted }
        let descriptors = Int(clamping: min(limit.rlim_cur, 1 << 20))
        return max(1, (descriptors - Limit.spareDescriptors) / 2)
    }

    // MARK: Accepting

    private func watch(_ listener: Int32) throws(SystemError) {
        try loop.watch(listener, .read) { [unowned self] _ in accept(listener) }
    }

    private func accept(_ listener: Int32) {
        for _ in 0..<Limit.acceptBatch {
            if counters.sessions.load(ordering: .relaxed) >= sessionLimit {
                return pause("\(sessionLimit) sessions are open, as many as the limit of descriptors allows")
            }
            do {
                guard let (client, _) = try Sockets.accept(listener) else { return }
                handOver(client)
            } catch {
                return pause("\(error)")
            }
        }
    }

    private func handOver(_ client: Int32) {
        // The client may be gone already; then reading from it tells.
        try? Sockets.setKeepalive(client, seconds: Limit.keepaliveSeconds)
        counters.sessions.add(1, ordering: .relaxed)
        counters.accepted.add(1, ordering: .relaxed)
        relays[nextRelay].relay.adopt(client)
        nextRelay = (nextRelay + 1) % relays.count
    }

    /// Leaves new clients in the kernel's queue for a moment, instead of spinning on an accept that cannot
    /// succeed.
    private func pause(_ why: String) {
        pauseComplaint.say("new connections have to wait", [("reason", why)])
        if isPaused { return }
        isPaused = true
        for listener in listeners { loop.change(listener, []) }
        loop.at(BootClock.now() + Limit.acceptPause) { [weak self] in
            guard let self else { return }
            isPaused = false
            for listener in listeners { loop.change(listener, .read) }
        }
    }
}

extension ProxyServer: ControlSocketDelegate {
    func take(_ order: ProxyOrder) {
        for (relay, _) in relays { relay.take(order) }
    }

    func state(of order: ProxyOrder) -> ProxyState {
        var state = ProxyState()
        let now = BootClock.now()
        if case .route(let route) = order {
            state.epoch = route.target.epoch
            state.host = route.target.address.host
            state.port = route.target.address.port
            // Rounded up: 0 only when no new session goes there any more.
            state.validForMilliseconds = max(0, (route.validUntil - now + 999_999) / 1_000_000)
        }
        if order.target(forNewSessionsAt: now) == nil { state.holdReason = order.holdReason(at: now) }
        state.sessions = counters.sessions.load(ordering: .relaxed)
        state.held = counters.held.load(ordering: .relaxed)
        state.accepted = counters.accepted.load(ordering: .relaxed)
        state.refused = counters.refused.load(ordering: .relaxed)
        state.cut = counters.cut.load(ordering: .relaxed)
        for (relay, _) in relays {
            state.bytesToServer += relay.traffic.toServer.load(ordering: .relaxed)
            state.bytesToClient += relay.traffic.toClient.load(ordering: .relaxed)
        }
        return state
    }
}
