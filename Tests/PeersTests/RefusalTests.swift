import Glibc
import Platform
import Testing

@testable import Peers

@Suite struct RefusalTests {
    let stage: Stage
    let secret = ClusterSecret(bytes: SecureRandom.bytes(32))

    init() throws { stage = try Stage() }

    private func station(_ name: String, _ limits: PeerLimits = PeerLimits()) throws -> Station {
        try Station(stage, name, secret: secret, limits: limits)
    }

    /// `stage` proves that a station still does its work after what a test did to it.
    private func expectHealthy(_ station: Station) throws {
        let other = try self.station("healthy")
        other.network.setPeers([station.target()])
        stage.runUntil("an honest peer is let in") { other.reaches(station.name) }
    }

    @Test func `another secret is refused by both sides and named as such`() throws {
        let one = try station("pg1")
        let two = try Station(stage, "pg2", secret: ClusterSecret(bytes: SecureRandom.bytes(32)))
        one.network.setPeers([two.target()])
        stage.runUntil("both have said so") { !one.refused.isEmpty && !two.refused.isEmpty }
        #expect(one.refused.first == .secretRefused)
        #expect(two.refused.first == .otherSecret)
        #expect(one.connected.isEmpty)
        #expect(two.network.counts.incoming == 0)
    }

    @Test func `another cluster name is refused by both sides with both names`() throws {
        let one = try station("pg1")
        let two = try Station(stage, "pg2", secret: secret, cluster: "test")
        one.network.setPeers([two.target()])
        stage.runUntil("both have said so") { !one.refused.isEmpty && !two.refused.isEmpty }
        #expect(one.refused.first == .otherCluster(theirs: "test", ours: "main"))
        #expect(two.refused.first == .otherCluster(theirs: "main", ours: "test"))
    }

    @Test func `neighbouring versions talk in the older one and others are refused`() throws {
        let old = try Station(stage, "old", secret: secret, versions: 1...2)
        let new = try Station(stage, "new", secret: secret, versions: 2...3)
        let newest = try Station(stage, "newest", secret: secret, versions: 3...4)
        old.network.setPeers([new.target(), newest.target()])
        stage.runUntil("the neighbours are linked, the third is refused") {
            old.reaches("new") && !newest.refused.isEmpty && !old.refused.isEmpty
        }
        #expect(old.network.reachable.map(\.version) == [2])
        old.network.send([1], to: .name("new"))
        stage.runUntil("they understand each other") { new.requests(from: "old") == [[1]] }
        #expect(newest.refused.first == .otherVersions(theirs: 1...2, ours: 3...4))
        #expect(newest.refused.first.map { "\($0)".contains("upgrade matriarchd there") } == true)
        #expect(old.refused.first == .otherVersions(theirs: 3...4, ours: 1...2))
        #expect(old.refused.first.map { "\($0)".contains("upgrade matriarchd on this node") } == true)
        #expect(old.refused.first?.callsForAPerson == true)
        #expect(!old.reaches("newest"))
    }

    @Test func `our own name on another machine is refused by both`() throws {
        let one = try station("pg1")
        let twin = try Station(stage, "pg1", secret: secret, instance: "another machine")
        one.network.setPeers([twin.target()])
        stage.runUntil("both have said so") { !one.refused.isEmpty && !twin.refused.isEmpty }
        #expect(one.refused.first == .ownName("pg1", instance: "another machine"))
        #expect(twin.refused.first == .ownName("pg1", instance: "instance of pg1"))
    }

    @Test func `a refusal reaches the other side in words`() throws {
        let one = try station("pg1")
        let two = try station("pg2")
        one.network.setPeers([two.target(name: "pg3")])
        stage.runUntil("pg2 has heard why") {
            !two.refused.isEmpty || two.network.counts.strangers == 0 && !one.refused.isEmpty
        }
        #expect(one.refused.first == .otherName(expected: "pg3", found: "pg2"))
        stage.runUntil("pg2 has heard why") {
            two.refused.contains { "\($0)".contains("I was looking for 'pg3'") }
        }
    }

    @Test func `what is no TLS is sent away`() throws {
        let one = try station("pg1")
        for words in [
            "GET / HTTP/1.1\r\n\r\n", "SSH-2.0-OpenSSH_9.2\r\n", String(repeating: "\u{0}", count: 500),
        ] {
            let before = one.refused.count
            let raw = try RawPeer(to: one.port)
            raw.say(Array(words.utf8))
            stage.runUntil("it is sent away") { one.refused.count > before && raw.hasBeenSentAway }
            guard case .malformed = one.refused.last else { Issue.record("\(one.refused)"); continue }
        }
        try expectHealthy(one)
    }

    @Test func `random bytes before the handshake never harm`() throws {
        let one = try station("pg1")
        for round in 0..<200 {
            let raw = try RawPeer(to: one.port)
            // Half of them look like the beginning of TLS.
            let start: [UInt8] = round.isMultiple(of: 2) ? [22, 3, 1, 0, 200, 1, 0, 0, 196, 3, 3] : []
            raw.say(start + SecureRandom.bytes(Int.random(in: 1...400)))
            stage.run(for: .milliseconds(2))
        }
        stage.runUntil("all are gone") { one.network.counts.strangers == 0 }
        try expectHealthy(one)
    }

    /// Says things as somebody who holds the secret, and waits until the link is closed.
    private func expectSentAway(_ bytes: [UInt8], afterHello: Bool, by one: Station, why: String) throws {
        let before = one.refused.count
        let raw = try RawPeer(to: one.port, secret: secret)
        stage.runUntil("the secret is proven") { raw.secure() }
        if afterHello {
            raw.say(hello("rogue"))
            stage.runUntil("it is let in") { one.network.counts.incoming == 1 }
        }
        raw.say(bytes)
        stage.runUntil("it is sent away") { one.refused.count > before && raw.hasBeenSentAway }
        #expect("\(one.refused.last.map { "\($0)" } ?? "")".contains(why))
        #expect(one.network.counts.incoming == 0)
        #expect(one.received.isEmpty)
    }

    private func hello(_ name: String) -> [UInt8] {
        let identity = LocalIdentity(
            clusterName: "main", nodeName: name, instance: "i", nonce: 1, agentVersion: "0")
        return Frame(version: 0, kind: .hello, payload: Hello(identity).payload).encoded
    }

    @Test func `bad frames of a peer with the right secret end its link only`() throws {
        let one = try station("pg1")
        let message = Frame(version: 1, kind: .message, payload: [1])
        let early: [([UInt8], String)] = [
            ([255, 255, 255, 255], "4294967295 bytes"), ([0, 1, 0, 0, 0, 1], "65536 bytes"),
            ([0, 0, 0, 1, 9], "1 bytes"), ([0, 0, 0, 2, 0, 77], "kind 77"),
            (message.encoded, "before its hello"),
            (Frame(version: 0, kind: .hello, payload: [1, 0, 9]).encoded, "ends within a field"),
            (Frame(version: 0, kind: .hello, payload: []).encoded, "without cluster name"),
            (Frame(version: 7, kind: .hello, payload: [1]).encoded, "hello in version 7; only 0 is known"),
        ]
        for (bytes, why) in early { try expectSentAway(bytes, afterHello: false, by: one, why: why) }
        let late: [([UInt8], String)] = [
            ([0, 4, 0, 1, 1, 3], "262145 bytes"), (hello("again"), "kind hello"),
            (
                Frame(version: 2, kind: .message, payload: [1]).encoded,
                "version 2, after its hello; agreed on were messages in version 1"
            ),
            (
                Frame(version: 0, kind: .message, payload: [1]).encoded,
                "version 0, after its hello; agreed on were messages in version 1"
            ),
            (
                Frame(version: 0, kind: .refusal, payload: Array("no\u{1B}[2J".utf8)).encoded,
                "it refused us: no[2J"
            ),
        ]
        for (bytes, why) in late { try expectSentAway(bytes, afterHello: true, by: one, why: why) }
        try expectHealthy(one)
    }

    @Test func `random frames of a peer with the right secret never harm`() throws {
        let one = try station("pg1")
        for _ in 0..<60 {
            let raw = try RawPeer(to: one.port, secret: secret)
            stage.runUntil("the secret is proven") { raw.secure() }
            if Bool.random() { raw.say(hello("rogue")) }
            raw.say([0, 0] + SecureRandom.bytes(Int.random(in: 1...300)))
            stage.run(for: .milliseconds(3))
        }
        stage.runUntil("all are gone") { one.network.counts.strangers + one.network.counts.incoming == 0 }
        try expectHealthy(one)
    }

    @Test func `a slow or silent stranger is sent away in time`() throws {
        var limits = PeerLimits()
        limits.handshake = .milliseconds(300)
        let one = try station("pg1", limits)
        let silent = try RawPeer(to: one.port)
        let half = try RawPeer(to: one.port)
        half.say([22, 3, 1, 0, 200, 1])
        let shy = try RawPeer(to: one.port, secret: secret)
        stage.runUntil("the shy one has the secret, but says no hello") { shy.secure() }
        #expect(one.network.counts.strangers == 3)
        stage.runUntil("all are sent away") {
            silent.hasBeenSentAway && half.hasBeenSentAway && shy.hasBeenSentAway
        }
        #expect(one.network.counts.strangers == 0)
        try expectHealthy(one)
    }

    @Test func `a listener that accepts and then says nothing is given up`() throws {
        var limits = PeerLimits()
        limits.handshake = .milliseconds(300)
        let one = try station("pg1", limits)
        let address = try #require(SocketAddress(host: "127.0.0.1", port: 0))
        let listener = try Sockets.listen(on: address)
        defer { close(listener) }
        let port = try #require(Sockets.localAddress(listener)?.port)
        one.network.setPeers([PeerTarget(name: "pg2", host: "127.0.0.1", port: port)])
        var attempts: [RawPeer] = []
        stage.runUntil("it is tried, given up and tried again") {
            if let accepted = try? Sockets.accept(listener), let raw = try? RawPeer(accepted: accepted.fd) {
                attempts.append(raw)
            }
            return attempts.count >= 2 && attempts[0].hasBeenSentAway
        }
    }

    @Test func `strangers are bounded and do not keep an honest peer out`() throws {
        var limits = PeerLimits()
        limits.strangersPerAddress = 4
        let one = try station("pg1", limits)
        var crowd: [RawPeer] = []
        for _ in 0..<40 {
            crowd.append(try RawPeer(to: one.port))
            stage.run(for: .milliseconds(2))
            #expect(one.network.counts.strangers <= 4)
        }
        stage.runUntil("the oldest had to go") { crowd.prefix(36).allSatisfy(\.hasBeenSentAway) }
        #expect(crowd.suffix(4).allSatisfy { !$0.hasBeenSentAway })
        try expectHealthy(one)
    }

    @Test func `a flood of connections is taken slowly`() throws {
        var limits = PeerLimits()
        limits.acceptsPerSecond = 10
        let one = try station("pg1", limits)
        let before = one.network.lastConnection
        let crowd = try (0..<60).map { _ in try RawPeer(to: one.port) }
        stage.run(for: .milliseconds(500))
        #expect(one.network.lastConnection - before <= 20)
        stage.runUntil("all are taken in the end") { one.network.lastConnection - before == crowd.count }
    }

    @Test func `beyond its share a flood is closed at once, and a peer gets in all the same`() throws {
        var limits = PeerLimits()
        limits.greetingsPerSecond = 5
        limits.strangers = 4
        let one = try station("pg1", limits)
        // Peers are at another address than the crowd.
        let two = try Station(stage, "pg2", secret: secret, host: "127.0.0.2")
        one.network.setPeers([two.target(host: "127.0.0.2")])
        stage.runUntil("pg1 has its link") { one.reaches("pg2") }
        let crowd = try (0..<60).map { _ in try RawPeer(to: one.port) }
        stage.runUntil("most are closed") { crowd.count { $0.hasBeenSentAway } >= 50 }
        #expect(one.network.counts.strangers <= 4)

        let address = try #require(SocketAddress(host: "127.0.0.1", port: one.port))
        let source = try #require(SocketAddress(host: "127.0.0.2", port: 0))
        let socket = try Sockets.connect(to: address, from: source)
        let peer = try RawPeer(accepted: socket, dialling: true, secret: secret)
        stage.runUntil("the secret is proven") { peer.secure() }
        let more = try (0..<60).map { _ in try RawPeer(to: one.port) }
        peer.say(hello("pg2"))
        stage.runUntil("it is let in beside the crowd") { one.network.counts.incoming == 1 }
        stage.runUntil("most are closed again") { more.count { $0.hasBeenSentAway } >= 50 }
    }

    @Test func `a crowd of refused ones is told a few times only`() throws {
        let one = try station("pg1")
        for _ in 0..<20 {
            let raw = try RawPeer(to: one.port)
            raw.say(Array("GET / HTTP/1.1\r\n\r\n".utf8))
            stage.runUntil("it is sent away") { raw.hasBeenSentAway }
        }
        #expect(one.refused.count == 20)
        #expect(one.toldRefusals == 1)
    }

    @Test func `guests are bounded`() throws {
        var limits = PeerLimits()
        limits.guests = 2
        let one = try station("pg1", limits)
        let others = try (2...4).map { try station("pg\($0)") }
        for other in others { other.network.setPeers([one.target()]) }
        stage.runUntil("the third is refused") {
            others.flatMap(\.refused).contains { "\($0)".contains("2 incoming links already") }
        }
        #expect(one.network.counts.incoming == 2)
    }

    @Test func `refusals of one kind and address are logged once in a while`() {
        var log = RefusalLog(interval: .seconds(60))
        #expect(log.admits(.otherSecret, from: "10.0.0.1", at: 0) == 0)
        for second in 1..<60 {
            #expect(log.admits(.otherSecret, from: "10.0.0.1", at: Int64(second) * 1_000_000_000) == nil)
        }
        #expect(log.admits(.noSecret, from: "10.0.0.1", at: 1) == 59)
        #expect(log.admits(.otherSecret, from: "10.0.0.2", at: 1) == 0)
        #expect(log.admits(.otherSecret, from: "10.0.0.1", at: 60_000_000_000) == 0)
        let crowd = (0..<1000).count {
            log.admits(.otherSecret, from: "host \($0)", at: 200_000_000_000) != nil
        }
        #expect(crowd == RefusalLog.maxPerInterval)
    }
}
