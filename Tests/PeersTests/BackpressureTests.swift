import Platform
import Testing

@testable import Peers

/// Peers that do not take what they are sent.
@Suite struct BackpressureTests {
    let stage: Stage
    let secret = ClusterSecret(bytes: SecureRandom.bytes(32))

    init() throws { stage = try Stage() }

    /// A station whose link to a raw peer is open, and that raw peer, which reads nothing.
    private func stuckLink(_ limits: PeerLimits = PeerLimits()) throws -> (Station, RawPeer, ConnectionID) {
        let one = try Station(stage, "pg1", secret: secret, limits: limits)
        let raw = try RawPeer(to: one.port, secret: secret)
        stage.runUntil("the secret is proven") { raw.secure() }
        let identity = LocalIdentity(
            clusterName: "main", nodeName: "raw", instance: "i", nonce: 1, agentVersion: "0")
        raw.say(Frame(version: 0, kind: .hello, payload: Hello(identity).payload).encoded)
        stage.runUntil("it is let in") { one.network.counts.incoming == 1 }
        return (one, raw, try #require(one.network.guests.keys.first))
    }

    /// Sends until the sockets are full and a frame has to wait.
    private func fill(_ one: Station, _ connection: ConnectionID) {
        let filler = [UInt8](repeating: 0xFF, count: 100_000)
        var sent = 0
        stage.runUntil("the sockets are full") {
            if one.network.counts.queuedFrames == 0, sent < 1000 {
                _ = one.network.answer(filler, on: connection)
                sent += 1
            }
            return one.network.counts.queuedFrames > 0
        }
    }

    @Test func `a newer word replaces the older one that waits`() throws {
        let (one, raw, connection) = try stuckLink()
        fill(one, connection)
        let key = CoalescingKey(1)
        #expect(one.network.answer([1], on: connection, coalescing: key) == .queued)
        #expect(one.network.answer([2], on: connection) == .queued)
        for number in 3...200 {
            #expect(one.network.answer([UInt8(number)], on: connection, coalescing: key) == .replacedOlder)
        }
        stage.runUntil("all has arrived") { raw.frames.last?.payload == [2] }
        let small = raw.frames.filter { $0.kind == .message && $0.payload.count == 1 }.map(\.payload)
        #expect(small == [[200], [2]])
        #expect(one.network.counts.droppedFrames == 0)
    }

    @Test func `a full queue drops what may be lost, then refuses, and the link lives on`() throws {
        var limits = PeerLimits()
        limits.queuedFrames = 8
        let (one, raw, connection) = try stuckLink(limits)
        fill(one, connection)
        for number in 1...4 {
            let outcome = one.network.answer(
                [UInt8(number)], on: connection, coalescing: CoalescingKey(number))
            #expect(outcome == .queued)
        }
        var outcomes: [SendOutcome] = []
        for number in 10...30 { outcomes.append(one.network.answer([UInt8(number)], on: connection)) }
        #expect(outcomes.contains(.droppedOlder))
        #expect(outcomes.last == .refused)
        #expect(one.network.counts.queuedFrames == 8)
        #expect(one.network.counts.droppedFrames > 4)
        stage.runUntil("the queue has drained") {
            raw.listen()
            return one.network.counts.queuedFrames == 0
        }
        #expect(one.network.answer([99], on: connection) == .queued)
        stage.runUntil("the link still carries frames") { raw.frames.last?.payload == [99] }
    }

    @Test func `bytes arrive as they were sent when the peer reads in drips`() throws {
        let (one, raw, connection) = try stuckLink()
        let sent = (0..<60).map { number in
            (0..<(number * 997)).map { UInt8(truncatingIfNeeded: $0 ^ number) }
        }
        var next = 0
        stage.runUntil("all frames have arrived") {
            while next < sent.count, one.network.answer(sent[next], on: connection) == .queued { next += 1 }
            return raw.frames.count { $0.kind == .message } == sent.count
        }
        #expect(raw.frames.filter { $0.kind == .message }.map(\.payload) == sent)
    }
}
