import Consensus
import Supervision
import Testing

@testable import Simulator

/// Stories from the catalogues of failures and from the suites of others (docs/internals/scenarios.md) that
/// no other test here tells.
@Suite("Catalogue")
struct CatalogueTests {
    /// Everyone's term: what an election that leads to nothing raises.
    private func terms(_ herd: Herd) -> [Term] {
        herd.world.machines.map { $0.agent.node?.term ?? 0 }
    }

    /// Every direction of every pair on its own: the other lines carry the majority's word.
    @Test func noOneWayCutBetweenTwoMembersMovesTheRoleOrRaisesTheTerm() throws {
        let herd = wholeHerd(3)
        let (primary, before) = (try #require(herd.primary), terms(herd))
        for from in ["a", "b", "c"] as [MemberID] {
            for to in ["a", "b", "c"] as [MemberID] where from != to {
                herd.cut(from, to)
                herd.run(for: .seconds(30))
                #expect(herd.primary == primary, "\(from) → \(to): \(herd.traceTail)")
                herd.heal()
                expectWhole(herd, within: .seconds(30))
                #expect(terms(herd) == before, "\(from) → \(to)")
            }
        }
    }

    @Test func aLineThatFlapsFasterThanTheLeaseMovesNothing() throws {
        let herd = wholeHerd(3)
        let (primary, before) = (try #require(herd.primary), terms(herd))
        for _ in 0..<20 {
            herd.isolate(primary)
            herd.run(for: .milliseconds(1500))
            herd.heal()
            herd.run(for: .milliseconds(700))
        }
        #expect(herd.primary == primary)
        #expect(terms(herd) == before)
        expectWhole(herd, within: .seconds(30))
    }

    @Test func aThirdOfAllMessagesLostAndTheRestLateWritesGoOn() {
        let herd = Herd(3) { options in
            options.weather.loss = 0.3
            options.weather.latency = .milliseconds(200)
        }
        expectWhole(herd, within: .seconds(120))
        let before = herd.acknowledgedWrites
        herd.run(for: .seconds(300))
        #expect(herd.violation == nil, "\(herd.traceTail)")
        #expect(herd.acknowledgedWrites > before + 100)
    }

    @Test func fourInTwoHalvesGoOnWhereTwoOfTheThreeVotersAre() throws {
        let herd = wholeHerd(4)
        let voters = try #require(herd.document?.voters.current)
        #expect(voters.count == 3)
        let spare = try #require(herd.document?.members.map(\.id).first { !voters.contains($0) })
        let primary = try #require(herd.primary)
        for one in [primary, spare] {
            for other in voters where other != primary {
                herd.cut(one, other)
                herd.cut(other, one)
            }
        }
        let moved = herd.run(within: .seconds(15)) { $0.primary.map { $0 != primary } ?? false }
        #expect(moved != nil, "\(herd.traceTail)")
        #expect(herd.primary != spare)
        herd.heal()
        expectWhole(herd, within: .seconds(60))
    }

    @Test func ofTwoTheOneWithoutAVoteIsMissedByNobodyAndLeadsNothingAlone() throws {
        let herd = wholeHerd(2)
        let voter = try #require(herd.document?.voters.current.first)
        let other: MemberID = voter == "a" ? "b" : "a"
        let before = herd.acknowledgedWrites
        herd.crash(other)
        herd.run(for: .seconds(30))
        #expect(herd.primary == voter)
        #expect(herd.acknowledgedWrites > before)
        herd.boot(other)
        expectWhole(herd, within: .seconds(60))
        herd.crash(voter)
        herd.run(for: .seconds(60))
        #expect(herd.primary == nil)
        herd.boot(voter)
        expectWhole(herd, within: .seconds(60))
        #expect(herd.primary == voter)
        #expect(herd.lostWrites == 0)
    }

    @Test func oneMachineThatCrashesGoesOnWithTheSameHistory() {
        let herd = wholeHerd(1)
        herd.crash("a")
        herd.run(for: .seconds(2))
        herd.boot("a")
        expectWhole(herd, within: .seconds(60))
        #expect(herd.timeline("a") == 1)
    }

    @Test func allAgentsKilledAtOnceAndBackInTwoSecondsThePrimaryNeverStopped() throws {
        let herd = wholeHerd(3)
        let primary = try #require(herd.primary)
        for member in ["a", "b", "c"] as [MemberID] { herd.killAgent(member) }
        herd.run(for: .seconds(2))
        for member in ["a", "b", "c"] as [MemberID] { herd.startAgent(member) }
        let stopped = herd.run(within: .seconds(30)) { $0.primary == nil }
        #expect(stopped == nil, "\(herd.traceTail)")
        expectWhole(herd, within: .seconds(30))
        #expect(herd.primary == primary)
        #expect(herd.timeline(primary) == 1)
    }

    @Test func agentsReplacedOneAfterTheOtherNeverStopTheWrites() throws {
        let herd = wholeHerd(3)
        let primary = try #require(herd.primary)
        for member in ["a", "b", "c"] as [MemberID] {
            herd.killAgent(member)
            herd.run(for: .milliseconds(300))
            herd.startAgent(member)
            let stopped = herd.run(within: .seconds(10)) { $0.primary == nil }
            #expect(stopped == nil, "\(member): \(herd.traceTail)")
        }
        expectWhole(herd, within: .seconds(30))
        #expect(herd.primary == primary)
    }

    @Test(arguments: [true, false])
    func aMachineStoppedForAMinuteComesBackAsAFollower(_ clockToo: Bool) throws {
        let herd = wholeHerd(3)
        let primary = try #require(herd.primary)
        herd.machine(primary).pause(clockToo: clockToo)
        let moved = herd.run(within: .seconds(15)) { $0.document?.primary?.member != primary }
        #expect(moved != nil)
        herd.run(for: .seconds(45))
        herd.machine(primary).resume(clockToo: clockToo)
        expectWhole(herd, within: .seconds(60))
        #expect(herd.primary != primary)
    }

    @Test func aMachineMovedWhileItRunsStandsStillForASecondAndAHalfAndKeepsItsRole() throws {
        let herd = wholeHerd(3)
        let primary = try #require(herd.primary)
        herd.machine(primary).pause(clockToo: false)
        herd.run(for: .milliseconds(1500))
        herd.machine(primary).resume(clockToo: false)
        herd.run(for: .seconds(20))
        #expect(herd.primary == primary)
        expectWhole(herd, within: .seconds(30))
    }

    @Test(arguments: stride(from: 0, through: 700, by: 100).map { $0 })
    func thePrimarysMachineDiesAnywhereInASwitchover(_ milliseconds: Int) throws {
        let herd = wholeHerd(3)
        let primary = try #require(herd.primary)
        herd.switchover(to: nil, at: primary)
        herd.run(for: .milliseconds(milliseconds))
        herd.crash(primary)
        let taken = herd.run(within: .seconds(20)) { $0.primary.map { $0 != primary } ?? false }
        #expect(taken != nil, "\(herd.traceTail)")
        herd.boot(primary)
        expectWhole(herd, within: .seconds(90))
    }

    /// Whoever is about to take over is struck in each step on the way there.
    @Test(arguments: stride(from: 4000, through: 6400, by: 100).map { $0 })
    func theLeadersAgentDiesAnywhereInAFailover(_ milliseconds: Int) throws {
        let herd = wholeHerd(3)
        let primary = try #require(herd.primary)
        herd.crash(primary)
        herd.run(for: .milliseconds(milliseconds))
        let left = ["a", "b", "c"].map { MemberID($0) }.filter { $0 != primary }
        let struck = left.first { herd.leads($0) } ?? left[0]
        herd.killAgent(struck)
        herd.run(for: .milliseconds(500))
        herd.startAgent(struck)
        #expect(herd.run(within: .seconds(30)) { $0.primary != nil } != nil, "\(herd.traceTail)")
        herd.boot(primary)
        expectWhole(herd, within: .seconds(90))
    }

    @Test(arguments: [true, false])
    func twoPrimariesFailInTurnAndComeBackInEitherOrder(_ firstComesFirst: Bool) throws {
        let herd = wholeHerd(5)
        let first = try #require(herd.primary)
        herd.crash(first)
        #expect(herd.run(within: .seconds(15)) { $0.primary != nil } != nil)
        let second = try #require(herd.primary)
        herd.run(for: .seconds(10))
        herd.crash(second)
        #expect(herd.run(within: .seconds(15)) { $0.primary != nil } != nil)
        for member in firstComesFirst ? [first, second] : [second, first] {
            herd.boot(member)
            #expect(herd.run(within: .seconds(60)) { $0.follows(member) } != nil, "\(herd.traceTail)")
        }
        expectWhole(herd, within: .seconds(60))
    }
}
