import Glibc
import Platform
import Synchronization
import TestSupport
import Testing

@testable import Proxy

/// `matriarch-proxy` as a process.
@Suite(.requiresPrograms("matriarch-proxy"))
struct ProgramTests {
    @Test func aPortInUseIsExit78AndNamed() throws {
        let taken = try Backend(host: "127.77.0.2")
        let directory = try TemporaryDirectory("proxy")
        let result = try ProxyProcess.runToEnd(directory.path, host: taken.host, port: taken.port)
        #expect(result.exit == .status(78))
        #expect(result.error.contains("127.77.0.2:\(taken.port)"))
        #expect(result.error.contains("proxy_port"))
    }

    @Test func wrongArgumentsAreExit64AndAMissingDirectoryIs78() throws {
        let wrong = try ChildProcess.run(
            ProxyProcess.program, ["--port"], until: BootClock.now() + 10_000_000_000)
        #expect(wrong.exit == .status(64))
        #expect(wrong.error.contains("--port: a value is missing"))
        let missing = try ProxyProcess.runToEnd("/nonexistent", host: "127.77.0.3", port: 6000)
        #expect(missing.exit == .status(78))
        #expect(missing.error.contains("/nonexistent/proxy.lock"))
    }

    @Test func aSecondProxyOfOneDirectoryStepsBack() throws {
        let first = try ProxyProcess(host: "127.77.0.4", port: 6000)
        let second = try ProxyProcess.runToEnd(first.directory.path, host: "127.77.0.4", port: 6001)
        #expect(second.exit == .status(1))
        #expect(second.error.contains("process \(first.process.pid)"))
        #expect(try first.state().sessions == 0)
    }

    @Test func signalsForTheAgentAreIgnoredAndTermEndsEverything() throws {
        let proxy = try ProxyProcess(host: "127.77.0.5", port: 6000)
        let backend = try Backend(host: "127.77.0.5")
        try proxy.route(backend)
        let client = try proxy.connect()
        try client.send(Packet.startup())
        let server = try backend.accept()
        for signal in [SIGHUP, SIGUSR1, SIGUSR2] { try proxy.process.signal(signal) }
        _ = try server.receive(Packet.startup().count)
        try server.send([1])
        #expect(try client.receive(1) == [1])
        try proxy.process.signal(SIGTERM)
        #expect(try client.receiveToEnd() == [])
        #expect(try server.receiveToEnd() == [])
        #expect(proxy.process.wait(until: BootClock.now() + 10_000_000_000) == .status(0))
        #expect(!Files.exists(ProxyServer.socketPath(proxy.directory.path)))
    }

    @Test func withoutDescriptorsNewClientsWaitAndTheOldOnesGoOn() throws {
        // 100 descriptors are good for 18 sessions.
        let proxy = try ProxyProcess(host: "127.77.0.6", port: 6000, descriptors: 100)
        let backend = try Backend(host: "127.77.0.6")
        try proxy.route(backend)
        let clients = try (0..<40).map { _ in
            let client = try proxy.connect()
            try client.send(Packet.startup())
            return client
        }
        var servers = try (0..<18).map { _ in try backend.accept() }
        #expect(backend.isQuiet(milliseconds: 300))
        #expect(try proxy.state().sessions == 18)
        for server in servers {
            _ = try server.receive(Packet.startup().count)
            try server.send([1])
        }
        waitUntil("the old ones hear their servers") {
            clients.filter { !$0.isQuiet(milliseconds: 0) }.count == 18
        }
        // When they leave, the others get their turn.
        for server in servers { server.close() }
        for client in clients where !client.isQuiet(milliseconds: 0) { client.close() }
        servers = try (0..<18).map { _ in try backend.accept() }
    }

    @Test func aSlowReaderStopsItsWriterAndCostsNoMemory() throws {
        let proxy = try ProxyProcess(host: "127.77.0.7", port: 6000)
        let backend = try Backend(host: "127.77.0.7")
        try proxy.route(backend)
        let (client, server) = try proxy.session(backend)
        let before = try proxy.residentBytes()
        let block = [UInt8](unsafeUninitializedCapacity: 48 << 20) { buffer, count in
            for index in 0..<buffer.count {
                buffer[index] = UInt8(truncatingIfNeeded: index &* 31 ^ index >> 11)
            }
            count = buffer.count
        }
        let sent = try server.sendUntilBlocked(block, quiet: 500)
        #expect(sent < block.count, "nothing held the writer back")
        #expect(try proxy.residentBytes() - before < 1 << 20)
        let rest = Array(block[sent...])
        let writer = try Thread.start(name: "server") {
            try? server.send(rest)
            server.close()
        }
        #expect(try client.receiveToEnd() == block)
        writer.join()
        #expect(try proxy.state().bytesToClient == UInt64(block.count))
    }

    @Test func aStoppedReaderWhoseServerDiesCostsNoProcessorTime() throws {
        let proxy = try ProxyProcess(host: "127.77.0.8", port: 6000)
        let backend = try Backend(host: "127.77.0.8")
        try proxy.route(backend)
        let (client, server) = try proxy.session(backend)
        _ = try server.sendUntilBlocked([UInt8](repeating: 1, count: 64 << 20), quiet: 300)
        server.close()
        let before = try proxy.processorTicks()
        let end = BootClock.now() + 1_000_000_000
        waitUntil("a second is over") { BootClock.now() > end }
        #expect(try proxy.processorTicks() - before < 20, "the relay spins: ticks are 10 ms")
        client.close()
        try waitUntil("the session is gone") { try proxy.state().sessions == 0 }
    }

    @Test func theAgentsSideFindsARestartedProxyAndTellsItAgain() throws {
        let directory = try TemporaryDirectory("proxy")
        let backend = try Backend(host: "127.77.0.9")
        let reports = Reports()
        let agent = try Agent(directory.path, reports)
        agent.send(backend.order(epoch: 3))
        waitUntil("there is no proxy yet") { reports.all.count == 1 }
        var proxy: ProxyProcess? = try ProxyProcess(host: "127.77.0.9", port: 6000, in: directory)
        for round in 1...2 {
            let client = try waitFor("the proxy listens") { try? proxy?.connect() }
            try client.send(Packet.startup())
            _ = try backend.accept().receive(Packet.startup().count)
            waitUntil("the agent knows") { reports.all.last == .connected }
            #expect(try agent.state()?.epoch == 3)
            if round == 1 {
                try proxy?.process.signal(SIGKILL)
                _ = proxy?.process.wait()
                proxy = try ProxyProcess(host: "127.77.0.9", port: 6000, in: directory)
            }
        }
        agent.stop()
    }
}

/// What a `ProxyClient` reported, from its thread to the test's.
private final class Reports: Sendable {
    private let list = Mutex<[ProxyClient.Report]>([])
    var all: [ProxyClient.Report] { list.withLock { $0 } }
    func add(_ report: ProxyClient.Report) { list.withLock { $0.append(report) } }
}

/// A `ProxyClient` on a loop of its own. `@unchecked Sendable`: `client` is touched on the loop only.
private final class Agent: @unchecked Sendable {
    private let loop: EventLoop
    private let thread: Thread
    private let client: ProxyClient

    init(_ directory: String, _ reports: Reports) throws {
        let loop = try EventLoop()
        self.loop = loop
        client = ProxyClient(loop: loop, runtimeDirectory: directory, session: 7, cluster: "main") {
            reports.add($0)
        }
        thread = try Thread.start(name: "agent") { loop.run() }
    }

    func send(_ order: ProxyOrder) { loop.post { [self] in client.send(order) } }

    func state() throws -> ProxyState? {
        let answer = Mutex<ProxyState??>(nil)
        let box = Box(answer)
        loop.post { [self] in client.askState { state in box.mutex.withLock { $0 = .some(state) } } }
        return try waitFor("the proxy answers") { box.mutex.withLock { $0 } }
    }

    func stop() {
        loop.post { [self] in
            client.stop()
            loop.stop()
        }
        thread.join()
    }

    private final class Box: Sendable {
        let mutex: Mutex<ProxyState??>
        init(_ mutex: consuming Mutex<ProxyState??>) { self.mutex = mutex }
    }
}

extension Backend {
    func order(epoch: UInt64) -> ProxyOrder {
        let target = ProxyTarget(epoch: epoch, address: address)
        let minute: Int64 = 60_000_000_000
        return .route(ProxyRoute(target: target, validUntil: BootClock.now() + minute, cutAfter: minute))
    }
}
