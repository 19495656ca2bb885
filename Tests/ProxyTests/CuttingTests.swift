import Platform
import TestSupport
import Testing

@testable import Proxy

/// Sessions end when their primary is no longer the primary, and only then.
struct CuttingTests {
    /// A session with both of its ends in hand.
    private func session(_ proxy: RunningProxy, _ backend: Backend) throws -> (client: Wire, server: Wire) {
        let client = try proxy.connect()
        try client.send(Packet.startup())
        let server = try backend.accept()
        _ = try server.receive(Packet.startup().count)
        return (client, server)
    }

    private func talks(_ session: (client: Wire, server: Wire)) throws -> Bool {
        try session.client.send([1, 2, 3])
        let heard = try session.server.receive(3) == [1, 2, 3]
        try session.server.send([4, 5])
        return try session.client.receive(2) == [4, 5] && heard
    }

    @Test func aHigherEpochCutsAndARenewalDoesNot() throws {
        let proxy = try RunningProxy()
        let backend = try Backend()
        try proxy.route(backend, epoch: 1)
        let old = try session(proxy, backend)
        try proxy.route(backend, epoch: 1, forSeconds: 70)
        #expect(try talks(old))
        try proxy.route(backend, epoch: 2)
        #expect(try old.client.receiveToEnd() == [])
        #expect(try old.server.receiveToEnd() == [])
        #expect(try proxy.state().cut == 1)
        #expect(try talks(session(proxy, backend)))
    }

    @Test func anotherAddressOfTheSameEpochCuts() throws {
        let proxy = try RunningProxy()
        let first = try Backend()
        let second = try Backend()
        try proxy.route(first)
        let old = try session(proxy, first)
        try proxy.route(second)
        #expect(try old.client.receiveToEnd() == [])
        #expect(try talks(session(proxy, second)))
    }

    @Test func aHoldCutsAtOnce() throws {
        let proxy = try RunningProxy()
        let backend = try Backend()
        try proxy.route(backend)
        let sessions = try (0..<10).map { _ in try session(proxy, backend) }
        try proxy.say("hold reason=the primary is gone")
        for session in sessions { #expect(try session.client.receiveToEnd() == []) }
        try waitUntil("all are gone") { try proxy.state().sessions == 0 }
        #expect(try proxy.state().cut == 10)
    }

    @Test func aLowerEpochIsIgnored() throws {
        let proxy = try RunningProxy()
        let new = try Backend()
        let old = try Backend()
        try proxy.route(new, epoch: 5)
        let current = try session(proxy, new)
        try proxy.route(old, epoch: 4)
        #expect(try proxy.hear().hasPrefix("ignored"))
        #expect(try talks(current))
        #expect(old.isQuiet(milliseconds: 50))
    }

    @Test func aRouteThatIsNotRenewedFirstHoldsThenCuts() throws {
        let proxy = try RunningProxy()
        let backend = try Backend()
        try proxy.route(backend, forSeconds: 0.3, cutAfter: 3)
        let old = try session(proxy, backend)
        try waitUntil("the route is over") { try proxy.state().validForMilliseconds == 0 }
        let late = try proxy.connect()
        try late.send(Packet.startup())
        try waitUntil("a new client is held") { try proxy.state().held == 1 }
        #expect(try talks(old))
        let before = BootClock.now()
        #expect(try old.client.receiveToEnd() == [])
        #expect(BootClock.now() - before < 9_000_000_000)
        #expect(try proxy.state().holdReason?.contains("epoch 1") == true)
        #expect(late.isQuiet(milliseconds: 0))
        // Heard again: the one that waited goes on.
        try proxy.route(backend)
        _ = try backend.accept().receive(Packet.startup().count)
    }

    @Test func renewalsKeepSessionsPastTheFirstDeadline() throws {
        let proxy = try RunningProxy()
        let backend = try Backend()
        try proxy.route(backend, forSeconds: 0.5, cutAfter: 1)
        let session = try session(proxy, backend)
        let end = BootClock.now() + 2_500_000_000
        while BootClock.now() < end {
            try proxy.route(backend, forSeconds: 0.5, cutAfter: 1)
            #expect(try talks(session))
            #expect(session.client.isQuiet(milliseconds: 50))
        }
    }

    @Test func anotherAgentDoesNotCutButTakesOver() throws {
        let proxy = try RunningProxy()
        let backend = try Backend()
        try proxy.route(backend)
        let session = try session(proxy, backend)
        let newer = try Wire.connect(path: ProxyServer.socketPath(proxy.directory.path))
        try newer.send(Array("hello 2 main".utf8))
        #expect(try newer.receiveText() == "welcome")
        #expect(try talks(session))
        // The older agent has been hung up on; one of its kind is not taken back.
        #expect(try proxy.hear() == "")
        let older = try Wire.connect(path: ProxyServer.socketPath(proxy.directory.path))
        try older.send(Array("hello 1 main".utf8))
        #expect(try older.receiveText().hasPrefix("refused"))
        try older.send(Array("hold reason=x".utf8))
        #expect(try older.receiveText().hasPrefix("refused"))
        #expect(try talks(session))
        try newer.send(Array("hold reason=x".utf8))
        #expect(try session.client.receiveToEnd() == [])
    }
}
