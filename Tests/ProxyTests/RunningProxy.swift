import Platform
import TestSupport

@testable import Proxy

/// A proxy on a loop of its own, ordered about by the test.
final class RunningProxy {
    let directory: TemporaryDirectory
    let port: UInt16
    private let loop: EventLoop
    private let server: ProxyServer
    private let thread: Thread
    private let orders: Wire

    init(holdSeconds: Double = 20, holdLimit: Int = 1000) throws {
        directory = try TemporaryDirectory("proxy")
        loop = try EventLoop()
        var options = ProxyOptions(runtimeDirectory: directory.path)
        options.listenAddress = "127.0.0.1"
        options.port = 0
        options.holdTime = Int64(holdSeconds * 1e9)
        options.holdLimit = holdLimit
        server = try ProxyServer(options: options, loop: loop)
        port = server.port ?? 0
        let loop = loop
        thread = try Thread.start(name: "proxy") { loop.run() }
        orders = try Wire.connect(path: ProxyServer.socketPath(directory.path))
        try say("hello 1 main")
        _ = try orders.receiveText()
    }

    deinit {
        loop.stop()
        thread.join()
        server.stop()
    }

    func connect() throws -> Wire { try Wire.connect(port: port) }

    func say(_ text: String) throws { try orders.send(Array(text.utf8)) }
    func hear() throws -> String { try orders.receiveText() }

    /// Orders clients to `backend`.
    func route(_ backend: Backend, epoch: UInt64 = 1, forSeconds: Double = 60, cutAfter: Double = 60) throws {
        try route(address: backend.address, epoch: epoch, forSeconds: forSeconds, cutAfter: cutAfter)
    }

    func route(
        address: SocketAddress, epoch: UInt64 = 1, forSeconds: Double = 60, cutAfter: Double = 60
    ) throws {
        let target = ProxyTarget(epoch: epoch, address: address)
        let until = BootClock.now() + Int64(forSeconds * 1e9)
        let route = ProxyRoute(target: target, validUntil: until, cutAfter: Int64(cutAfter * 1e9))
        try say(Message.order(.route(route)).text)
    }

    func state() throws -> ProxyState {
        let asking = try Wire.connect(path: ProxyServer.socketPath(directory.path))
        try asking.send(Array("state".utf8))
        guard case .state(let state) = Message(try asking.receiveText()) else {
            throw Wire.Failure(description: "no state")
        }
        return state
    }
}

/// Packets of a Postgres client.
enum Packet {
    static let sslRequest: [UInt8] = [0, 0, 0, 8, 4, 210, 22, 47]
    static let gssRequest: [UInt8] = [0, 0, 0, 8, 4, 210, 22, 48]
    static let cancel: [UInt8] = [0, 0, 0, 16, 4, 210, 22, 46, 0, 0, 0, 7, 0, 0, 0, 9]

    static func startup(_ parameters: [(String, String)] = [("user", "app")]) -> [UInt8] {
        var body: [UInt8] = [0, 3, 0, 0]
        for (name, value) in parameters { body += Array(name.utf8) + [0] + Array(value.utf8) + [0] }
        body.append(0)
        let length = body.count + 4
        return [0, 0, UInt8(length >> 8), UInt8(length & 0xFF)] + body
    }

    /// The fields of an ErrorResponse; empty when it is none.
    static func error(_ bytes: [UInt8]) -> [Character: String] {
        guard bytes.first == UInt8(ascii: "E"), bytes.count > 5 else { return [:] }
        var fields: [Character: String] = [:]
        for field in bytes[5...].split(separator: 0) {
            let text = String(decoding: field, as: UTF8.self)
            if let code = text.first { fields[code] = String(text.dropFirst()) }
        }
        return fields
    }
}
