import Consensus
import Testing

@testable import Simulator

/// What a herd costs its leader grows with its members as a straight line.
@Suite("Herd cost")
struct HerdCostTests {
    @Test func theLeadersMessagesGrowAsAStraightLine() throws {
        let costs = try [3, 5, 8].map { members in
            try #require(HerdCost.measure(members: members, over: 10, clock: { .zero }))
        }
        let perMember = costs.map { ($0.messagesSent + $0.messagesReceived) / Double($0.members - 1) }
        for each in perMember { #expect(abs(each - perMember[0]) < perMember[0] / 10, "\(perMember)") }
    }
}
