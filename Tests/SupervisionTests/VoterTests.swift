import Consensus
import Testing

@testable import Supervision

/// Who is made a voter, for every number of voters and of members that could become one.
@Suite struct VoterTests {
    /// A primary that leads `voters` voters (itself the first) and has `able` valid learners.
    private func primary(voters: Int, able: Int) throws -> Node {
        let names = "abcdefghijkl".prefix(voters + able).map { MemberID(String($0)) }
        var document = Founders.document(names.map(Founders.member))
        document.voters = Voters(Array(names.prefix(voters)))
        document.systemIdentifier = 7
        document.maximumTimeline = 1
        document.append(Lineage(epoch: 4, timeline: 1, parent: nil, member: "a", status: .open))
        document.primary = PrimaryRecord(member: "a", epoch: 4, timeline: 1)
        let stage = Stage()
        for name in names.dropFirst() {
            var report = MemberReport(
                dataState: .valid, state: .started, role: .replica, streaming: true, frozenTerm: 0,
                agentVersion: "1")
            report.position = Position(timeline: 1, lsn: LSN(700))
            stage.answering[name] = report
        }
        stage.begin(as: "a", with: document, armed: 4)
        stage.postgres = PostgresReport(state: .primary, takenAt: stage.now)
        stage.postgres.position = Position(timeline: 1, lsn: LSN(700))
        stage.postgres.systemIdentifier = 7
        stage.feed(.postgresReported(stage.postgres))
        stage.pass(.seconds(2), hearing: false)
        #expect(stage.complaints == [])
        return try #require(stage.node)
    }

    @Test(arguments: 1...5, 0...5)
    func theVotersAreTheLargestOddSet(_ voters: Int, _ able: Int) throws {
        let node = try primary(voters: voters, able: able)
        let before = "abcdefghijkl".prefix(voters).map { MemberID(String($0)) }
        let after = try #require(node.document).voters
        #expect(!after.isJoint, "a joint set is left again")
        #expect(before.allSatisfy(after.contains), "whoever votes keeps its vote")
        let all = voters + able
        let largest = all.isMultiple(of: 2) ? all - 1 : all
        #expect(after.current.count == max(largest, voters))
        #expect(node.isLeader && node.writableUntil != nil)
    }
}
