internal import Glibc
internal import Platform
internal import Synchronization

/// A crowd that knocks at peer ports with everything but a secret: silence, other protocols, the beginning of
/// TLS, and byte after byte as slowly as can be.
public final class Junk: Sendable {
    /// Held open at a time; the oldest makes room.
    private static let mostOpen = 1000
    /// Connections of one turn, and how long a turn is.
    private static let perTurn = 50
    private static let turn: Duration = .milliseconds(10)

    private static let words: [[UInt8]] = [
        [], Array("GET / HTTP/1.1\r\nHost: x\r\n\r\n".utf8), Array("SSH-2.0-OpenSSH_9.2\r\n".utf8),
        [22, 3, 1, 0, 200, 1, 0, 0, 196, 3, 3], [UInt8](repeating: 0, count: 400), [0, 0, 0, 8, 3, 0, 0, 0],
    ]

    private struct Connection {
        var socket: Int32
        var words: [UInt8]
        var said = 0
        var isTaken = false
    }

    private let targets: [SocketAddress]
    private let taken = Atomic<Int>(0)
    private let isOver = Atomic<Bool>(false)
    private let thread = Mutex<Thread?>(nil)

    /// At the peer ports of these nodes, from our own addresses.
    public init(at nodes: [HerdNode]) {
        targets = nodes.compactMap { SocketAddress(host: $0.eyeAddress, port: 5501) }
    }

    /// Connections that the other side's kernel has taken.
    public var count: Int { taken.load(ordering: .relaxed) }

    public func start() throws {
        let started = try Thread.start(name: "junk") { self.run() }
        thread.withLock { $0 = started }
    }

    /// Closes everything; nothing is open when this returns.
    public func stop() {
        isOver.store(true, ordering: .relaxed)
        thread.withLock { $0.take() }?.join()
    }

    private func run() {
        var open: [Connection] = []
        var made = 0
        while !isOver.load(ordering: .relaxed) {
            for _ in 0..<Junk.perTurn {
                let target = targets[made % targets.count]
                made += 1
                // Out of descriptors or ports for a moment: those that are open go on.
                guard let socket = try? Sockets.connect(to: target) else { break }
                open.append(Connection(socket: socket, words: Junk.words[made % Junk.words.count]))
            }
            for index in open.indices { speak(&open[index]) }
            let surplus = max(0, open.count - Junk.mostOpen)
            open.prefix(surplus).forEach { close($0.socket) }
            open.removeFirst(surplus)
            pause(Junk.turn)
        }
        open.forEach { close($0.socket) }
    }

    /// Every second one says all it has, the others a byte a turn.
    private func speak(_ connection: inout Connection) {
        if !connection.isTaken, connection.socket.isConnected {
            connection.isTaken = true
            taken.add(1, ordering: .relaxed)
        }
        let left = connection.words.dropFirst(connection.said)
        guard connection.isTaken, !left.isEmpty else { return }
        let piece = connection.socket.isMultiple(of: 2) ? left : left.prefix(1)
        // Who was sent away has nothing more to say.
        if case .bytes(let count)? = try? Sockets.write(connection.socket, piece) { connection.said += count }
    }
}

extension Int32 {
    /// Whether a socket that was told to connect has done so.
    fileprivate var isConnected: Bool {
        var entry = pollfd(fd: self, events: Int16(POLLOUT), revents: 0)
        return poll(&entry, 1, 0) == 1 && entry.revents & Int16(POLLOUT) != 0
            && Sockets.peerAddress(self) != nil
    }
}
