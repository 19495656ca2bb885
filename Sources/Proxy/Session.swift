internal import Glibc
internal import Platform
internal import Synchronization

/// A descriptor and what the loop waits for on it.
struct Endpoint {
    let fd: Int32
    /// Nothing waited for means not watched at all: a closed peer would otherwise be reported without end.
    var interest: Interest = []
}

/// One client's connection, from accept to close: startup, waiting for a primary, then relaying.
///
/// Until the server has answered anything, the client's bytes stay in `received`, so that a lost server or a
/// new primary only means to begin again with another server; the client does not notice.
final class Session {
    enum Stage: Equatable {
        /// The client's next packet is not complete. After a refused encryption a server may be connected
        /// already.
        case startup
        /// There is a packet to send and no server to send it to.
        case waiting
        case connecting
        /// The server has a request for encryption, its one byte of answer is awaited.
        case negotiating
        case relaying
        /// The client will be turned away once it asks without encryption, so that it understands the answer.
        case refusing(Refusal)
        /// The client has been told; what it still sends is thrown away until it closes.
        case leaving
    }

    let id: UInt64
    unowned let relay: Relay
    var client: Endpoint
    var server: Endpoint?
    var stage = Stage.startup
    /// Where `server` leads.
    var target: ProxyTarget?
    /// Bytes of the client that no server has answered.
    var received: [UInt8] = []
    var packet = StartupPacket.Kind.session
    var toServer = Pipe()
    var toClient = Pipe()
    private var timer: TimerID?
    /// Set when the client first had to wait.
    private var holdUntil: Int64?

    var isWaiting: Bool { stage == .waiting }

    init(id: UInt64, client: Int32, relay: Relay) {
        self.id = id
        self.client = Endpoint(fd: client)
        self.relay = relay
    }

    func start() {
        setTimer(BootClock.now() + Limit.startup) { $0.end() }
        wantClient(.read)
    }

    /// Closes both sides.
    func end() {
        setTimer(nil)
        wantClient([])
        close(client.fd)
        closeServer()
        release()
        relay.forget(self)
    }

    // MARK: Orders

    /// The target is no longer the primary.
    ///
    /// - Returns: true when the session was cut, false when it can wait for the next primary.
    func leaveTarget() -> Bool {
        switch stage {
        case .relaying:
            relay.counters.cut.add(1, ordering: .relaxed)
            end()
            return true
        case .connecting, .negotiating:
            closeServer()
            hold()
            return false
        case .startup, .waiting, .refusing, .leaving:
            closeServer()
            return false
        }
    }

    // MARK: The client

    private func clientReady(_ ready: Readiness) {
        switch stage {
        case .relaying: relayClient(ready)
        case .leaving: discard()
        case .startup, .waiting, .connecting, .negotiating, .refusing: readHandshake()
        }
    }

    private func readHandshake() {
        let room = UnsafeMutableRawBufferPointer(
            rebasing: relay.buffer[..<(Limit.handshakeBytes - received.count)])
        switch try? Sockets.read(client.fd, into: room) {
        case .bytes(let count): received += room[..<count]
        case .wouldBlock: return
        case .closed, nil: return end()
        }
        if received.count >= Limit.handshakeBytes { wantClient([]) }
        examine()
    }

    private func examine() {
        switch stage {
        case .startup: examineStartup()
        case .refusing(let refusal): answer(refusal)
        case .waiting, .connecting, .negotiating, .relaying, .leaving: break
        }
    }

    private func examineStartup() {
        switch StartupPacket.parse(received) {
        case .incomplete: return
        case .invalid(let why): refuse(.protocolViolation(why))
        case .packet(let packet):
            self.packet = packet.kind
            if packet.kind == .replication { return refuse(.replication) }
            if server != nil { return serverConnected() }
            stage = .waiting
            tryConnect()
        }
    }

    // MARK: Waiting

    /// Goes to the primary if there is one, else waits.
    ///
    /// - Parameter asProbe: tries although the last attempt of another session failed.
    func tryConnect(asProbe: Bool = false) {
        guard isWaiting else { return }
        let now = BootClock.now()
        guard let target = relay.order.target(forNewSessionsAt: now), asProbe || !relay.isFailing else {
            return hold()
        }
        do {
            let fd = try Sockets.connect(to: target.address)
            server = Endpoint(fd: fd)
            self.target = target
            try Sockets.setKeepalive(fd, seconds: Limit.keepaliveSeconds)
        } catch {
            return connectFailed(error)
        }
        stage = .connecting
        setTimer(min(now + Limit.connect, holdUntil ?? .max)) { session in
            let text = "\(target.address): no answer within \(Limit.connect / 1_000_000_000) s"
            session.connectFailed(SystemError(call: "connect", code: ETIMEDOUT, detail: text))
        }
        wantServer(.write)
    }

    private func connectFailed(_ error: SystemError) {
        closeServer()
        // First, so that the retry finds this session waiting.
        hold()
        relay.connectFailed(error)
    }

    private func hold() {
        if packet == .cancel { return end() }
        if holdUntil == nil {
            let limit = relay.options.holdLimit
            if relay.counters.held.add(1, ordering: .relaxed).newValue > limit {
                relay.counters.held.subtract(1, ordering: .relaxed)
                return refuse(.noPrimary("\(limit) clients wait for it already"))
            }
            holdUntil = BootClock.now() + relay.options.holdTime
        }
        stage = .waiting
        relay.enqueue(self)
        setTimer(holdUntil) { session in
            session.refuse(.noPrimary(session.relay.order.holdReason(at: BootClock.now())))
        }
    }

    /// Is no longer counted as held.
    private func release() {
        if holdUntil == nil { return }
        holdUntil = nil
        relay.counters.held.subtract(1, ordering: .relaxed)
    }

    // MARK: The server

    private func serverReady(_ ready: Readiness) {
        switch stage {
        case .connecting:
            guard let server else { return }
            if let error = Sockets.connectionError(server.fd, to: target?.address) {
                return connectFailed(error)
            }
            relay.connectSucceeded()
            serverConnected()
        case .negotiating: readEncryptionAnswer()
        case .relaying: relayServer(ready)
        // A server that speaks or closes before it was asked has nothing for the client.
        case .startup: closeServer()
        case .waiting, .refusing, .leaving: break
        }
    }

    /// Passes on what the client sent; a request for encryption alone, since its answer decides how to go on.
    private func serverConnected() {
        guard packet == .encryptionRequest, let server else { return startRelaying() }
        guard (try? Sockets.write(server.fd, received.prefix(8))) == .bytes(8) else { return serverLost() }
        stage = .negotiating
        setTimer(BootClock.now() + Limit.connect) { $0.serverLost() }
        wantServer(.read)
    }

    private func readEncryptionAnswer() {
        guard let server else { return }
        let room = UnsafeMutableRawBufferPointer(rebasing: relay.buffer[..<1])
        switch try? Sockets.read(server.fd, into: room) {
        case .bytes: answered(room[0])
        case .wouldBlock: return
        case .closed, nil: serverLost()
        }
    }

    private func answered(_ byte: UInt8) {
        received.removeFirst(8)
        guard (try? Sockets.write(client.fd, [byte])) == .bytes(1) else { return end() }
        // Encrypted, or an error in words: either way what follows is between the two of them.
        if byte != UInt8(ascii: "N") { return startRelaying() }
        release()
        stage = .startup
        setTimer(BootClock.now() + Limit.startup) { $0.end() }
        wantClient(.read)
        examine()
    }

    private func serverLost() {
        connectFailed(
            SystemError(call: "read", code: ECONNRESET, detail: target.map { "\($0.address)" } ?? ""))
    }

    private func startRelaying() {
        release()
        setTimer(nil)
        stage = .relaying
        toServer.pending = received
        received = []
        relayServer(.write)
    }

    func closeServer() {
        guard let server else { return }
        wantServer([])
        close(server.fd)
        self.server = nil
        target = nil
    }

    // MARK: Turning away

    private func refuse(_ refusal: Refusal) {
        release()
        closeServer()
        relay.refused(refusal)
        stage = .refusing(refusal)
        setTimer(BootClock.now() + Limit.refusing) { $0.end() }
        answer(refusal)
    }

    /// Refuses encryption as often as it is asked for, then says why.
    private func answer(_ refusal: Refusal) {
        while true {
            switch StartupPacket.parse(received) {
            case .incomplete: return wantClient(.read)
            case .packet(let packet) where packet.kind == .encryptionRequest:
                received.removeFirst(packet.length)
                guard (try? Sockets.write(client.fd, [UInt8(ascii: "N")])) == .bytes(1) else { return end() }
            case .packet(let packet) where packet.kind == .tls || packet.kind == .cancel: return end()
            case .packet, .invalid: return tell(refusal)
            }
        }
    }

    private func tell(_ refusal: Refusal) {
        // A socket that has carried nothing yet has room for a sentence.
        guard (try? Sockets.write(client.fd, refusal.bytes)) == .bytes(refusal.bytes.count) else {
            return end()
        }
        Sockets.shutdownWriting(client.fd)
        received = []
        stage = .leaving
        setTimer(BootClock.now() + Limit.leaving) { $0.end() }
        wantClient(.read)
    }

    private func discard() {
        switch try? Sockets.read(client.fd, into: relay.buffer) {
        case .bytes, .wouldBlock: return
        case .closed, nil: end()
        }
    }

    // MARK: The loop

    func wantClient(_ interest: Interest) {
        if !relay.watch(&client, interest, { [unowned self] ready in clientReady(ready) }) { endSoon() }
    }

    func wantServer(_ interest: Interest) {
        guard var endpoint = server else { return }
        if !relay.watch(&endpoint, interest, { [unowned self] ready in serverReady(ready) }) { endSoon() }
        server = endpoint
    }

    /// Ends from the loop: a caller that is in the middle of something must not find its descriptors closed.
    private func endSoon() { setTimer(0) { $0.end() } }

    /// Replaces the session's one timer.
    private func setTimer(_ time: Int64?, _ expired: @escaping (Session) -> Void = { _ in }) {
        if let timer { relay.loop.cancel(timer) }
        timer = time.map { time in
            relay.loop.at(time) { [unowned self] in
                timer = nil
                expired(self)
            }
        }
    }
}
