import Glibc
import Platform

/// An incoming link that has not said hello.
struct Stranger {
    let link: Link
    /// Without the port: what the limit per address counts.
    let host: String
    let connection: ConnectionID
}

extension PeerNetwork {
    /// Connections that are taken per readiness of a listener; more wait for the next round of the loop.
    private static let acceptsPerTurn = 64
    /// How long a listener rests when the process is out of descriptors or memory, or the port is flooded.
    private static let acceptPause: Duration = .milliseconds(100)

    func startListening() throws(PeerListenError) {
        do {
            for address in try listenAddresses() {
                let listener = try Sockets.listen(on: address)
                listeners.append(listener)
                try watchListener(listener)
            }
        } catch let error as PeerListenError {
            stopListening()
            throw error
        } catch {
            stopListening()
            let code = (error as? SystemError)?.code
            let reason = (error as? SystemError)?.reason ?? "\(error)"
            throw PeerListenError(endpoint: listenOn, reason: reason, isInUse: code == EADDRINUSE)
        }
    }

    func stopListening() {
        for listener in listeners {
            loop.unwatch(listener)
            Glibc.close(listener)
        }
        listeners = []
    }

    private func listenAddresses() throws(PeerListenError) -> [SocketAddress] {
        let port = listenOn.port
        if listenOn.host == "*" {
            let all = ["0.0.0.0", "::"].compactMap { SocketAddress(host: $0, port: port) }
            return all.filter { hasFamily($0) }
        }
        guard let address = SocketAddress(host: listenOn.host, port: port) else {
            let reason = "listen_address must be * or a numeric address"
            throw PeerListenError(endpoint: listenOn, reason: reason, isInUse: false)
        }
        return [address]
    }

    /// Machines without IPv6 (or without IPv4) still have "every address".
    private func hasFamily(_ address: SocketAddress) -> Bool {
        let family = if case .ipv6 = address { AF_INET6 } else { AF_INET }
        let probe = socket(family, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard probe >= 0 else { return false }
        Glibc.close(probe)
        return true
    }

    private func watchListener(_ listener: Int32) throws(SystemError) {
        try loop.watch(listener, .read) { [weak self] _ in self?.acceptAll(listener) }
    }

    private func acceptAll(_ listener: Int32) {
        do {
            for _ in 0..<PeerNetwork.acceptsPerTurn {
                guard !isClosed, let accepted = try Sockets.accept(listener) else { return }
                welcome(accepted.fd, from: accepted.peer)
                guard accepts.admits(limits.acceptsPerSecond, at: BootClock.now()) else {
                    return rest(listener)
                }
            }
        } catch {
            Log.error("cannot take connections of peers for a moment", [("reason", error.reason)])
            rest(listener)
        }
    }

    /// Leaves waiting connections alone for a moment. They keep the listener readable, so that a loop which
    /// watched it would spin.
    private func rest(_ listener: Int32) {
        loop.change(listener, [])
        _ = after(PeerNetwork.acceptPause) { [weak self] in
            guard let self, self.listeners.contains(listener) else { return }
            self.loop.change(listener, .read)
        }
    }

    private func welcome(_ socket: Int32, from address: SocketAddress?) {
        let host = address?.host ?? "?"
        guard mayGreet(host) else {
            Glibc.close(socket)
            return
        }
        makeRoom(for: host)
        lastConnection += 1
        let connection = ConnectionID(lastConnection)
        let link = begin(socket, direction: .incoming(connection), remote: address.map { "\($0)" } ?? host)
        guard let link else { return }
        strangers.append(Stranger(link: link, host: host, connection: connection))
        setGreetingDeadline(of: link)
        link.advance(into: readBuffer)
    }

    /// A flood from anywhere must not use up what peers need to come back: whoever is at an address that
    /// we dial ourselves is counted apart.
    private func mayGreet(_ host: String) -> Bool {
        let now = BootClock.now()
        return isDialled(host)
            ? greetingsOfPeers.admits(limits.greetingsPerSecond, at: now)
            : greetings.admits(limits.greetingsPerSecond, at: now)
    }

    private func isDialled(_ host: String) -> Bool {
        dialers.values.contains { $0.addresses.contains { $0.host == host } }
    }

    /// An honest stranger is done in milliseconds, so the one that has stood there longest is the one to
    /// send away; but before those at addresses of peers any other.
    private func makeRoom(for host: String) {
        let sameHost = strangers.filter { $0.host == host }
        if sameHost.count >= limits.strangersPerAddress {
            sameHost.first?.link.end(.lost("made room for a newer connection from its address"))
        }
        if strangers.count >= limits.strangers {
            let oldest = strangers.first { !isDialled($0.host) } ?? strangers.first
            oldest?.link.end(.lost("made room for a newer connection"))
        }
    }
}
