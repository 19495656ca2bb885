import Consensus
import Glibc
import Platform
import Proxy
import Supervision

/// Keeps the proxy running and told. The proxy is a process of its own: sessions outlive this agent.
final class ProxyLink {
    struct Place {
        var runtime: String
        var listenAddress: String
        var port: Int
        var cluster: String
    }

    /// How long a proxy that could not stay is left alone, in nanoseconds: doubled each time, up to the
    /// longest.
    private static let shortestPause: Int64 = 1_000_000_000
    private static let longestPause: Int64 = 30_000_000_000

    private let loop: EventLoop
    private let place: Place
    private let lease: Duration
    private let resolver: Resolver
    private let spawns: Bool
    private var client: ProxyClient?
    private var isLeaving = false
    private var pause = shortestPause
    private var recheck: TimerID?
    private var newest: Route?
    private var addresses: [String: SocketAddress] = [:]

    /// - Parameter spawns: false where a service manager starts the proxy.
    init(loop: EventLoop, place: Place, lease: Duration, spawns: Bool) throws {
        self.loop = loop
        self.place = place
        self.lease = lease
        self.spawns = spawns
        resolver = try Resolver(loop: loop)
    }

    func start() {
        client = ProxyClient(
            loop: loop, runtimeDirectory: place.runtime, session: UInt64(BootClock.now()),
            cluster: place.cluster
        ) { [weak self] report in
            switch report {
            case .connected: self?.connected()
            case .lost(let reason): self?.lost(reason)
            case .refused(let reason): Log.error("the proxy does not follow this agent: \(reason)")
            }
        }
    }

    private func connected() {
        Log.debug("the proxy listens to this agent")
        pause = ProxyLink.shortestPause
        if let recheck { loop.cancel(recheck) }
        recheck = nil
    }

    private func lost(_ reason: String) {
        guard !isLeaving else { return }
        guard spawns else { return Log.warning("no word from the proxy: \(reason)") }
        restartIfGone()
    }

    /// Starts the proxy unless it is there, and looks again later: one that could not stay (its port was
    /// taken) gets another chance.
    private func restartIfGone() {
        guard !isLeaving, recheck == nil, client?.isConnected != true else { return }
        recheck = loop.at(BootClock.now() + pause) { [weak self] in
            self?.recheck = nil
            self?.restartIfGone()
        }
        pause = min(2 * pause, ProxyLink.longestPause)
        do {
            try Companions.start(
                "matriarch-proxy",
                [
                    "--runtime-directory", place.runtime, "--listen-address", place.listenAddress, "--port",
                    String(place.port),
                ])
        } catch { Log.error("the proxy can't be started: \(error)") }
    }

    func route(_ route: Route) {
        newest = route
        switch route {
        case .hold(let reason): client?.send(.hold(reason: reason))
        case .primary(let epoch, let host, let port, let validUntil):
            guard let address = address(host, port) else { return }
            client?.send(
                .route(
                    ProxyRoute(
                        target: ProxyTarget(epoch: epoch, address: address),
                        validUntil: validUntil.nanoseconds,
                        cutAfter: lease.nanoseconds)))
        }
    }

    /// Numeric at once; a name once it is known, and as it was last known.
    private func address(_ host: String, _ port: Int) -> SocketAddress? {
        if let numeric = SocketAddress(host: host, port: UInt16(clamping: port)) { return numeric }
        if let known = addresses[host] { return known.withPort(UInt16(clamping: port)) }
        resolver.resolve(host, port: UInt16(clamping: port)) { [weak self] answer in
            guard let self, let first = answer.addresses.first else { return }
            addresses[host] = first
            if let newest { route(newest) }
        }
        return nil
    }

    /// The node ends: where the agent started the proxy, it ends with it.
    func leave() {
        isLeaving = true
        let process = client?.proxyProcess
        client?.stop()
        if spawns, let process { kill(process, SIGTERM) }
    }

    func ask(_ answer: @escaping (ProxyState?) -> Void) {
        guard let client else { return answer(nil) }
        client.askState(answer)
    }
}
