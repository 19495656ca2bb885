import Consensus
import Supervision
import Testing

@testable import Simulator

/// Disks that are put back to what they were before (protocol: Rolled back).
@Suite struct RollbackTests {
    /// Something that everybody writes down.
    private func moveOn(_ herd: Herd) throws {
        let old = try #require(herd.primary)
        let next = try #require(herd.world.machines.map(\.id).first { $0 != old })
        herd.switchover(to: next, at: old)
        #expect(herd.run(within: .seconds(30)) { $0.primary == next && $0.isWhole } != nil)
        // Everyone's report has reached the leader when it is asked again.
        herd.run(for: .seconds(3))
    }

    @Test(arguments: Machine.Part.allCases)
    func aStandbyThatIsPutBackComesBackWithoutItsOldVoice(_ part: Machine.Part) throws {
        let herd = wholeHerd(3)
        let victim = try #require(herd.world.machines.map(\.id).last { $0 != herd.primary })
        let before = try #require(herd.document?.member(victim)?.instance)
        let copy = herd.machine(victim).diskCopy
        try moveOn(herd)
        try moveOn(herd)
        herd.crash(victim)
        herd.putBack(victim, to: copy, part)
        herd.boot(victim)
        expectWhole(herd, within: .seconds(60))
        let after = try #require(herd.document?.member(victim)?.instance)
        #expect((after == before) == (part == .data))
        #expect(herd.document?.voters.contains(victim) == true)
    }

    @Test(arguments: Machine.Part.allCases)
    func aPrimaryThatIsPutBackCostsNothingThatTheOthersHave(_ part: Machine.Part) throws {
        let herd = wholeHerd(3)
        let victim = try #require(herd.primary)
        let copy = herd.machine(victim).diskCopy
        try moveOn(herd)
        herd.switchover(to: victim, at: try #require(herd.primary))
        #expect(herd.run(within: .seconds(30)) { $0.primary == victim && $0.isWhole } != nil)
        herd.run(for: .seconds(20))
        herd.crash(victim)
        herd.putBack(victim, to: copy, part)
        herd.boot(victim)
        expectWhole(herd, within: .seconds(60))
    }

    /// Looked at from outside it is a crash: started as primary it would write over what the others have.
    @Test func aLastPrimaryWithAnOlderDirectoryDoesNotWriteWhereTheOthersAreAlready() throws {
        let herd = wholeHerd(3)
        let victim = try #require(herd.primary)
        let others = herd.world.machines.map(\.id).filter { $0 != victim }
        herd.run(for: .seconds(5))
        let copy = herd.machine(victim).diskCopy
        herd.run(for: .seconds(30))
        for member in [victim] + others { herd.crash(member) }
        herd.putBack(victim, to: copy, .data)
        // It alone may lead first: the others come up later by less than their boot wait.
        herd.boot(victim)
        herd.run(for: .seconds(3))
        for member in others { herd.boot(member) }
        expectWhole(herd, within: .seconds(90))
        #expect(herd.lostWrites == 0)
    }

    @Test func withoutALeaderToTakeItInAMemberThatWasPutBackWaits() throws {
        let herd = wholeHerd(3)
        let victim = try #require(herd.world.machines.map(\.id).last { $0 != herd.primary })
        let copy = herd.machine(victim).diskCopy
        try moveOn(herd)
        let primary = try #require(herd.primary)
        let witness = try #require(herd.world.machines.map(\.id).first { $0 != primary && $0 != victim })
        herd.run(for: .seconds(2))
        for member in [victim, primary] { herd.crash(member) }
        herd.putBack(victim, to: copy, .state)
        herd.boot(victim)
        herd.run(for: .seconds(60))
        #expect(herd.rule(victim) == "rolled-back")
        #expect(!herd.leads(witness) && herd.primary == nil)
        herd.boot(primary)
        expectWhole(herd, within: .seconds(60))
    }
}
