internal import FoundationEssentials
internal import Glibc
internal import Platform

/// Asks the local agent, for the command line: waits, with limits.
public struct ControlClient {
    public enum Failure: Error, Equatable, CustomStringConvertible {
        /// Nobody listens.
        case unreachable(String)
        /// This user may not come near the socket.
        case forbidden(String)
        /// The agent said nothing for too long.
        case silent(path: String, seconds: Int64)
        /// The connection ended or made no sense before the exit came.
        case broken(String)

        public var description: String {
            switch self {
            case .unreachable(let why): "the agent is not reachable: \(why)"
            case .forbidden(let why): "not permitted: \(why)"
            case .silent(let path, let seconds): "the agent on \(path) did not answer within \(seconds) s"
            case .broken(let why): "the agent's answer ended early: \(why)"
            }
        }

        public var exitCode: ExitCode {
            switch self {
            case .unreachable, .broken: .unreachable
            case .forbidden: .notPermitted
            case .silent: .tryAgain
            }
        }
    }

    private let path: String

    public init(socketPath: String) { path = socketPath }

    /// Sends a request and hands over the answer piece by piece.
    ///
    /// - Parameters:
    ///   - silence: how long the agent may say nothing, in nanoseconds; nil waits for ever (`--follow`).
    ///   - receive: lines and data as they come.
    /// - Returns: the agent's exit code and its reason.
    public func run(
        _ request: ControlRequest, silence: Int64? = 30_000_000_000, receive: (ControlAnswer) -> Void
    ) throws(Failure) -> (code: Int32, reason: String?) {
        let fd = try connect()
        defer { close(fd) }
        try send(request, fd)
        var buffer: [UInt8] = []
        while true {
            switch ControlFrame.take(from: &buffer, limit: ControlFrame.answerLimit) {
            case .incomplete: try read(fd, into: &buffer, silence)
            case .tooLong(let length): throw Failure.broken("a piece of \(length) bytes")
            case .frame(let frame):
                switch ControlFrame.answer(frame) {
                case .exit(let code, let reason): return (code, reason)
                case .some(let answer): receive(answer)
                case nil:
                    throw Failure.broken("a piece is not understood; are agent and command of one version?")
                }
            }
        }
    }

    private func connect() throws(Failure) -> Int32 {
        do {
            return try Sockets.connect(to: .unix(path))
        } catch {
            let what = "\(error.detail.isEmpty ? path : error.detail): \(error.reason)"
            if error.code == EACCES { throw .forbidden("\(what): this user may not enter the directory") }
            throw .unreachable("\(what): is matriarchd running?")
        }
    }

    private func send(_ request: ControlRequest, _ fd: Int32) throws(Failure) {
        guard let bytes = try? ControlFrame.encode(request) else {
            throw .broken("the request cannot be encoded")
        }
        // It fits the socket's buffer whole, or something is wrong with it.
        guard (try? Sockets.write(fd, bytes)) == .bytes(bytes.count) else {
            throw .unreachable("\(path): the request was not taken")
        }
    }

    private func read(_ fd: Int32, into buffer: inout [UInt8], _ silence: Int64?) throws(Failure) {
        let deadline = silence.map { BootClock.now() + $0 }
        var chunk = [UInt8](repeating: 0, count: 64 * 1024)
        while true {
            switch chunk.withUnsafeMutableBytes({ try? Sockets.read(fd, into: $0) }) {
            case .bytes(let count): return buffer += chunk[..<count]
            case .closed, nil: throw .broken("the connection was closed")
            case .wouldBlock: break
            }
            let left = deadline.map { max(0, ($0 - BootClock.now() + 999_999) / 1_000_000) } ?? -1
            if left == 0 { throw .silent(path: path, seconds: (silence ?? 0) / 1_000_000_000) }
            var wait = pollfd(fd: fd, events: Int16(POLLIN), revents: 0)
            _ = poll(&wait, 1, Int32(clamping: left))
        }
    }
}
