import Glibc
import Platform
import Supervision
import TestSupport

@testable import HTTP

/// A server on loopback that answers from a report which the test may change.
final class ServedReport: Sendable {
    let published: Published<HTTPReport>
    let port: UInt16
    private let server: Kept

    /// `@unchecked Sendable`: only kept, and stopped by its own deinit.
    private final class Kept: @unchecked Sendable {
        let server: HTTPServer
        init(_ server: HTTPServer) { self.server = server }
    }

    init(_ report: HTTPReport) throws {
        let published = Published(report)
        self.published = published
        let server = try HTTPServer(listen: "127.0.0.1", port: 0) { published.value }
        port = server.port
        self.server = Kept(server)
    }

    /// What curl makes of it: status and body.
    func curl(_ path: String, _ arguments: [String] = []) throws -> (status: Int, body: String) {
        let result = try ChildProcess.run(
            "/usr/bin/curl",
            ["-s", "-m", "10", "-w", "\n%{http_code}"] + arguments + ["http://127.0.0.1:\(port)\(path)"],
            until: BootClock.now() + 20_000_000_000, captureLimit: 4 << 20)
        let lines = result.output.split(separator: "\n", omittingEmptySubsequences: false)
        return (Int(lines.last ?? "") ?? 0, lines.dropLast().joined(separator: "\n"))
    }

    func connect() throws -> RawClient { try RawClient(port: port) }
}

/// A client that says exactly what the test wants.
final class RawClient {
    struct Failure: Error, CustomStringConvertible { let description: String }
    let fd: Int32

    init(port: UInt16) throws {
        guard let address = SocketAddress(host: "127.0.0.1", port: port) else {
            throw Failure(description: "address")
        }
        fd = try Sockets.connect(to: address)
        try wait(POLLOUT)
    }

    deinit { close(fd) }

    /// - Returns: false when the server has closed.
    @discardableResult
    func send(_ text: String) throws -> Bool {
        var rest = Array(text.utf8)[...]
        while !rest.isEmpty {
            switch try Sockets.write(fd, rest) {
            case .bytes(let count): rest = rest.dropFirst(count)
            case .wouldBlock: try wait(POLLOUT)
            case .closed: return false
            }
        }
        return true
    }

    /// What comes until the answer's headers are whole, or the server closes.
    func receiveHead() throws -> String {
        var text = ""
        while !text.contains("\r\n\r\n"), let more = try receive() { text += more }
        return text
    }

    func receiveToEnd() throws -> String {
        var text = ""
        while let more = try receive() { text += more }
        return text
    }

    private func receive() throws -> String? {
        var chunk = [UInt8](repeating: 0, count: 4096)
        while true {
            switch try chunk.withUnsafeMutableBytes({ try Sockets.read(fd, into: $0) }) {
            case .bytes(let count): return String(decoding: chunk[..<count], as: UTF8.self)
            case .closed: return nil
            case .wouldBlock: try wait(POLLIN)
            }
        }
    }

    private func wait(_ events: Int32) throws {
        var wait = pollfd(fd: fd, events: Int16(events), revents: 0)
        if poll(&wait, 1, 20_000) == 0 { throw Failure(description: "nothing happened for 20 s") }
    }
}

extension HTTPReport {
    /// A report as a healthy node publishes it, good for a minute.
    static func healthy(_ role: MemberRole) -> HTTPReport {
        var report = HTTPReport(status: StatusReport(cluster: "main", node: "pg1"))
        let soon = BootClock.now() + 60_000_000_000
        report.validUntil = soon
        report.role = role
        report.state = .started
        report.isRunning = role != .witness
        switch role {
        case .primary:
            report.writableUntil = soon
            report.status.writable = true
            report.statusWritableUntil = soon
        case .replica:
            report.replicationState = "streaming"
            report.lagBytes = 1000
        case .witness, .none: break
        }
        return report
    }
}
