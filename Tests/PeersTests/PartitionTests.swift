import Platform
import TestSupport
import Testing

@testable import Peers

@Suite(.serialized) struct PartitionTests {
    @Test(.requiresRoot)
    func `a cut network is noticed by heartbeats alone and a healed one is used again at once`() throws {
        let network = try OwnNetwork()
        defer { #expect(throws: Never.self) { try network.leave() } }
        let stage = try Stage()
        let secret = ClusterSecret(bytes: SecureRandom.bytes(32))
        let one = try Station(stage, "pg1", secret: secret)
        let two = try Station(stage, "pg2", secret: secret)
        one.network.setPeers([two.target(name: "pg2")])
        two.network.setPeers([one.target(name: "pg1")])
        stage.runUntil("both are linked") { one.reaches("pg2") && two.reaches("pg1") }

        var beats = 0
        func beat() {
            beats += 1
            for station in [one, two] { station.network.sendToAll([1], coalescing: CoalescingKey(1)) }
            stage.loop.at(BootClock.now() + 100_000_000, beat)
        }
        beat()
        try network.setLoopback(up: false)
        let cut = BootClock.now()
        stage.runUntil("both notice") { !one.reaches("pg2") && !two.reaches("pg1") }
        #expect(Duration.nanoseconds(BootClock.now() - cut) < .seconds(4))
        // The incoming ends have nothing unacknowledged: the kernel's own questions find them out.
        stage.runUntil("nothing half-open is left") {
            one.network.counts.incoming == 0 && two.network.counts.incoming == 0
        }
        try network.setLoopback(up: true)
        let healed = BootClock.now()
        stage.runUntil("both are linked again") { one.reaches("pg2") && two.reaches("pg1") }
        // Half a second for a brief attempt that is under way, one for a patient one.
        #expect(Duration.nanoseconds(BootClock.now() - healed) < .seconds(2))
        #expect(one.disconnected.count == 1)
        #expect(one.connected.count == 2)
    }
}
