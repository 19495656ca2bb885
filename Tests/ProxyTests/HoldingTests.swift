import TestSupport
import Testing

@testable import Proxy

/// Clients without a primary wait, and are told when that takes too long.
struct HoldingTests {
    @Test func aHeldClientGoesOnWhenAPrimaryIsNamed() throws {
        let proxy = try RunningProxy()
        let backend = try Backend()
        let client = try proxy.connect()
        try client.send(Packet.startup())
        try waitUntil("the client is held") { try proxy.state().held == 1 }
        try proxy.route(backend)
        let server = try backend.accept()
        #expect(try server.receive(Packet.startup().count) == Packet.startup())
        try server.send([82, 1, 2, 3])
        #expect(try client.receive(4) == [82, 1, 2, 3])
        let state = try proxy.state()
        #expect(state.held == 0)
        #expect(state.sessions == 1)
        #expect(state.epoch == 1)
        #expect(state.holdReason == nil)
    }

    @Test func aStartupInSinglePiecesArrivesWhole() throws {
        let proxy = try RunningProxy()
        let backend = try Backend()
        try proxy.route(backend)
        let client = try proxy.connect()
        for byte in Packet.startup() { try client.send([byte]) }
        let server = try backend.accept()
        #expect(try server.receive(Packet.startup().count) == Packet.startup())
    }

    @Test func afterTheHoldTimeTheClientIsToldInPostgresWords() throws {
        let proxy = try RunningProxy(holdSeconds: 0.3)
        try proxy.say("hold reason=an election is running")
        let client = try proxy.connect()
        try client.send(Packet.startup())
        let fields = Packet.error(try client.receiveToEnd())
        #expect(fields["C"] == "57P03")
        #expect(fields["M"]?.hasSuffix("an election is running") == true)
        client.close()
        try waitUntil("the session is gone") { try proxy.state().sessions == 0 }
        #expect(try proxy.state().refused == 1)
        #expect(try proxy.state().held == 0)
    }

    @Test func aClientThatAsksForEncryptionIsToldAfterTheRefusal() throws {
        let proxy = try RunningProxy(holdSeconds: 0.2)
        let client = try proxy.connect()
        try client.send(Packet.gssRequest)
        #expect(try client.receive(1) == [UInt8(ascii: "N")])
        try client.send(Packet.sslRequest)
        #expect(try client.receive(1) == [UInt8(ascii: "N")])
        try client.send(Packet.startup())
        #expect(Packet.error(try client.receiveToEnd())["C"] == "57P03")
    }

    @Test func moreClientsThanTheLimitAreToldAtOnce() throws {
        let proxy = try RunningProxy(holdLimit: 3)
        let waiting = try (0..<3).map { _ in
            let client = try proxy.connect()
            try client.send(Packet.startup())
            return client
        }
        try waitUntil("three are held") { try proxy.state().held == 3 }
        let fourth = try proxy.connect()
        try fourth.send(Packet.startup())
        let fields = Packet.error(try fourth.receiveToEnd())
        #expect(fields["C"] == "57P03")
        #expect(fields["M"]?.contains("3 clients wait") == true)
        #expect(try proxy.state().held == 3)
        waiting[0].close()
        try waitUntil("a place is free again") { try proxy.state().held == 2 }
    }

    @Test func aPrimaryThatDoesNotListenYetIsTriedAgain() throws {
        let proxy = try RunningProxy()
        // An address that no other test uses, so that its port stays free when it is closed.
        let closed = try Backend(host: "127.77.0.1")
        closed.close()
        try proxy.route(closed)
        let clients = try (0..<5).map { _ in
            let client = try proxy.connect()
            try client.send(Packet.startup())
            return client
        }
        try waitUntil("all are held") { try proxy.state().held == 5 }
        let backend = try Backend(host: closed.host, port: closed.port)
        let servers = try clients.map { _ in try backend.accept() }
        for server in servers { #expect(try server.receive(Packet.startup().count) == Packet.startup()) }
        for client in clients { #expect(client.isQuiet(milliseconds: 0)) }
        try waitUntil("nobody is held") { try proxy.state().held == 0 }
    }

    @Test func aServerLostBeforeItsFirstWordIsReplacedUnseen() throws {
        let proxy = try RunningProxy()
        let first = try Backend()
        try proxy.route(first, epoch: 1)
        let client = try proxy.connect()
        try client.send(Packet.sslRequest)
        let lost = try first.accept()
        #expect(try lost.receive(8) == Packet.sslRequest)
        let second = try Backend()
        try proxy.route(second, epoch: 2)
        #expect(try lost.receiveToEnd() == [])
        let server = try second.accept()
        #expect(try server.receive(8) == Packet.sslRequest)
        try server.send([UInt8(ascii: "N")])
        #expect(try client.receive(1) == [UInt8(ascii: "N")])
        try client.send(Packet.startup())
        #expect(try server.receive(Packet.startup().count) == Packet.startup())
    }

    @Test func aCancelWithoutAPrimaryIsClosed() throws {
        let proxy = try RunningProxy()
        let client = try proxy.connect()
        try client.send(Packet.cancel)
        #expect(try client.receiveToEnd() == [])
    }

    @Test func aCancelIsForwardedAsItIs() throws {
        let proxy = try RunningProxy()
        let backend = try Backend()
        try proxy.route(backend)
        let client = try proxy.connect()
        try client.send(Packet.cancel)
        let server = try backend.accept()
        #expect(try server.receive(16) == Packet.cancel)
        server.close()
        #expect(try client.receiveToEnd() == [])
    }

    @Test func replicationIsRefusedAlsoBehindARefusedEncryption() throws {
        let proxy = try RunningProxy()
        let backend = try Backend()
        try proxy.route(backend)
        let startup = Packet.startup([("user", "repluser"), ("replication", "true")])
        let plain = try proxy.connect()
        try plain.send(startup)
        let fields = Packet.error(try plain.receiveToEnd())
        #expect(fields["C"] == "0A000")
        #expect(fields["M"]?.contains("replication") == true)

        let asking = try proxy.connect()
        try asking.send(Packet.sslRequest)
        let server = try backend.accept()
        _ = try server.receive(8)
        try server.send([UInt8(ascii: "N")])
        _ = try asking.receive(1)
        try asking.send(startup)
        #expect(Packet.error(try asking.receiveToEnd())["C"] == "0A000")
        #expect(try server.receiveToEnd() == [])
    }

    @Test func whatFollowsAnEncryptionRequestReachesTheServerOnlyAfterItsAnswer() throws {
        let proxy = try RunningProxy()
        let backend = try Backend()
        try proxy.route(backend)
        let client = try proxy.connect()
        try client.send(Packet.sslRequest + [0x16, 1, 2, 3])
        let server = try backend.accept()
        #expect(try server.receive(8) == Packet.sslRequest)
        #expect(server.isQuiet(milliseconds: 100))
        try server.send([UInt8(ascii: "S")])
        #expect(try client.receive(1) == [UInt8(ascii: "S")])
        #expect(try server.receive(4) == [0x16, 1, 2, 3])
    }

    @Test func garbageIsRefusedAndNeverReachesTheServer() throws {
        let proxy = try RunningProxy()
        let backend = try Backend()
        try proxy.route(backend)
        let client = try proxy.connect()
        try client.send(Array("GET / HTTP/1.0\r\n\r\n".utf8))
        #expect(Packet.error(try client.receiveToEnd())["C"] == "08P01")
        #expect(backend.isQuiet(milliseconds: 50))
    }
}
