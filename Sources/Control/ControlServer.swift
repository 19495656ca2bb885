internal import FoundationEssentials
internal import Glibc
public import Platform

/// Names one request while it is answered.
public struct ControlRequestID: Hashable, Sendable {
    let number: UInt64
}

/// Who asks, as the kernel knows it.
public struct ControlCredentials: Hashable, Sendable {
    public let uid: UInt32
    public let gid: UInt32
    public let pid: Int32
}

/// Answers requests, on the loop's thread.
public protocol ControlServerDelegate: AnyObject {
    /// A permitted command of the table, with flags that it knows. MUST be answered by `finish` at some
    /// time, unless the client leaves first.
    func control(
        _ id: ControlRequestID, asks entry: CommandEntry, arguments: [String: String], by: ControlCredentials)
    /// The client of an unfinished request is gone; nothing sent to it counts any more.
    func controlClientLeft(_ id: ControlRequestID)
}

/// The agent's control socket: one request per connection, answered by a stream of lines and values and one
/// exit.
///
/// Root and the agent's own user may do all, others only what the table calls read-only. All methods MUST be
/// called on the loop's thread.
public final class ControlServer {
    /// Connections at a time; more are closed at once.
    public static let clientLimit = 32
    /// Unread answers of one client; a client that does not read is cut off.
    public static let backlogLimit = 8 * 1024 * 1024
    private static let requestTime: Int64 = 5_000_000_000
    private static let lastWordsTime: Int64 = 5_000_000_000
    private static let chunkBytes = 64 * 1024

    private final class Client {
        let fd: Int32
        let credentials: ControlCredentials
        var input: [UInt8] = []
        var output: [UInt8] = []
        /// How much of `output` is sent.
        var sent = 0
        /// Set once the request is with the delegate.
        var isAsked = false
        /// The exit is in `output`; closed when that is sent.
        var isFinished = false
        /// The client sends no more; it may still read.
        var hasClosedInput = false
        var timer: TimerID?

        init(fd: Int32, credentials: ControlCredentials) {
            self.fd = fd
            self.credentials = credentials
        }
    }

    private let loop: EventLoop
    private let path: String
    private let listener: Int32
    private let owner: UInt32
    private unowned let delegate: any ControlServerDelegate
    private var clients: [ControlRequestID: Client] = [:]
    private var nextNumber: UInt64 = 1

    /// The control socket in a runtime directory.
    public static func socketPath(_ runtimeDirectory: String) -> String { runtimeDirectory + "/control.sock" }

    /// Listens, in place of a stale socket: the caller holds the lock of the runtime directory.
    ///
    /// - Parameter owner: the user who may do all, besides root; our own unless a test says otherwise.
    public init(
        path: String, loop: EventLoop, owner: UInt32? = nil, delegate: any ControlServerDelegate
    ) throws(SystemError) {
        self.path = path
        self.loop = loop
        self.owner = owner ?? getuid()
        self.delegate = delegate
        // Everybody may connect: who may do what is decided by the credentials.
        let listener = try Sockets.listen(on: .unix(path), mode: 0o666)
        self.listener = listener
        do {
            try loop.watch(listener, .read) { [unowned self] _ in accept() }
        } catch {
            close(listener)
            throw error
        }
    }

    public func stop() {
        loop.unwatch(listener)
        close(listener)
        unlink(path)
        for id in Array(clients.keys) { drop(id) }
    }

    // MARK: Answering

    /// Sends a line for people.
    public func send(_ id: ControlRequestID, line: String) { put(.line(line), to: id) }

    /// Sends a JSON value, given as its text without a newline.
    public func send(_ id: ControlRequestID, data json: [UInt8]) { put(.data(json), to: id) }

    /// Ends the answer.
    ///
    /// - Parameter reason: for stderr, when the code is not `done`.
    public func finish(_ id: ControlRequestID, _ code: ExitCode, reason: String? = nil) {
        guard let client = clients[id], !client.isFinished else { return }
        put(.exit(code: code.rawValue, reason: reason), to: id)
        client.isFinished = true
        setTimer(client, Self.lastWordsTime) { [unowned self] in drop(id) }
        flush(id)
    }

    private func put(_ answer: ControlAnswer, to id: ControlRequestID) {
        guard let client = clients[id], !client.isFinished else { return }
        client.output += ControlFrame.encode(answer)
        flush(id)
    }

    private func flush(_ id: ControlRequestID) {
        guard let client = clients[id] else { return }
        while client.sent < client.output.count {
            let end = min(client.output.count, client.sent + Self.chunkBytes)
            switch try? Sockets.write(client.fd, client.output[client.sent..<end]) {
            case .bytes(let count): client.sent += count
            case .wouldBlock: return cutOffIfTooFarBehind(id, client)
            case .closed, nil: return leave(id)
            }
        }
        client.output = []
        client.sent = 0
        if client.isFinished { drop(id) } else { wait(client) }
    }

    private func cutOffIfTooFarBehind(_ id: ControlRequestID, _ client: Client) {
        if client.output.count - client.sent <= Self.backlogLimit { return wait(client) }
        Log.warning(
            "a client of the control socket does not read", [("pid", "\(client.credentials.pid)")])
        leave(id)
    }

    private func wait(_ client: Client) {
        var interest: Interest = client.hasClosedInput ? [] : .read
        if !client.output.isEmpty { interest.insert(.write) }
        loop.change(client.fd, interest)
    }

    // MARK: Clients

    private func accept() {
        do {
            guard let (fd, _) = try Sockets.accept(listener) else { return }
            do throws(SystemError) {
                try admit(fd)
            } catch {
                close(fd)
                throw error
            }
        } catch {
            Log.warning("a connection to the control socket failed", [("error", "\(error)")])
        }
    }

    private func admit(_ fd: Int32) throws(SystemError) {
        let peer = try Sockets.peerCredentials(fd)
        let credentials = ControlCredentials(uid: peer.uid, gid: peer.gid, pid: peer.pid)
        let client = Client(fd: fd, credentials: credentials)
        let id = ControlRequestID(number: nextNumber)
        nextNumber += 1
        try loop.watch(fd, .read) { [unowned self] ready in serve(id, ready) }
        clients[id] = client
        if clients.count > Self.clientLimit {
            return finish(id, .tryAgain, reason: "the agent has \(Self.clientLimit) clients already")
        }
        setTimer(client, Self.requestTime) { [unowned self] in
            finish(id, .usage, reason: "no whole request came within \(Self.requestTime / 1_000_000_000) s")
        }
    }

    private func serve(_ id: ControlRequestID, _ ready: Readiness) {
        guard let client = clients[id] else { return }
        if ready.contains(.hangup), client.hasClosedInput { return leave(id) }
        if ready.contains(.read), !client.hasClosedInput { read(id, client, ready) }
        if ready.contains(.write) { flush(id) }
    }

    private func read(_ id: ControlRequestID, _ client: Client, _ ready: Readiness) {
        var chunk = [UInt8](repeating: 0, count: 4096)
        switch chunk.withUnsafeMutableBytes({ try? Sockets.read(client.fd, into: $0) }) {
        case .wouldBlock: return
        case .closed where client.isAsked && !ready.contains(.hangup):
            client.hasClosedInput = true
            wait(client)
        case .closed, nil: leave(id)
        case .bytes where client.isAsked: return  // One request is all; more is not read into memory.
        case .bytes(let count):
            client.input += chunk[..<count]
            take(id, client)
        }
    }

    private func take(_ id: ControlRequestID, _ client: Client) {
        switch ControlFrame.take(from: &client.input, limit: ControlFrame.requestLimit) {
        case .incomplete: return
        case .tooLong(let length):
            let rule = "at most \(ControlFrame.requestLimit) bytes"
            finish(id, .usage, reason: "a request of \(length) bytes: must be \(rule)")
        case .frame(let frame):
            client.input = []
            guard let request = ControlFrame.request(frame) else {
                return finish(id, .usage, reason: "the request is not understood")
            }
            ask(id, client, request)
        }
    }

    private func ask(_ id: ControlRequestID, _ client: Client, _ request: ControlRequest) {
        guard let entry = CommandTable.entry(request.command), entry.place != .program else {
            return finish(id, .usage, reason: "\(request.command): the agent has no such command")
        }
        if let flag = request.arguments.keys.sorted().first(where: { !entry.takes($0) }) {
            return finish(id, .usage, reason: "--\(flag): '\(entry.name)' has no such flag")
        }
        let uid = client.credentials.uid
        guard entry.isReadOnly || uid == 0 || uid == owner else {
            let text = "'\(entry.name)' is for root and the agent's user (uid \(owner)), not for uid \(uid)"
            Log.warning("a command is refused: \(text)")
            return finish(id, .notPermitted, reason: text)
        }
        client.isAsked = true
        setTimer(client, nil) {}
        delegate.control(id, asks: entry, arguments: request.arguments, by: client.credentials)
    }

    /// The client went away.
    private func leave(_ id: ControlRequestID) {
        let wasOpen = clients[id].map { $0.isAsked && !$0.isFinished } ?? false
        drop(id)
        if wasOpen { delegate.controlClientLeft(id) }
    }

    private func drop(_ id: ControlRequestID) {
        guard let client = clients.removeValue(forKey: id) else { return }
        setTimer(client, nil) {}
        loop.unwatch(client.fd)
        close(client.fd)
    }

    private func setTimer(_ client: Client, _ after: Int64?, _ expired: @escaping () -> Void) {
        if let timer = client.timer { loop.cancel(timer) }
        client.timer = after.map { loop.at(BootClock.now() + $0, expired) }
    }
}
