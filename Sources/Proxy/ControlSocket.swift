internal import Glibc
internal import Platform

protocol ControlSocketDelegate: AnyObject {
    /// A new order counts.
    func take(_ order: ProxyOrder)
    func state(of order: ProxyOrder) -> ProxyState
}

/// Where agents give their orders: a unix socket with one line per packet, for our own user and root.
///
/// One agent's orders count, that of the newest session; anybody else there may only ask for the state.
final class ControlSocket {
    private let listener: Int32
    private let path: String
    private let loop: EventLoop
    private unowned let delegate: any ControlSocketDelegate
    private var book = OrderBook()
    private var connections: Set<Int32> = []
    /// The connection whose orders count.
    private var agent: Int32?

    init(path: String, loop: EventLoop, delegate: any ControlSocketDelegate) throws(SystemError) {
        self.path = path
        self.loop = loop
        self.delegate = delegate
        let listener = try Sockets.listen(on: .unix(path), kind: .packets)
        self.listener = listener
        do {
            try loop.watch(listener, .read) { [unowned self] _ in accept() }
        } catch {
            close(listener)
            throw error
        }
    }

    func stop() {
        loop.unwatch(listener)
        close(listener)
        unlink(path)
        for connection in connections { drop(connection) }
    }

    private func accept() {
        do {
            guard let (fd, _) = try Sockets.accept(listener) else { return }
            try admit(fd)
        } catch {
            Log.warning("a connection to the control socket failed", [("error", "\(error)")])
        }
    }

    private func admit(_ fd: Int32) throws(SystemError) {
        do throws(SystemError) {
            let peer = try Sockets.peerCredentials(fd)
            if peer.uid != 0, peer.uid != getuid() {
                Log.warning(
                    "an order from another user is refused", [("uid", "\(peer.uid)"), ("pid", "\(peer.pid)")])
                send(.refused("only the user of the proxy and root may speak here"), to: fd)
                close(fd)
                return
            }
            if connections.count >= Limit.controlConnections {
                send(.refused("\(Limit.controlConnections) connections are open already"), to: fd)
                close(fd)
                return
            }
            try loop.watch(fd, .read) { [unowned self] _ in receive(from: fd) }
            connections.insert(fd)
        } catch {
            close(fd)
            throw error
        }
    }

    private func drop(_ fd: Int32) {
        loop.unwatch(fd)
        close(fd)
        connections.remove(fd)
        if agent == fd { agent = nil }
    }

    private func receive(from fd: Int32) {
        var packet = [UInt8](repeating: 0, count: Message.limit + 1)
        let transfer = packet.withUnsafeMutableBytes { try? Sockets.read(fd, into: $0) }
        switch transfer {
        case .wouldBlock: return
        case .closed, nil: drop(fd)
        case .bytes(let count):
            let text = String(decoding: packet[..<count], as: UTF8.self)
            guard count <= Message.limit, let message = Message(text) else {
                return send(.refused("not understood: \(Message.shortened(text))"), to: fd)
            }
            take(message, from: fd)
        }
    }

    private func take(_ message: Message, from fd: Int32) {
        switch message {
        case .askState: send(.state(delegate.state(of: book.order)), to: fd)
        case .hello(let session, let cluster): welcome(fd, session, cluster)
        case .order(let order) where fd == agent: take(order, from: fd)
        case .order: send(.refused("another agent gives the orders, or none has said hello"), to: fd)
        case .welcome, .refused, .ignored, .state: send(.refused("an answer was not asked for"), to: fd)
        }
    }

    private func welcome(_ fd: Int32, _ session: UInt64, _ cluster: String) {
        let before = book.order
        guard book.welcome(session: session, cluster: cluster) else {
            return send(.refused("a newer agent has spoken"), to: fd)
        }
        if let agent, agent != fd { drop(agent) }
        agent = fd
        if book.order != before { delegate.take(book.order) }
        send(.welcome, to: fd)
        Log.notice("an agent gives the orders", [("session", "\(session)"), ("cluster", cluster)])
    }

    private func take(_ order: ProxyOrder, from fd: Int32) {
        let before = book.order
        switch book.take(order) {
        case .stale(let highest):
            Log.warning(
                "an old epoch is ignored", [("epoch", "\(order.target?.epoch ?? 0)"), ("seen", "\(highest)")])
            send(.ignored("epoch \(highest) was seen"), to: fd)
        case .accepted:
            if before.target != order.target { Self.log(order) }
            delegate.take(order)
        }
    }

    private static func log(_ order: ProxyOrder) {
        switch order {
        case .route(let route):
            let fields = [("epoch", "\(route.target.epoch)"), ("primary", "\(route.target.address)")]
            Log.notice("clients go to the primary", fields)
        case .hold(let reason): Log.notice("clients are held", [("reason", reason)])
        }
    }

    /// An answer that does not fit is dropped: a peer that does not read does not need it.
    private func send(_ message: Message, to fd: Int32) {
        _ = try? Sockets.write(fd, message.text.utf8)
    }
}
