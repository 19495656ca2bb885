internal import Glibc

/// Why the guard gave no answer. Whether the request was carried out is then unknown.
public enum GuardFailure: Error, Hashable, Sendable, CustomStringConvertible {
    /// There is no guard, or it has closed the connection.
    case gone(String)
    /// It did not answer in time: it is stopped or starved. The connection is given up.
    case silent
    /// It said something that this program does not understand.
    case garbled(String)

    public var description: String {
        switch self {
        case .gone(let reason): "the guard is gone: \(reason)"
        case .silent: "the guard does not answer"
        case .garbled(let packet): "the guard said something unknown: \(packet)"
        }
    }
}

/// The guard's program and where its socket is.
public struct GuardProgram: Sendable {
    public let executable: String
    public let runtimeDirectory: String
    public let dataDirectory: String
    public let postgres: String
    /// Where Postgres's own output goes; nil leaves it on the guard's.
    public let logFile: String?

    public init(
        executable: String, runtimeDirectory: String, dataDirectory: String, postgres: String,
        logFile: String? = nil
    ) {
        self.executable = executable
        self.runtimeDirectory = runtimeDirectory
        self.dataDirectory = dataDirectory
        self.postgres = postgres
        self.logFile = logFile
    }

    public var socketPath: String { Self.socketPath(runtimeDirectory: runtimeDirectory) }

    public static func socketPath(runtimeDirectory: String) -> String { "\(runtimeDirectory)/guard.sock" }

    public var arguments: [String] {
        var arguments = [
            "--runtime-directory", runtimeDirectory, "--data-directory", dataDirectory, "--postgres",
            postgres,
        ]
        if let logFile { arguments += ["--log", logFile] }
        return arguments
    }

    /// Starts a guard that outlives us, for where no service manager does; its socket appears a moment later.
    /// When one runs there already, the new one ends at once with exit status 75.
    public func launch(standardError: ChildProcess.Output = .inherit) throws(SystemError) -> ChildProcess {
        try ChildProcess.spawn(
            executable: executable, arguments: arguments, standardOutput: .discard,
            standardError: standardError,
            detached: true)
    }
}

/// One connection to the guard that blocks its caller: for worker threads, tests and tools. Not thread-safe.
public final class GuardClient {
    /// Longer than any packet of the guard.
    static let packetLimit = 4096

    private let fd: Int32
    /// Events that came while an answer was waited for, oldest first.
    private var events: [GuardEvent] = []
    private static let eventLimit = 64

    /// - Parameter session: said as hello when given; without one only `state` can be asked.
    /// - Throws: `GuardFailure`; `.gone` when there is no guard.
    public init(socketPath: String, session: Int64?, timeoutNanoseconds: Int64 = 2_000_000_000) throws {
        do {
            fd = try Sockets.connect(to: .unix(socketPath), kind: .packets)
        } catch {
            throw GuardFailure.gone("\(error)")
        }
        guard let session else { return }
        let answer = try request(.hello(session: session), timeoutNanoseconds: timeoutNanoseconds)
        if case .refused(_, _, let explanation) = answer { throw GuardFailure.gone(explanation) }
    }

    deinit { close(fd) }

    /// Asks and waits for the answer.
    ///
    /// After `.silent` the answer may still come and would be taken for that of the next request: use a new
    /// client.
    public func request(
        _ request: GuardRequest, timeoutNanoseconds: Int64 = 2_000_000_000
    ) throws(GuardFailure) -> GuardAnswer {
        let deadline = BootClock.now() + timeoutNanoseconds
        try Self.send(request, to: fd)
        while true {
            switch try receive(until: deadline) {
            case .answer(let answer): return answer
            case .event(let event):
                events.append(event)
                if events.count > Self.eventLimit { events.removeFirst() }
            case nil: throw .silent
            }
        }
    }

    /// The next event, or nil when none comes in time.
    public func nextEvent(timeoutNanoseconds: Int64) throws(GuardFailure) -> GuardEvent? {
        if !events.isEmpty { return events.removeFirst() }
        let deadline = BootClock.now() + timeoutNanoseconds
        switch try receive(until: deadline) {
        case .event(let event): return event
        case .answer(let answer): throw .garbled("an answer that nobody asked for: \(answer)")
        case nil: return nil
        }
    }

    private func receive(until deadline: Int64) throws(GuardFailure) -> GuardPacket? {
        while true {
            if let packet = try Self.receive(from: fd) { return packet }
            let left = deadline - BootClock.now()
            if left <= 0 { return nil }
            var wait = pollfd(fd: fd, events: Int16(POLLIN), revents: 0)
            _ = poll(&wait, 1, Int32(clamping: left / 1_000_000 + 1))
        }
    }

    static func send(_ request: GuardRequest, to fd: Int32) throws(GuardFailure) {
        do {
            switch try Sockets.write(fd, request.packet) {
            case .bytes: return
            // The guard has not taken what was sent before: the socket holds hundreds of packets.
            case .wouldBlock: throw GuardFailure.silent
            case .closed: throw GuardFailure.gone("it has closed the connection")
            }
        } catch let failure as GuardFailure {
            throw failure
        } catch {
            throw .gone("\(error)")
        }
    }

    /// The next packet if one is there.
    static func receive(from fd: Int32) throws(GuardFailure) -> GuardPacket? {
        var bytes = [UInt8](repeating: 0, count: packetLimit)
        let transfer: Sockets.Transfer
        do {
            transfer = try bytes.withUnsafeMutableBytes { try Sockets.read(fd, into: $0) }
        } catch {
            throw .gone("\(error)")
        }
        switch transfer {
        case .wouldBlock: return nil
        case .closed: throw .gone("it has closed the connection")
        case .bytes(let count):
            if let packet = GuardPacket(bytes[..<count]) { return packet }
            throw .garbled(String(decoding: bytes[..<count], as: UTF8.self))
        }
    }
}

/// One connection to the guard that never blocks: answers, events and the loss of the connection come to
/// handlers on the loop. All methods MUST be called on the loop's thread.
///
/// Answers come in the order of the requests. A request that is not answered in its time fails with
/// `.silent`, and the connection with it, since a late answer could not be told from the next one's.
public final class GuardLink {
    /// Requests that may wait for their answers.
    public static let pendingLimit = 64

    public typealias Completion = (Result<GuardAnswer, GuardFailure>) -> Void

    private struct Pending {
        let timer: TimerID
        let completion: Completion
    }

    private let loop: EventLoop
    private var fd: Int32
    private var pending: [Pending] = []
    private let onEvent: (GuardEvent) -> Void
    private let onClosed: (GuardFailure) -> Void

    /// Connects; send `.hello` first.
    ///
    /// - Parameter onClosed: called once when the connection is lost, after all pending requests have failed;
    ///   not called after `close`.
    public init(
        loop: EventLoop, socketPath: String, onEvent: @escaping (GuardEvent) -> Void,
        onClosed: @escaping (GuardFailure) -> Void
    ) throws(GuardFailure) {
        self.loop = loop
        self.onEvent = onEvent
        self.onClosed = onClosed
        do {
            fd = try Sockets.connect(to: .unix(socketPath), kind: .packets)
        } catch {
            throw .gone("\(error)")
        }
        do {
            try loop.watch(fd, .read) { [weak self] _ in self?.readAll() }
        } catch {
            Glibc.close(fd)
            throw .gone("\(error)")
        }
    }

    deinit {
        guard fd >= 0 else { return }
        loop.unwatch(fd)
        Glibc.close(fd)
    }

    public var isOpen: Bool { fd >= 0 }

    /// The guard's process, as the kernel knows it; nil when the connection is lost.
    public var guardProcess: Int32? {
        guard fd >= 0, let peer = try? Sockets.peerCredentials(fd) else { return nil }
        return peer.pid
    }

    /// Asks; `completion` is called exactly once, on the loop, and never before this returns.
    public func send(
        _ request: GuardRequest, timeoutNanoseconds: Int64, _ completion: @escaping Completion
    ) {
        let timer = loop.at(BootClock.now() + timeoutNanoseconds) { [weak self] in self?.lose(.silent) }
        pending.append(Pending(timer: timer, completion: completion))
        guard fd >= 0 else { return loseSoon(.gone("the connection was lost before")) }
        if pending.count > Self.pendingLimit { return loseSoon(.silent) }
        do {
            try GuardClient.send(request, to: fd)
        } catch {
            loseSoon(error)
        }
    }

    /// Ends the connection on our side; pending requests fail.
    public func close() {
        tearDown(.gone("closed by us"))
    }

    private func readAll() {
        while fd >= 0 {
            do {
                guard let packet = try GuardClient.receive(from: fd) else { return }
                take(packet)
            } catch {
                return lose(error)
            }
        }
    }

    private func take(_ packet: GuardPacket) {
        switch packet {
        case .event(let event): onEvent(event)
        case .answer(let answer):
            if pending.isEmpty { return lose(.garbled("an answer that nobody asked for: \(answer)")) }
            let first = pending.removeFirst()
            loop.cancel(first.timer)
            first.completion(.success(answer))
        }
    }

    private func loseSoon(_ failure: GuardFailure) {
        loop.at(0) { [weak self] in self?.lose(failure) }
    }

    private func lose(_ failure: GuardFailure) {
        let wasOpen = fd >= 0
        tearDown(failure)
        if wasOpen { onClosed(failure) }
    }

    private func tearDown(_ failure: GuardFailure) {
        if fd >= 0 {
            loop.unwatch(fd)
            Glibc.close(fd)
            fd = -1
        }
        let failed = pending
        pending = []
        for request in failed {
            loop.cancel(request.timer)
            request.completion(.failure(failure))
        }
    }
}
