import Platform
import Testing

@testable import Proxy

struct StartupPacketTests {
    private func kind(_ bytes: [UInt8]) -> StartupPacket.Kind? {
        guard case .packet(let packet) = StartupPacket.parse(bytes) else { return nil }
        return packet.kind
    }

    @Test func eachKindOfFirstPacketIsTold() {
        #expect(kind(Packet.startup()) == .session)
        #expect(kind(Packet.sslRequest) == .encryptionRequest)
        #expect(kind(Packet.gssRequest) == .encryptionRequest)
        #expect(kind(Packet.cancel) == .cancel)
        #expect(kind([0x16, 3, 1, 2, 0]) == .tls)
    }

    @Test func aPacketInPiecesIsIncompleteUntilItsLastByte() {
        let packet = Packet.startup([("user", "app"), ("database", "shop")])
        for count in 0..<packet.count {
            #expect(StartupPacket.parse(Array(packet[..<count])) == .incomplete, "after \(count) bytes")
        }
        let whole = StartupPacket(kind: .session, length: packet.count)
        #expect(StartupPacket.parse(packet) == .packet(whole))
        #expect(StartupPacket.parse(packet + [1, 2, 3]) == .packet(whole))
    }

    @Test(arguments: ["true", "on", "1", "yes", "database", "t", "TRUE", "o", "", "bogus"])
    func replicationIsSeenHoweverItIsAskedFor(value: String) {
        #expect(kind(Packet.startup([("user", "r"), ("replication", value)])) == .replication)
        let hidden = [("replication", "false"), ("user", "r"), ("replication", value)]
        #expect(kind(Packet.startup(hidden)) == .replication)
    }

    @Test(arguments: ["false", "off", "0", "no", "f", "OFF", "n", "of"])
    func anOrdinarySessionMaySayThatItDoesNotReplicate(value: String) {
        #expect(kind(Packet.startup([("user", "r"), ("replication", value)])) == .session)
    }

    @Test func aValueThatLooksLikeAParameterIsNone() {
        #expect(kind(Packet.startup([("user", "replication"), ("options", "true")])) == .session)
    }

    @Test func garbageIsRefusedByItsFirstBytes() {
        for bytes in [
            Array("GET / HTTP/1.1\r\n".utf8), [0, 0, 0, 4], [0xFF, 0xFF, 0xFF, 0xFF], [0, 0, 0x27, 0x11],
        ] {
            guard case .invalid = StartupPacket.parse(bytes) else {
                Issue.record("\(bytes) was taken")
                continue
            }
        }
        guard case .invalid = StartupPacket.parse([0, 0, 0, 9, 0, 2, 0, 0, 0]) else {
            Issue.record("protocol 2 was taken")
            return
        }
    }

    @Test func aRefusalIsWhatPostgresWouldSay() {
        let bytes = Refusal.noPrimary("because").bytes
        #expect(bytes[1..<5].reduce(0) { $0 << 8 | Int($1) } == bytes.count - 1)
        let fields = Packet.error(bytes)
        #expect(fields["S"] == "FATAL")
        #expect(fields["C"] == "57P03")
        #expect(fields["M"] == "the cluster has no writable primary at the moment: because")
    }
}

struct OrderTests {
    private func route(_ epoch: UInt64, port: UInt16 = 5433, until: Int64 = 100) throws -> ProxyOrder {
        let address = try #require(SocketAddress(host: "10.0.0.1", port: port))
        let target = ProxyTarget(epoch: epoch, address: address)
        return .route(ProxyRoute(target: target, validUntil: until, cutAfter: 50))
    }

    @Test func anOlderEpochIsIgnoredEvenAfterAHold() throws {
        var book = OrderBook()
        let first = [book.take(try route(7)), book.take(.hold(reason: "gone")), book.take(try route(6))]
        #expect(first == [.accepted, .accepted, .stale(highestEpoch: 7)])
        #expect(book.order == .hold(reason: "gone"))
        let second = [book.take(try route(7)), book.take(try route(8))]
        #expect(second == [.accepted, .accepted])
    }

    @Test func anOlderAgentIsTurnedAwayAndAnotherClusterBeginsAnew() throws {
        var book = OrderBook()
        _ = book.welcome(session: 5, cluster: "a")
        _ = book.take(try route(7))
        let taken = [book.welcome(session: 4, cluster: "a"), book.welcome(session: 5, cluster: "a")]
        #expect(taken == [false, true])
        #expect(book.order == (try route(7)))
        _ = book.welcome(session: 6, cluster: "b")
        #expect(book.order.target == nil)
        let verdict = book.take(try route(1))
        #expect(verdict == .accepted)
    }

    @Test func newSessionsGoOnlyWhereTheWordIsFresh() throws {
        let order = try route(7, until: 100)
        #expect(order.target(forNewSessionsAt: 99) == order.target)
        #expect(order.target(forNewSessionsAt: 100) == nil)
    }

    @Test func messagesSurviveTheWire() throws {
        var state = ProxyState()
        state.epoch = 7
        state.host = "fdaa::3"
        state.port = 5433
        state.sessions = 12
        state.held = 3
        state.bytesToClient = 1 << 40
        state.holdReason = "a=b c"
        let address = try #require(SocketAddress(host: "fdaa::3", port: 5433))
        let target = ProxyTarget(epoch: .max, address: address)
        let route = ProxyRoute(target: target, validUntil: .max, cutAfter: 0)
        let messages: [Message] = [
            .hello(session: .max, cluster: "main"), .order(.route(route)),
            .order(.hold(reason: "no primary, yet")),
            .askState, .welcome, .refused("why"), .ignored("epoch 7 was seen"), .state(state),
        ]
        for message in messages { #expect(Message(message.text) == message) }
    }

    @Test(
        arguments: [
            "", "x", "route", "route epoch=1", "hold", "hello", "hello x main", "hello 1",
            "route epoch=-1 host=10.0.0.1 port=1 valid_until=1 cut_after=1",
            "route epoch=1 host=pg1 port=1 valid_until=1 cut_after=1",
            "route epoch=1 host=10.0.0.1 port=1 valid_until=1 cut_after=-1",
        ])
    func nonsenseIsNoMessage(text: String) {
        #expect(Message(text) == nil)
    }

    @Test func aLongReasonIsCutBetweenCharacters() {
        let text = Message.order(.hold(reason: String(repeating: "é\n", count: 2000))).text
        #expect(text.utf8.count <= Message.limit)
        #expect(!text.contains("\n"))
    }
}

struct OptionTests {
    @Test func allOptionsAreRead() throws {
        let options = try #require(
            try ProxyOptions.parse([
                "--runtime-directory", "/run/x", "--listen-address=127.0.0.1", "--port", "6000",
                "--hold-time", "5",
                "--hold-limit=9", "--threads", "1",
            ]))
        #expect(options.runtimeDirectory == "/run/x")
        #expect(options.listenAddress == "127.0.0.1")
        #expect(options.port == 6000)
        #expect(options.holdTime == 5_000_000_000)
        #expect(options.holdLimit == 9)
        #expect(options.threads == 1)
        #expect(try ProxyOptions.parse(["--help"]) == nil)
    }

    @Test(arguments: [
        (["--port", "1"], "--runtime-directory is missing"),
        (["--runtime-directory"], "--runtime-directory: a value is missing"),
        (["--port", "70000"], "--port 70000: must be a whole number from 1 to 65535"),
        (["--colour", "red"], "--colour: unknown option"),
    ])
    func wrongOptionsAreNamed(arguments: [String], message: String) {
        #expect(throws: ProxyOptions.UsageError(description: message)) { try ProxyOptions.parse(arguments) }
    }
}
