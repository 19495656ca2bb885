import Glibc
import Lab
import TestSupport
import Testing

extension RealPostgres {
    @Suite("Junk at the peer port", .serialized, .requiresRoot, .requiresPostgres, .requiresHerd)
    struct JunkTests {
        /// What 32 strangers and their handshakes may cost, and the sockets of a few peers that come back.
        private static let moreDescriptors = 60
        private static let moreBytes = 24 << 20

        @Test("10 000 connections of junk: no failover, links stay, costs are bounded, a peer comes back")
        func crowd() throws {
            try Arena.trial { herd, trial in
                let primary = try herd.primary()
                let standby = herd.others(than: primary)[0]
                let (term, start) = (try primary.view().term, Moment.current)
                let agent = try primary.process(.agent)
                let before = (
                    descriptors: try Processes.descriptors(of: agent),
                    bytes: try Footprint.proportionalBytes(agent), log: primary.log().count
                )
                let junk = Junk(at: [primary, standby])
                defer { junk.stop() }
                try junk.start()
                var most = (descriptors: 0, bytes: 0)
                try herd.until("5000 are through", within: Arena.patience) {
                    most.descriptors = max(most.descriptors, try Processes.descriptors(of: agent))
                    most.bytes = max(most.bytes, try Footprint.proportionalBytes(agent))
                    return junk.count >= 5000
                }
                #expect(most.descriptors <= before.descriptors + Self.moreDescriptors)
                #expect(most.bytes <= before.bytes + Self.moreBytes)
                let words = primary.log().dropFirst(before.log)
                #expect(!words.contains("peer lost"), "\(words.suffix(2000))")

                try standby.kill(.agent)
                try standby.start()
                try herd.until(.replica(standby.name), seenBy: [primary], within: Arena.patience)
                try herd.until("10 000 are through", within: Arena.patience) { junk.count >= 10_000 }
                junk.stop()
                #expect(trial.writer.longestGap(since: start).length < Arena.lease)
                #expect(try primary.view().primary == primary.name)
                #expect(try primary.view().term == term)
                let told = primary.log().dropFirst(before.log).split(separator: "\n")
                #expect(told.count { $0.contains("peer-refused") } <= 12, "one for each kind of junk")
                try trial.expectNothingLost()
            }
        }
    }
}
