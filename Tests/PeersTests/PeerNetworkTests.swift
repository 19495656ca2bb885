import Platform
import Testing

@testable import Peers

@Suite struct PeerNetworkTests {
    let stage: Stage
    let secret = ClusterSecret(bytes: SecureRandom.bytes(32))

    init() throws { stage = try Stage() }

    private func station(_ name: String, port: UInt16 = 0, host: String = "127.0.0.1") throws -> Station {
        try Station(stage, name, secret: secret, host: host, port: port)
    }

    @Test func `requests go out on our link and their answers come back on it`() throws {
        let (one, two) = (try station("pg1"), try station("pg2"))
        two.answers = { $0.reversed() }
        one.network.setPeers([two.target(name: "pg2")])
        stage.runUntil("pg1 is linked") { one.reaches("pg2") }
        #expect(one.network.send([1, 2, 3], to: .name("pg2")) == .queued)
        stage.runUntil("the answer is there") { !one.received.isEmpty }
        #expect(two.requests(from: "pg1") == [[1, 2, 3]])
        #expect(one.answersSeen(from: "pg2") == [[3, 2, 1]])
        #expect(one.connected.map(\.name) == ["pg2"])
        #expect(one.received.first?.peer.instance == "instance of pg2")
    }

    @Test func `three agents link each with each, in both directions`() throws {
        let stations = try ["pg1", "pg2", "pg3"].map { try station($0) }
        let targets = stations.map { $0.target(name: $0.name) }
        for (place, station) in stations.enumerated() {
            station.network.setPeers(targets.enumerated().filter { $0.offset != place }.map(\.element))
        }
        stage.runUntil("all are linked") {
            stations.allSatisfy { $0.network.reachable.count == 2 && $0.network.counts.incoming == 2 }
        }
        for station in stations { station.network.sendToAll(Array(station.name.utf8)) }
        stage.runUntil("all were heard by all") { stations.allSatisfy { $0.received.count == 2 } }
    }

    @Test func `a frame of the greatest size arrives and a larger one is refused here`() throws {
        let (one, two) = (try station("pg1"), try station("pg2"))
        one.network.setPeers([two.target()])
        stage.runUntil("pg1 is linked") { one.reaches("pg2") }
        let greatest = (0..<(PeerLimits().frameBytes - 2)).map { UInt8(truncatingIfNeeded: $0 &* 31) }
        #expect(one.network.send(greatest, to: .name("pg2")) == .queued)
        #expect(one.network.send(greatest + [0], to: .name("pg2")) == .refused)
        stage.runUntil("it is there") { two.received.count == 1 }
        #expect(two.received.first?.frame == greatest)
    }

    @Test func `links work over IPv6 and by name`() throws {
        let six = try station("pg6", host: "::1")
        let all = try Station(stage, "pg*", secret: secret, host: "*")
        let one = try station("pg1")
        one.network.setPeers([
            six.target(name: "pg6", host: "::1"), PeerTarget(name: "pg*", host: "localhost", port: all.port),
        ])
        stage.runUntil("both are linked") { one.network.reachable.count == 2 }
    }

    @Test func `a group's name stands for all of its addresses`() throws {
        let (one, two) = (try station("pg1"), try station("pg2"))
        one.network.setPeers([PeerTarget(host: "localhost", port: two.port, isGroup: true)])
        stage.runUntil("the one behind the name is linked") { one.reaches("pg2") }
        #expect(one.network.send([1], to: .endpoint(Endpoint(host: "127.0.0.1", port: two.port))) == .queued)
        one.network.setPeers([])
        stage.runUntil("it is dropped with the group") { !one.reaches("pg2") }
    }

    @Test func `a restarted peer is found again within a heartbeat`() throws {
        let one = try station("pg1")
        var two: Station? = try station("pg2")
        let port = try #require(two?.port)
        one.network.setPeers([PeerTarget(name: "pg2", host: "127.0.0.1", port: port)])
        stage.runUntil("pg1 is linked") { one.reaches("pg2") }
        two = nil
        stage.runUntil("the loss is noticed") { one.disconnected.count == 1 }
        #expect(one.network.send([1], to: .name("pg2")) == .noLink)
        // Long enough for the waits to have grown to their limit.
        stage.run(for: .milliseconds(1500))
        let again = try station("pg2", port: port)
        let start = BootClock.now()
        stage.runUntil("pg2 is back") { one.reaches("pg2") }
        #expect(Duration.nanoseconds(BootClock.now() - start) < .milliseconds(1500))
        #expect(one.connected.count == 2)
        #expect(one.connected.last?.nonce != one.connected.first?.nonce)
        #expect(again.network.counts.incoming == 1)
    }

    @Test func `a peer that dials us is dialled at once`() throws {
        var limits = PeerLimits()
        limits.firstRetry = .milliseconds(50)
        limits.longestRetry = .seconds(600)
        let one = try Station(stage, "pg1", secret: secret, limits: limits)
        let port: UInt16
        do {
            let absent = try station("pg2")
            port = absent.port
        }
        one.network.setPeers([PeerTarget(name: "pg2", host: "127.0.0.1", port: port)])
        // By now the next attempt of pg1 is more than a second away.
        stage.run(for: .seconds(3))
        let two = try station("pg2", port: port)
        two.network.setPeers([one.target(name: "pg1")])
        let start = BootClock.now()
        stage.runUntil("both are linked") { one.reaches("pg2") && two.reaches("pg1") }
        #expect(Duration.nanoseconds(BootClock.now() - start) < .seconds(1))
    }

    @Test func `our own address is closed in silence and not dialled again`() throws {
        let one = try station("pg1")
        one.network.setPeers([one.target()])
        stage.runUntil("it was tried") { one.network.dialers.values.contains { $0.standing == .oneself } }
        stage.run(for: .milliseconds(300))
        #expect(one.refused.isEmpty)
        #expect(one.connected.isEmpty)
        #expect(
            one.network.counts
                == PeerCounts(outgoing: 0, incoming: 0, strangers: 0, queuedFrames: 0, droppedFrames: 0))
    }

    @Test func `two addresses of one peer are one link, kept by the one that has a name`() throws {
        let (one, two) = (try station("pg1"), try Station(stage, "pg2", secret: secret, host: "*"))
        one.network.setPeers([PeerTarget(host: "127.0.0.2", port: two.port)])
        stage.runUntil("the seed is linked") { one.reaches("pg2") }
        one.network.setPeers([
            PeerTarget(host: "127.0.0.2", port: two.port), two.target(name: "pg2"),
            PeerTarget(host: "127.0.0.3", port: two.port),
        ])
        stage.runUntil("the named link stands alone") {
            one.network.dialers[Endpoint(host: "127.0.0.1", port: two.port)]?.link?.peer != nil
                && one.network.counts.outgoing == 1 && two.network.counts.incoming == 1
        }
        let taken = two.network.lastConnection
        stage.run(for: .milliseconds(600))
        #expect(two.network.lastConnection == taken, "the others wait instead of trying again and again")
        #expect(one.network.counts.outgoing == 1)
        #expect(one.connected.count == 1)
        #expect(one.disconnected.isEmpty)
        one.network.setPeers([PeerTarget(host: "127.0.0.2", port: two.port)])
        stage.runUntil("the seed takes over when the named one goes") { one.connected.count == 2 }
    }

    @Test func `setting the same peers again changes nothing`() throws {
        let (one, two) = (try station("pg1"), try station("pg2"))
        one.network.setPeers([two.target()])
        stage.runUntil("pg1 is linked") { one.reaches("pg2") }
        one.network.setPeers([two.target()])
        one.network.setPeers([two.target(name: "pg2")])
        stage.run(for: .milliseconds(200))
        #expect(one.connected.count == 1)
        #expect(one.disconnected.isEmpty)
        one.network.setPeers([two.target(name: "pg9")])
        #expect(one.disconnected.count == 1)
        stage.runUntil("the one who answers is refused") {
            one.refused.contains(.otherName(expected: "pg9", found: "pg2"))
        }
    }

    @Test func `a port in use is said by number`() throws {
        let one = try station("pg1")
        do {
            _ = try station("pg2", port: one.port)
            Issue.record("one port was listened on twice")
        } catch let error as PeerListenError {
            #expect(error.isInUse)
            #expect(error.description.contains("\(one.port)"))
        }
    }

    @Test func `a listen address that is a name is refused`() throws {
        #expect(throws: PeerListenError.self) { try station("pg1", host: "localhost") }
    }

    @Test func `closing ends all links and frees the port`() throws {
        let (one, two) = (try station("pg1"), try station("pg2"))
        one.network.setPeers([two.target()])
        stage.runUntil("pg1 is linked") { one.reaches("pg2") && two.network.counts.incoming == 1 }
        one.network.close()
        stage.runUntil("pg2 sees it") { two.network.counts.incoming == 0 }
        #expect(one.network.send([1], to: .name("pg2")) == .noLink)
        _ = try station("pg3", port: one.port)
    }
}
