import Glibc
import Platform
import Synchronization
import TestSupport
import Testing

@testable import Control

struct ControlFrameTests {
    @Test func framesComeOutWholeHoweverTheyArrive() throws {
        let request = ControlRequest(command: "failover", arguments: ["to": "pg2"])
        let bytes = try ControlFrame.encode(request)
        var buffer: [UInt8] = []
        for byte in bytes.dropLast() {
            buffer.append(byte)
            #expect(ControlFrame.take(from: &buffer, limit: 1000) == .incomplete)
        }
        buffer.append(bytes[bytes.count - 1])
        guard case .frame(let frame) = ControlFrame.take(from: &buffer, limit: 1000) else {
            Issue.record("no frame")
            return
        }
        #expect(ControlFrame.request(frame) == request)
        #expect(buffer.isEmpty)
    }

    @Test func answersSurviveAndDataKeepsItsText() {
        let json = Array(#"{"b":1.50,"a":{"exit":3},"line":"}"}"#.utf8)
        let answers: [ControlAnswer] = [
            .line("NOTICE: \"quoted\"\n0/5000148 é"), .data(json), .data(Array("null".utf8)),
            .exit(code: 75, reason: "no quorum"), .exit(code: 0, reason: nil),
        ]
        for answer in answers {
            var bytes = ControlFrame.encode(answer)
            guard case .frame(let frame) = ControlFrame.take(from: &bytes, limit: 1000) else {
                Issue.record("no frame for \(answer)")
                continue
            }
            #expect(ControlFrame.answer(frame) == answer)
        }
    }

    @Test func aFrameAboveTheLimitIsNotWaitedFor() {
        var buffer: [UInt8] = [0, 1, 0, 1, 7]
        let taken = ControlFrame.take(from: &buffer, limit: 65_536)
        #expect(taken == .tooLong(65_537))
    }
}

/// Server and client over a real socket.
struct ControlSocketTests {
    @Test func linesDataAndExitComeInOrder() throws {
        let agent = try TestAgent { server, id, entry, arguments, _ in
            server.send(id, line: "\(entry.name) to \(arguments["to"] ?? "the best")")
            server.send(id, data: Array(#"{"target":"pg2"}"#.utf8))
            server.finish(id, .refused, reason: "pg2 lags")
            server.send(id, line: "too late")
        }
        var got: [ControlAnswer] = []
        let request = ControlRequest(command: "switchover", arguments: ["to": "pg2", "dry-run": "true"])
        let result = try agent.client.run(request) { got.append($0) }
        #expect(got == [.line("failover to pg2"), .data(Array(#"{"target":"pg2"}"#.utf8))])
        #expect(result.code == 1)
        #expect(result.reason == "pg2 lags")
    }

    @Test func aLargeAnswerArrivesWhole() throws {
        let agent = try TestAgent { server, id, _, _, _ in
            for number in 0..<50_000 { server.send(id, line: "event \(number)") }
            server.finish(id, .done)
        }
        var count = 0
        let result = try agent.client.run(ControlRequest(command: "events")) { answer in
            if answer == .line("event \(count)") { count += 1 }
        }
        #expect(count == 50_000)
        #expect(result.code == 0)
    }

    @Test(arguments: [
        (ControlRequest(command: "frobnicate"), "frobnicate: the agent has no such command"),
        (ControlRequest(command: "secret create"), "secret create: the agent has no such command"),
        (ControlRequest(command: "status", arguments: ["to": "x"]), "--to: 'status' has no such flag"),
    ])
    func whatTheTableDoesNotKnowIsUsage(request: ControlRequest, reason: String) throws {
        let agent = try TestAgent { server, id, _, _, _ in server.finish(id, .done) }
        let result = try agent.client.run(request) { _ in }
        #expect(result.code == ExitCode.usage.rawValue)
        #expect(result.reason == reason)
    }

    @Test func withoutAnAgentItIsUnreachable() throws {
        let directory = try TemporaryDirectory("control")
        let client = ControlClient(socketPath: directory.file("control.sock"))
        let error = #expect(throws: ControlClient.Failure.self) {
            try client.run(ControlRequest(command: "status")) { _ in }
        }
        #expect(error?.exitCode == .unreachable)
        #expect(error?.description.contains(directory.file("control.sock")) == true)
    }

    @Test func anAgentThatSaysNothingIsGivenUp() throws {
        let agent = try TestAgent { _, _, _, _, _ in }
        let error = #expect(throws: ControlClient.Failure.self) {
            try agent.client.run(ControlRequest(command: "status"), silence: 300_000_000) { _ in }
        }
        #expect(error?.exitCode == .tryAgain)
        // The agent learns that nobody waits any more.
        try agent.waitUntilLeft(1)
    }

    @Test func aClientThatStopsReadingIsCutOffAndTheAgentTold() throws {
        let agent = try TestAgent { server, id, _, _, _ in
            let line = String(repeating: "x", count: 1 << 20)
            for _ in 0..<20 { server.send(id, line: line) }
        }
        let fd = try agent.connect()
        defer { close(fd) }
        _ = try Sockets.write(fd, try ControlFrame.encode(ControlRequest(command: "status")))
        try agent.waitUntilLeft(1)
    }

    @Test func aClientMayEndItsInputAndStillHearsTheAnswer() throws {
        let asked = Mutex<ControlRequestID?>(nil)
        let box = IDBox(asked)
        let agent = try TestAgent { _, id, _, _, _ in box.mutex.withLock { $0 = id } }
        let fd = try agent.connect()
        defer { close(fd) }
        _ = try Sockets.write(fd, try ControlFrame.encode(ControlRequest(command: "status")))
        Sockets.shutdownWriting(fd)
        let id = try waitFor("the agent is asked") { box.mutex.withLock { $0 } }
        agent.onLoop { $0.finish(id, .done) }
        var buffer: [UInt8] = []
        let answer = try waitFor("the answer") { try agent.readFrame(fd, &buffer) }
        #expect(answer == .exit(code: 0, reason: nil))
    }

    @Test func garbageAndTooMuchAreRefusedInWords() throws {
        let agent = try TestAgent { server, id, _, _, _ in server.finish(id, .done) }
        for bytes in [ControlFrame.framed(Array("{]".utf8)), Array("GET / HTTP/1.1\r\n\r\n".utf8)] {
            let fd = try agent.connect()
            defer { close(fd) }
            _ = try Sockets.write(fd, bytes)
            var buffer: [UInt8] = []
            let answer = try waitFor("the answer") { try agent.readFrame(fd, &buffer) }
            guard case .exit(64, .some) = answer else {
                Issue.record("\(answer)")
                continue
            }
        }
    }

    @Test func moreClientsThanTheLimitAreTurnedAway() throws {
        let agent = try TestAgent { _, _, _, _, _ in }
        let silent = try (0..<ControlServer.clientLimit).map { _ in try agent.connect() }
        defer { for fd in silent { close(fd) } }
        let fd = try agent.connect()
        defer { close(fd) }
        var buffer: [UInt8] = []
        let answer = try waitFor("the answer") { try agent.readFrame(fd, &buffer) }
        guard case .exit(75, .some) = answer else {
            Issue.record("\(answer)")
            return
        }
    }

    @Test(.disabled(if: geteuid() == 0, "root may do all")) func othersMayOnlyLook() throws {
        let agent = try TestAgent(owner: geteuid() + 1) { server, id, _, _, _ in server.finish(id, .done) }
        #expect(try agent.client.run(ControlRequest(command: "status")) { _ in }.code == 0)
        let refused = try agent.client.run(ControlRequest(command: "failover")) { _ in }
        #expect(refused.code == ExitCode.notPermitted.rawValue)
    }

    @Test(.requiresRoot) func anotherUserMayOnlyLook() throws {
        let agent = try TestAgent { server, id, _, _, _ in server.finish(id, .done) }
        // Perl is in every Debian, and this is the form in which the frames are documented.
        let script = """
            use Socket; socket(S, AF_UNIX, SOCK_STREAM, 0); connect(S, sockaddr_un($ARGV[0])) or die $!;
            my $r = '{"command":"' . $ARGV[1] . '","arguments":{},"forwarded":false}';
            syswrite(S, pack("N", length $r) . $r); my $got; sysread(S, $got, 4096); print substr($got, 4);
            """
        for (command, code) in [("status", "\"exit\":0"), ("failover", "\"exit\":77")] {
            let result = try ChildProcess.run(
                "/usr/bin/setpriv",
                ["--reuid=nobody", "--clear-groups", "/usr/bin/perl", "-e", script, agent.path, command],
                until: BootClock.now() + 10_000_000_000)
            #expect(result.output.contains(code), "\(command): \(result.output)\(result.error)")
        }
    }
}

private final class IDBox: Sendable {
    let mutex: Mutex<ControlRequestID?>
    init(_ mutex: consuming Mutex<ControlRequestID?>) { self.mutex = mutex }
}

/// A control server on a loop of its own. `@unchecked Sendable`: `server` is touched on the loop only.
final class TestAgent: ControlServerDelegate, @unchecked Sendable {
    typealias Answer =
        @Sendable (ControlServer, ControlRequestID, CommandEntry, [String: String], ControlCredentials) ->
        Void

    let path: String
    private let directory: TemporaryDirectory
    private let loop: EventLoop
    private let answer: Answer
    private var server: ControlServer?
    private var thread: Thread?
    private let left = Atomic<Int>(0)

    init(owner: UInt32? = nil, _ answer: @escaping Answer) throws {
        directory = try TemporaryDirectory("control")
        path = ControlServer.socketPath(directory.path)
        self.answer = answer
        loop = try EventLoop()
        // Other users must be able to come to the socket.
        chmod(directory.path, 0o755)
        server = try ControlServer(path: path, loop: loop, owner: owner, delegate: self)
        let loop = loop
        thread = try Thread.start(name: "agent") { loop.run() }
    }

    deinit {
        loop.stop()
        thread?.join()
        server?.stop()
    }

    var client: ControlClient { ControlClient(socketPath: path) }

    func connect() throws -> Int32 { try Sockets.connect(to: .unix(path)) }

    func onLoop(_ work: @escaping @Sendable (ControlServer) -> Void) {
        loop.post { [self] in
            if let server { work(server) }
        }
    }

    func waitUntilLeft(_ count: Int) throws {
        waitUntil("the agent is told that the client left") { left.load(ordering: .relaxed) == count }
    }

    func readFrame(_ fd: Int32, _ buffer: inout [UInt8]) throws -> ControlAnswer? {
        var chunk = [UInt8](repeating: 0, count: 4096)
        if case .bytes(let count) = try chunk.withUnsafeMutableBytes({ try Sockets.read(fd, into: $0) }) {
            buffer += chunk[..<count]
        }
        guard case .frame(let frame) = ControlFrame.take(from: &buffer, limit: 1 << 20) else { return nil }
        return ControlFrame.answer(frame)
    }

    func control(
        _ id: ControlRequestID, asks entry: CommandEntry, arguments: [String: String],
        by credentials: ControlCredentials
    ) {
        if let server { answer(server, id, entry, arguments, credentials) }
    }

    func controlClientLeft(_ id: ControlRequestID) { left.add(1, ordering: .relaxed) }
}
