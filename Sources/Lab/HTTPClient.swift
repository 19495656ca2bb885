internal import Glibc
internal import Platform

/// The smallest HTTP client that can ask a node how it is; every request is a new connection with one limit.
public enum HTTPClient {
    public struct Answer: Sendable {
        public var status: Int
        public var body: String
    }

    /// More than the largest report of any herd here.
    private static let mostBytes = 1 << 20

    /// - Throws: when there is no answer within the limit.
    public static func get(
        _ path: String, from address: String, port: UInt16, within limit: Duration = .seconds(1)
    ) throws -> Answer {
        guard let target = SocketAddress(host: address, port: port) else {
            throw LabError("'\(address)' is no numeric address")
        }
        let deadline = Moment.current + limit
        let fd = try Sockets.connect(to: target)
        defer { close(fd) }
        try wait(fd, POLLOUT, until: deadline, target)
        if let error = Sockets.connectionError(fd, to: target) { throw error }
        let request = "GET \(path) HTTP/1.1\r\nHost: \(address)\r\nConnection: close\r\n\r\n"
        _ = try Sockets.write(fd, Array(request.utf8))
        return try parse(try readAll(fd, until: deadline, target), target)
    }

    private static func readAll(
        _ fd: Int32, until deadline: Moment, _ target: SocketAddress
    ) throws -> [UInt8] {
        var received: [UInt8] = []
        var piece = [UInt8](repeating: 0, count: 16 * 1024)
        while received.count < mostBytes {
            try wait(fd, POLLIN, until: deadline, target)
            switch try piece.withUnsafeMutableBytes({ try Sockets.read(fd, into: $0) }) {
            case .bytes(let count): received.append(contentsOf: piece[..<count])
            case .wouldBlock: continue
            case .closed: return received
            }
        }
        throw LabError("\(target) answers with more than \(mostBytes) bytes")
    }

    private static func wait(
        _ fd: Int32, _ events: Int32, until deadline: Moment, _ target: SocketAddress
    ) throws {
        var polled = pollfd(fd: fd, events: Int16(events), revents: 0)
        let count = poll(&polled, 1, (deadline - Moment.current).pollMilliseconds)
        if count == 0 { throw LabError("no answer from \(target) in time") }
    }

    private static func parse(_ bytes: [UInt8], _ target: SocketAddress) throws -> Answer {
        let text = String(decoding: bytes, as: UTF8.self)
        let words = text.split(separator: " ", maxSplits: 2)
        guard words.count > 1, words[0].hasPrefix("HTTP/1."), let status = Int(words[1]),
            let end = bytes.firstRange(of: [13, 10, 13, 10])
        else { throw LabError("\(target) does not answer in HTTP: \(text.prefix(80))") }
        return Answer(status: status, body: String(decoding: bytes[end.upperBound...], as: UTF8.self))
    }
}
