import Consensus
import Testing

@testable import Supervision

/// Who may copy the primary (protocol: Rejoining).
@Suite struct CopyTurnTests {
    private func primary(with asking: [MemberID], copying: [MemberID] = []) -> Node {
        let members: [MemberID] = ["a", "b", "c", "d", "e"]
        let document = Founders.document(members.map(Founders.member))
        let stage = Stage()
        stage.begin(as: "a", with: document, armed: 4)
        guard var node = stage.node else { fatalError("the stage has no node") }
        hear(asking, copying: copying, &node)
        return node
    }

    private func hear(_ asking: [MemberID], copying: [MemberID] = [], _ node: inout Node) {
        node.reports = asking.map { member in
            var report = MemberReport(
                dataState: .cloning, state: .cloning, role: .none, streaming: false, frozenTerm: 0,
                agentVersion: "1")
            report.copying = copying.contains(member)
            return HeardReport(member: member, report: report, at: node.now)
        }
    }

    @Test func twoAtATimeInTheOrderOfAsking() {
        var node = primary(with: ["d", "e"])
        #expect(node.shareCopyTurns() == ["d", "e"])
        hear(["b", "c", "d", "e"], &node)
        #expect(node.shareCopyTurns() == ["d", "e"])
        // e is done.
        hear(["b", "c", "d"], copying: ["d"], &node)
        #expect(node.shareCopyTurns() == ["d", "b"])
    }

    @Test func whoHasBegunCountsAlsoWhenNobodyHereGaveItATurn() {
        var node = primary(with: ["b", "c", "d"], copying: ["c", "d"])
        #expect(node.shareCopyTurns() == ["c", "d"])
    }

    @Test func aTurnThatIsNotUsedPassesOn() {
        var node = primary(with: ["b", "c", "d"])
        #expect(node.shareCopyTurns() == ["b", "c"])
        node.now = node.now + .seconds(31)
        hear(["b", "c", "d"], copying: ["c"], &node)
        #expect(node.shareCopyTurns() == ["c", "d"])
        node.now = node.now + .seconds(31)
        hear(["b", "c", "d"], copying: ["c"], &node)
        #expect(node.shareCopyTurns() == ["c", "b"])
    }
}
