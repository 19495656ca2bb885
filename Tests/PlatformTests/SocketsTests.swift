import Glibc
import Platform
import Synchronization
import TestSupport
import Testing

struct SocketsTests {
    @Test(arguments: [
        ("10.0.0.2:5501", "10.0.0.2:5501"), ("10.0.0.2", "10.0.0.2:1"), ("[fdaa::3]:5501", "[fdaa::3]:5501"),
        ("fdaa::3", "[fdaa::3]:1"), ("[::1]", "[::1]:1"), ("fdaa:0:0:0:0:0:0:3", "[fdaa::3]:1"),
    ])
    func numericAddressesAreReadAndPrinted(_ text: String, _ printed: String) throws {
        let address = try #require(SocketAddress(text, defaultPort: 1))
        #expect(address.description == printed)
        #expect(SocketAddress(address.description) == address)
    }

    @Test(arguments: [
        "", ":5501", "10.0.0.2:", "10.0.0.2:65536", "10.0.0.2:-1", "10.0.0", "a.example:1", "[fdaa::3",
        "[]:1",
        "[::1]x", "10.0.0.2", "1.2.3.4.5:1",
    ])
    func whatIsNoNumericAddressIsRefused(_ text: String) {
        #expect(SocketAddress(text) == nil)
    }

    @Test func namesAreSplitFromTheirPorts() throws {
        #expect(try #require(SocketAddress.split("db-1.internal:5501")) == ("db-1.internal", 5501))
        #expect(try #require(SocketAddress.split("db-1.internal")) == ("db-1.internal", nil))
        #expect(try #require(SocketAddress.split("fdaa::3")) == ("fdaa::3", nil))
        #expect(SocketAddress.split("db-1.internal:x") == nil)
    }

    @Test(arguments: ["127.0.0.1", "::1"])
    func aConnectionCarriesBytesBothWaysAndItsEndIsSeen(_ host: String) throws {
        let listener = try Sockets.listen(on: try #require(SocketAddress(host: host, port: 0)))
        let address = try #require(Sockets.localAddress(listener))
        let client = try Sockets.connect(to: address)
        var accepted: Int32 = -1
        waitUntil("the connection arrives") {
            if let connection = try? Sockets.accept(listener) { accepted = connection.fd }
            return accepted >= 0
        }
        #expect(Sockets.connectionError(client) == nil)
        var option: Int32 = 0
        var length = socklen_t(4)
        for fd in [client, accepted] {
            #expect(getsockopt(fd, Int32(IPPROTO_TCP), TCP_NODELAY, &option, &length) == 0)
            #expect(option == 1)
            try Sockets.setTimeouts(fd, seconds: 6)
        }
        var buffer = [UInt8](repeating: 0, count: 16)
        #expect(try buffer.withUnsafeMutableBytes { try Sockets.read(accepted, into: $0) } == .wouldBlock)
        #expect(try Sockets.write(client, Array("hello".utf8)) == .bytes(5))
        var got: Sockets.Transfer = .wouldBlock
        waitUntil("the bytes arrive") {
            got = (try? buffer.withUnsafeMutableBytes { try Sockets.read(accepted, into: $0) }) ?? .closed
            return got != .wouldBlock
        }
        #expect(got == .bytes(5))
        close(client)
        waitUntil("the end arrives") {
            (try? buffer.withUnsafeMutableBytes { try Sockets.read(accepted, into: $0) }) == .closed
        }
        close(accepted)
        close(listener)
    }

    @Test func aRefusedConnectionSaysSo() throws {
        let listener = try Sockets.listen(on: try #require(SocketAddress("127.0.0.1:0")))
        let address = try #require(Sockets.localAddress(listener))
        close(listener)
        do {
            let client = try Sockets.connect(to: address)
            var wait = pollfd(fd: client, events: Int16(POLLOUT), revents: 0)
            #expect(poll(&wait, 1, 20_000) == 1)
            #expect(Sockets.connectionError(client, to: address)?.code == ECONNREFUSED)
            close(client)
        } catch {
            #expect(error.code == ECONNREFUSED)
        }
    }

    @Test func aPortInUseIsNamed() throws {
        let listener = try Sockets.listen(on: try #require(SocketAddress("127.0.0.1:0")))
        let address = try #require(Sockets.localAddress(listener))
        let error = #expect(throws: SystemError.self) { try Sockets.listen(on: address) }
        #expect(error?.description == "bind: Address already in use: \(address)")
        close(listener)
    }

    @Test(arguments: [Sockets.Kind.stream, .packets])
    func aUnixSocketTellsWhoIsThere(_ kind: Sockets.Kind) throws {
        let directory = try TemporaryDirectory()
        let address = SocketAddress.unix("\(directory.path)/s")
        for _ in 0..<2 {
            // The second time over the stale socket of the first.
            let listener = try Sockets.listen(on: address, kind: kind)
            let client = try Sockets.connect(to: address, kind: kind)
            let accepted = try #require(try Sockets.accept(listener)).fd
            let peer = try Sockets.peerCredentials(accepted)
            #expect(peer.pid == getpid())
            #expect(peer.uid == getuid())
            for fd in [listener, client, accepted] { close(fd) }
        }
    }

    @Test func aUnixPathThatDoesNotFitIsRefused() {
        let error = #expect(throws: SystemError.self) {
            try Sockets.listen(on: .unix("/tmp/" + String(repeating: "x", count: 120)))
        }
        #expect(error?.code == ENAMETOOLONG)
    }

    @Test func namesAreResolvedOnTheLoopAndUnknownOnesSayWhy() throws {
        let loop = try EventLoop()
        let resolver = try Resolver(loop: loop)
        let answers = Mutex<[String]>([])
        func note(_ answer: Resolver.Answer) {
            #expect(loop.isCurrent)
            let count = answers.withLock { answers in
                answers.append("\(answer.addresses.first?.isLoopback ?? false) \(answer.failure != nil)")
                return answers.count
            }
            if count == 3 { loop.stop() }
        }
        resolver.resolve("localhost", port: 1, note)
        resolver.resolve("127.0.0.9", port: 1, note)
        resolver.resolve("no-such-host.invalid", port: 1, note)
        loop.run()
        resolver.stop()
        #expect(answers.withLock { $0 } == ["true false", "true false", "false true"])
    }
}
