import Consensus
import FoundationEssentials
import Platform
import Supervision
import Testing

@testable import Peers

/// Figures for docs/internals/peers.md: MATRIARCH_MEASURE=1 swift test -c release --filter PeersMeasurements
/// -Xswiftc -enable-testing
@Suite(
    .serialized,
    .enabled(if: ProcessInfo.processInfo.environment["MATRIARCH_MEASURE"] != nil, "set MATRIARCH_MEASURE=1"))
struct PeersMeasurements {
    private let clock = ContinuousClock()

    private func microseconds(_ repetitions: Int, _ body: () throws -> Void) rethrows -> Double {
        let time = try clock.measure { for _ in 0..<repetitions { try body() } }
        return Double(time.nanoseconds) / 1000 / Double(repetitions)
    }

    private func residentKilobytes() throws -> Int {
        let text = try Files.readText("/proc/self/smaps_rollup")
        let line = try #require(text.split(separator: "\n").first { $0.hasPrefix("Private_Dirty:") })
        return try #require(line.split(separator: " ").dropFirst().first.flatMap { Int($0) })
    }

    @Test func `cost of an envelope`() throws {
        let heartbeat = try #require(
            EnvelopeCodecTests.bodies.first {
                if case .consensus(.appendAnswer) = $0 { true } else { false }
            })
        var answer = Envelope(cluster: "c-1", body: heartbeat)
        answer.report = EnvelopeCodecTests.report
        let append = Envelope(cluster: "c-1", body: EnvelopeCodecTests.bodies[3])
        let largest = Entry(
            version: Version(term: 9, index: 9),
            document: EnvelopeCodecTests.document(members: 9, lineages: 64))
        let offer = Envelope(cluster: "c-1", body: .consensus(.offer(term: 9, largest, committed: .none)))
        for (name, envelope) in [
            ("append answer with report", answer), ("append with entry", append), ("offer", offer),
        ] {
            let bytes = try EnvelopeCodec.encode(envelope)
            let encode = try microseconds(500) { _ = try EnvelopeCodec.encode(envelope) }
            let decode = try microseconds(500) { _ = try EnvelopeCodec.decode(bytes) }
            print("\(name): \(bytes.count) bytes, encode \(Int(encode)) us, decode \(Int(decode)) us")
        }
    }

    @Test func `cost of a link`() throws {
        let stage = try Stage()
        let secret = ClusterSecret(bytes: SecureRandom.bytes(32))
        var limits = PeerLimits()
        limits.guests = 500
        limits.strangers = 500
        limits.strangersPerAddress = 500
        let hub = try Station(stage, "hub", secret: secret, host: "*", limits: limits)
        let one = try Station(stage, "one", secret: secret)
        one.network.setPeers([hub.target()])
        stage.runUntil("warm") { one.reaches("hub") }
        one.network.close()

        let spokes = try (0..<100).map { try Station(stage, "spoke \($0)", secret: secret) }
        let before = try residentKilobytes()
        let time = clock.measure {
            for spoke in spokes { spoke.network.setPeers([hub.target()]) }
            stage.runUntil("all linked", within: .seconds(60)) { hub.network.counts.incoming >= 100 }
        }
        print("connect, TLS and hello, both ends on one thread: \(time.nanoseconds / 100_000) us per link")
        print("memory: \(try (residentKilobytes() - before) * 1024 / 200) bytes per end of a link")
    }

    @Test func `round trip`() throws {
        let stage = try Stage()
        let secret = ClusterSecret(bytes: SecureRandom.bytes(32))
        let (one, two) = (
            try Station(stage, "pg1", secret: secret), try Station(stage, "pg2", secret: secret)
        )
        two.answers = { $0 }
        one.network.setPeers([two.target()])
        stage.runUntil("linked") { one.reaches("pg2") }
        let payload = [UInt8](repeating: 1, count: 600)
        var sent = 0
        let time = clock.measure {
            stage.runUntil("5000 round trips") {
                // The stage looks once a millisecond; the trips themselves run back to back in between.
                if sent == 0 {
                    sent = 1
                    one.onAnswer = {
                        sent += 1
                        if sent <= 5000 { one.network.send(payload, to: .name("pg2")) }
                    }
                    one.network.send(payload, to: .name("pg2"))
                }
                return sent > 5000
            }
        }
        print(
            "request and answer of 600 bytes, both ends on one thread: \(time.nanoseconds / 5_000_000) us")
    }
}
