import Consensus
import Glibc
import Peers
import Platform
import Testing

/// One loop for all agents of a test, run by the test itself: nothing happens while the test looks.
final class Stage {
    let loop: EventLoop

    init() throws { loop = try EventLoop() }

    /// Runs the loop until `condition` holds.
    @discardableResult
    func runUntil(
        _ what: String, within deadline: Duration = .seconds(20),
        sourceLocation: SourceLocation = #_sourceLocation,
        _ condition: @escaping () -> Bool
    ) -> Bool {
        let end = BootClock.now() + deadline.nanoseconds
        var holds = false
        func look() {
            holds = condition()
            if holds || BootClock.now() >= end { return loop.stop() }
            loop.at(BootClock.now() + 1_000_000, look)
        }
        look()
        loop.run()
        if !holds {
            Issue.record("did not happen within \(deadline): \(what)", sourceLocation: sourceLocation)
        }
        return holds
    }

    /// Runs the loop for a while, for tests that expect something not to happen.
    func run(for time: Duration) {
        let end = BootClock.now() + time.nanoseconds
        runUntil("time passes", within: time + .seconds(5)) { BootClock.now() >= end }
    }
}

/// One agent's links, and all that they told.
final class Station: PeerNetworkDelegate {
    let network: PeerNetwork
    let name: String
    let port: UInt16
    private(set) var received: [(frame: [UInt8], peer: PeerIdentity, via: Via)] = []
    private(set) var connected: [PeerIdentity] = []
    private(set) var disconnected: [PeerIdentity] = []
    private(set) var refused: [RefusalReason] = []
    /// Those that people would hear of.
    private(set) var toldRefusals = 0
    /// Called for each request; an answer is sent back.
    var answers: (([UInt8]) -> [UInt8]?)?
    var onAnswer: (() -> Void)?

    init(
        _ stage: Stage, _ name: String, secret: ClusterSecret, cluster: String = "main",
        instance: String? = nil,
        nonce: UInt64 = .random(in: 1...(.max)), versions: ClosedRange<UInt8> = 1...1,
        host: String = "127.0.0.1",
        port: UInt16 = 0, limits: PeerLimits = PeerLimits()
    ) throws {
        self.name = name
        let identity = LocalIdentity(
            clusterName: cluster, nodeName: name, instance: instance ?? "instance of \(name)", nonce: nonce,
            agentVersion: "0.1.0", advertised: nil, versions: versions)
        network = try PeerNetwork(
            loop: stage.loop, identity: identity, secret: secret, listen: Endpoint(host: host, port: port),
            limits: limits)
        try network.start()
        self.port = try #require(network.listeningPort)
        network.delegate = self
    }

    deinit { network.close() }

    func target(name: String? = nil, host: String = "127.0.0.1") -> PeerTarget {
        PeerTarget(name: name, host: host, port: port)
    }

    func reaches(_ name: String) -> Bool { network.reachable.contains { $0.name == name } }

    func requests(from name: String) -> [[UInt8]] {
        received.filter { if case .incoming = $0.via { $0.peer.name == name } else { false } }.map(\.frame)
    }

    func answersSeen(from name: String) -> [[UInt8]] {
        received.filter { if case .outgoing = $0.via { $0.peer.name == name } else { false } }.map(\.frame)
    }

    func received(_ frame: [UInt8], from peer: PeerIdentity, via: Via) {
        received.append((frame, peer, via))
        if case .incoming(let connection) = via, let answer = answers?(frame) {
            network.answer(answer, on: connection)
        }
        if case .outgoing = via { onAnswer?() }
    }

    func connected(_ peer: PeerIdentity, via: Via) { if case .outgoing = via { connected.append(peer) } }
    func disconnected(_ peer: PeerIdentity, via: Via) {
        if case .outgoing = via { disconnected.append(peer) }
    }
    func refused(_ reason: RefusalReason, address: String, heldBack: UInt64?) {
        refused.append(reason)
        if heldBack != nil { toldRefusals += 1 }
    }
}
