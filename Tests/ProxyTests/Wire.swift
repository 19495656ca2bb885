import Glibc
import Platform

/// A socket for tests: every call waits, but never longer than ten seconds. One thread at a time uses it.
final class Wire: @unchecked Sendable {
    struct Failure: Error, CustomStringConvertible { let description: String }
    private static let patience: Int32 = 10_000

    let fd: Int32
    private var isOpen = true

    init(fd: Int32) { self.fd = fd }
    deinit { close() }

    static func connect(host: String = "127.0.0.1", port: UInt16) throws -> Wire {
        guard let address = SocketAddress(host: host, port: port) else {
            throw Failure(description: "address")
        }
        let wire = Wire(fd: try Sockets.connect(to: address))
        try wire.wait(POLLOUT)
        if let error = Sockets.connectionError(wire.fd, to: address) { throw error }
        return wire
    }

    /// Speaks to a proxy's control socket.
    static func connect(path: String) throws -> Wire {
        Wire(fd: try Sockets.connect(to: .unix(path), kind: .packets))
    }

    func send(_ bytes: [UInt8]) throws {
        var rest = bytes[...]
        while !rest.isEmpty {
            switch try Sockets.write(fd, rest) {
            case .bytes(let count): rest = rest.dropFirst(count)
            case .wouldBlock: try wait(POLLOUT)
            case .closed: throw Failure(description: "closed while sending")
            }
        }
    }

    /// As much as goes out until nothing has moved for `quiet` milliseconds.
    func sendUntilBlocked(_ bytes: [UInt8], quiet: Int32) throws -> Int {
        var sent = 0
        while sent < bytes.count {
            switch try Sockets.write(fd, bytes[sent..<min(bytes.count, sent + 1 << 20)]) {
            case .bytes(let count): sent += count
            case .wouldBlock where ready(POLLOUT, within: quiet): continue
            case .wouldBlock: return sent
            case .closed: throw Failure(description: "closed while sending")
            }
        }
        return sent
    }

    /// Exactly `count` bytes.
    func receive(_ count: Int) throws -> [UInt8] {
        var bytes: [UInt8] = []
        while bytes.count < count {
            guard let some = try receiveSome(count - bytes.count) else {
                throw Failure(description: "closed after \(bytes.count) of \(count) bytes")
            }
            bytes += some
        }
        return bytes
    }

    /// All until the other side closes.
    func receiveToEnd() throws -> [UInt8] {
        var bytes: [UInt8] = []
        while let some = try receiveSome(1 << 16) { bytes += some }
        return bytes
    }

    func receiveText() throws -> String { String(decoding: try receiveSome(1 << 16) ?? [], as: UTF8.self) }

    /// True when nothing comes, and nobody closes, for so long.
    func isQuiet(milliseconds: Int32) -> Bool { !ready(POLLIN, within: milliseconds) }

    func shutdownWriting() { Sockets.shutdownWriting(fd) }

    func close() {
        if isOpen { Glibc.close(fd) }
        isOpen = false
    }

    private func receiveSome(_ limit: Int) throws -> [UInt8]? {
        var chunk = [UInt8](repeating: 0, count: limit)
        while true {
            switch try chunk.withUnsafeMutableBytes({ try Sockets.read(fd, into: $0) }) {
            case .bytes(let count): return Array(chunk[..<count])
            case .closed: return nil
            case .wouldBlock: try wait(POLLIN)
            }
        }
    }

    private func wait(_ events: Int32) throws {
        if !ready(events, within: Self.patience) { throw Failure(description: "nothing happened for 10 s") }
    }

    private func ready(_ events: Int32, within milliseconds: Int32) -> Bool {
        var wait = pollfd(fd: fd, events: Int16(events), revents: 0)
        return poll(&wait, 1, milliseconds) > 0
    }
}

/// Plays a Postgres that the test moves by hand.
final class Backend {
    let listener: Int32
    let address: SocketAddress
    private var isOpen = true

    var host: String { address.host }
    var port: UInt16 { address.port ?? 0 }

    init(host: String = "127.0.0.1", port: UInt16 = 0) throws {
        guard let wanted = SocketAddress(host: host, port: port) else {
            throw Wire.Failure(description: "\(host): no address")
        }
        listener = try Sockets.listen(on: wanted)
        address = Sockets.localAddress(listener) ?? wanted
    }

    deinit { close() }

    /// Listens no more.
    func close() {
        if isOpen { Glibc.close(listener) }
        isOpen = false
    }

    func accept() throws -> Wire {
        while true {
            var wait = pollfd(fd: listener, events: Int16(POLLIN), revents: 0)
            if poll(&wait, 1, 10_000) == 0 { throw Wire.Failure(description: "nobody connected for 10 s") }
            if let (fd, _) = try Sockets.accept(listener) { return Wire(fd: fd) }
        }
    }

    /// True when nobody connects for so long.
    func isQuiet(milliseconds: Int32) -> Bool {
        var wait = pollfd(fd: listener, events: Int16(POLLIN), revents: 0)
        return poll(&wait, 1, milliseconds) == 0
    }
}
