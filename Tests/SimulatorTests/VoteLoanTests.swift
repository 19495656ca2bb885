import Consensus
import Supervision
import Testing

@testable import Simulator

/// The role goes to a member that has no vote (protocol: Switchover to a member without a vote).
@Suite struct VoteLoanTests {
    /// How far the hand-over has come when its target is lost.
    enum Phase: CaseIterable {
        case wished, joint, lent, closed, released

        func isReached(_ herd: Herd, from old: MemberID, to target: MemberID) -> Bool {
            guard let document = herd.document(of: old) else { return false }
            switch self {
            case .wished: return document.switchover != nil
            case .joint: return document.voters.isJoint
            case .lent: return document.loan != nil && !document.voters.isJoint
            case .closed: return !herd.isPostgresAlive(old)
            case .released: return !herd.isPostgresAlive(old) && !herd.leads(old)
            }
        }
    }

    private func whole(_ members: Int) -> Herd {
        let herd = Herd(members, lease: .seconds(2))
        #expect(herd.run(within: .seconds(60)) { $0.isWhole } != nil, "\(herd.complaint ?? "")")
        herd.run(for: .seconds(3))
        return herd
    }

    private func voters(_ herd: Herd) -> [MemberID] { herd.document?.voters.current ?? [] }

    private func spare(_ herd: Herd) -> MemberID? {
        herd.document?.members.map(\.id).first { !voters(herd).contains($0) }
    }

    @Test(arguments: [2, 4])
    func theSpareTakesTheRoleAndAVoteWithNothingLost(_ members: Int) throws {
        let herd = whole(members)
        let old = try #require(herd.primary)
        let target = try #require(spare(herd))
        let before = voters(herd)
        herd.switchover(to: target, at: target)
        let done = herd.run(within: .seconds(20)) {
            $0.primary == target && $0.isWhole && $0.document?.loan == nil
        }
        #expect(done != nil, "\(herd.complaint ?? "") \(herd.traceTail)")
        #expect(voters(herd).contains(target) && voters(herd).count == before.count)
        #expect(members == 2 || voters(herd).contains(old))
        #expect(herd.lostWrites == 0)
        #expect(herd.violation == nil, "\(herd.traceTail)")
    }

    @Test func whoHadItsVoteTakenVotesOnlyWhileItIsPrimary() throws {
        let herd = whole(4)
        let old = try #require(herd.primary)
        let demoted = try #require(voters(herd).last { $0 != old })
        herd.ask(.demoteVoter(demoted), of: old)
        #expect(herd.run(within: .seconds(20)) { !voters($0).contains(demoted) && $0.isWhole } != nil)
        herd.switchover(to: demoted, at: old)
        #expect(herd.run(within: .seconds(20)) { $0.primary == demoted && $0.isWhole } != nil)
        herd.run(for: .seconds(5))
        #expect(voters(herd).contains(demoted) && voters(herd).count == 3)
        herd.switchover(to: old, at: old)
        let back = herd.run(within: .seconds(30)) {
            $0.primary == old && $0.isWhole && !voters($0).contains(demoted) && voters($0).count == 3
        }
        #expect(back != nil, "\(herd.complaint ?? "") \(voters(herd)) \(herd.traceTail)")
        #expect(herd.violation == nil, "\(herd.traceTail)")
    }

    /// With a spare, three are left who vote as before, whenever it happens.
    @Test(arguments: Phase.allCases)
    func aSpareThatDiesGivesTheVoteBackAndTheOthersGoOn(_ phase: Phase) throws {
        let herd = whole(4)
        let old = try #require(herd.primary)
        let target = try #require(spare(herd))
        let before = voters(herd)
        herd.switchover(to: target, at: old)
        #expect(herd.run(within: .seconds(20)) { phase.isReached($0, from: old, to: target) } != nil)
        herd.crash(target)
        let goesOn = herd.run(within: .seconds(40)) {
            $0.primary != nil && voters($0) == before && $0.document?.loan == nil && $0.isWhole
        }
        #expect(goesOn != nil, "\(herd.complaint ?? "") \(voters(herd)) \(herd.traceTail)")
        herd.boot(target)
        #expect(herd.run(within: .seconds(60)) { $0.isWhole && $0.follows(target) } != nil)
        #expect(herd.violation == nil, "\(herd.traceTail)")
    }

    /// Of two the one that was to take over is needed from the joint set on: it is waited for.
    @Test(arguments: Phase.allCases)
    func ofTwoTheTargetIsWaitedFor(_ phase: Phase) throws {
        let herd = whole(2)
        let old = try #require(herd.primary)
        let target = try #require(spare(herd))
        herd.switchover(to: target, at: old)
        #expect(herd.run(within: .seconds(20)) { phase.isReached($0, from: old, to: target) } != nil)
        herd.crash(target)
        herd.run(for: .seconds(20))
        if herd.primary == nil {
            #expect(herd.reason(old)?.contains("quorum force") == true, "\(herd.reason(old) ?? "")")
        } else {
            #expect(phase == .wished && herd.primary == old && voters(herd) == [old])
        }
        herd.boot(target)
        let isWell = herd.run(within: .seconds(60)) {
            $0.isWhole && $0.document?.loan == nil && voters($0).count == 1
        }
        #expect(isWell != nil, "\(herd.complaint ?? "") \(herd.traceTail)")
        #expect(herd.violation == nil, "\(herd.traceTail)")
    }

    /// The old primary dies instead: the voters of the moment decide, and the vote goes where it belongs.
    @Test(arguments: Phase.allCases.dropLast())
    func whoeverFollowsAPrimaryThatDiesPutsTheVotesRight(_ phase: Phase) throws {
        let herd = whole(4)
        let old = try #require(herd.primary)
        let target = try #require(spare(herd))
        herd.switchover(to: target, at: old)
        #expect(herd.run(within: .seconds(20)) { phase.isReached($0, from: old, to: target) } != nil)
        herd.crash(old)
        let goesOn = herd.run(within: .seconds(40)) {
            $0.primary != nil && $0.document?.loan == nil && $0.isWhole
        }
        #expect(goesOn != nil, "\(herd.complaint ?? "") \(voters(herd)) \(herd.traceTail)")
        let primary = try #require(herd.primary)
        #expect(voters(herd).count == 3 && voters(herd).contains(primary))
        herd.boot(old)
        #expect(herd.run(within: .seconds(60)) { $0.isWhole && $0.follows(old) } != nil)
        #expect(herd.violation == nil, "\(herd.traceTail)")
    }
}
