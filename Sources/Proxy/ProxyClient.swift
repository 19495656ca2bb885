internal import Glibc
public import Platform

/// The agent's side of the proxy's control socket: keeps the proxy told, whichever of the two is restarted.
///
/// Never waits. Only the newest order is kept; it is sent again after every reconnection, since a proxy that
/// was restarted knows nothing. All methods MUST be called on the loop's thread.
public final class ProxyClient {
    private static let reconnectAfter: Int64 = 200_000_000
    /// Questions for the state that may wait for their answer.
    private static let questionLimit = 16

    /// What became of the connection, for events and status.
    public enum Report: Equatable, Sendable {
        case connected
        case lost(String)
        /// The proxy does not follow: it hears a newer agent, or has seen a higher epoch.
        case refused(String)
    }

    private let loop: EventLoop
    private let path: String
    private let greeting: Message
    private let report: (Report) -> Void
    private var socket: Int32?
    private var timer: TimerID?
    private var order: ProxyOrder?
    /// What is to be sent: the greeting, then the newest order, then questions.
    private var mustGreet = false
    private var mustOrder = false
    private var questions: [(ProxyState?) -> Void] = []
    private var unsentQuestions = 0
    private var lastReport: Report?
    private var isStopped = false

    /// - Parameters:
    ///   - session: grows with every start of the agent (the boot clock at the start will do); a proxy obeys
    ///     the highest it has heard.
    ///   - cluster: whose epochs these are; without spaces.
    ///   - report: called on the loop when the state of the connection changes.
    public init(
        loop: EventLoop, runtimeDirectory: String, session: UInt64, cluster: String,
        report: @escaping (Report) -> Void = { _ in }
    ) {
        self.loop = loop
        path = ProxyServer.socketPath(runtimeDirectory)
        greeting = .hello(session: session, cluster: cluster)
        self.report = report
        connect()
    }

    /// Gives an order; send routes again with each heartbeat, for they expire.
    public func send(_ order: ProxyOrder) {
        self.order = order
        mustOrder = true
        flush()
    }

    /// Asks how the proxy is; `answer` is called on the loop, with nil when nobody answers.
    public func askState(_ answer: @escaping (ProxyState?) -> Void) {
        guard socket != nil, questions.count < Self.questionLimit else { return answer(nil) }
        questions.append(answer)
        unsentQuestions += 1
        flush()
    }

    /// The proxy's process, as the kernel knows it; nil when there is no connection.
    public var proxyProcess: Int32? { socket.flatMap { try? Sockets.peerCredentials($0).pid } }

    /// The proxy has taken this agent's hello, and follows its orders.
    public private(set) var isConnected = false

    /// Closes the connection. The proxy goes on as last ordered, until its route is too old.
    public func stop() {
        isStopped = true
        if let timer { loop.cancel(timer) }
        timer = nil
        close()
    }

    // MARK: Connection

    private func connect() {
        do throws(SystemError) {
            let fd = try Sockets.connect(to: .unix(path), kind: .packets)
            socket = fd
            try loop.watch(fd, [.read, .write]) { [unowned self] ready in self.ready(ready) }
        } catch {
            return lost("\(error)")
        }
        mustGreet = true
        mustOrder = order != nil
    }

    private func lost(_ why: String) {
        close()
        tell(.lost(why))
        guard !isStopped, timer == nil else { return }
        timer = loop.at(BootClock.now() + Self.reconnectAfter) { [unowned self] in
            timer = nil
            connect()
        }
    }

    private func close() {
        if let socket {
            loop.unwatch(socket)
            Glibc.close(socket)
        }
        socket = nil
        isConnected = false
        let unanswered = questions
        questions = []
        unsentQuestions = 0
        for answer in unanswered { answer(nil) }
    }

    /// The same trouble again is not told again: see `isConnected` for what is the case now.
    private func tell(_ new: Report) {
        if new == lastReport { return }
        lastReport = new
        report(new)
    }

    // MARK: Talking

    private func ready(_ ready: Readiness) {
        if ready.contains(.read) { receive() }
        if ready.contains(.write) { flush() }
    }

    private func receive() {
        guard let socket else { return }
        var packet = [UInt8](repeating: 0, count: Message.limit)
        let transfer = packet.withUnsafeMutableBytes { try? Sockets.read(socket, into: $0) }
        switch transfer {
        case .wouldBlock: return
        case .closed, nil: lost("the proxy has closed the connection")
        case .bytes(let count): take(Message(String(decoding: packet[..<count], as: UTF8.self)))
        }
    }

    private func take(_ message: Message?) {
        switch message {
        case .welcome:
            isConnected = true
            tell(.connected)
        case .refused(let why), .ignored(let why): tell(.refused(why))
        case .state(let state):
            if !questions.isEmpty { questions.removeFirst()(state) }
        case .hello, .order, .askState, nil: lost("the proxy speaks another language")
        }
    }

    /// Sends what there is room for, and waits for room only when some is left.
    private func flush() {
        while let socket, let next = nextMessage {
            switch try? Sockets.write(socket, next.text.utf8) {
            case .bytes: sent(next)
            case .wouldBlock: return loop.change(socket, [.read, .write])
            case .closed, nil: return lost("the proxy does not read")
            }
        }
        if let socket { loop.change(socket, .read) }
    }

    private var nextMessage: Message? {
        if mustGreet { return greeting }
        if mustOrder, let order { return .order(order) }
        return unsentQuestions > 0 ? .askState : nil
    }

    private func sent(_ message: Message) {
        switch message {
        case .hello: mustGreet = false
        case .order: mustOrder = false
        default: unsentQuestions -= 1
        }
    }
}
