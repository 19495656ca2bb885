import Consensus
import Simulator
import Supervision
import Testing

@Suite("Switchover")
struct SwitchoverTests {
    private func moved(_ herd: Herd, from old: MemberID, to new: MemberID? = nil) -> Duration? {
        herd.run(within: .seconds(20)) { herd in
            guard let now = herd.primary, now != old else { return false }
            return new == nil || now == new
        }
    }

    @Test(arguments: ["a", "b", "c"] as [MemberID])
    func aCommandAtAnyNodeMovesTheRoleAndLosesNothing(_ asked: MemberID) throws {
        let herd = wholeHerd(3)
        let old = try #require(herd.primary)
        let target: MemberID = old == "c" ? "b" : "c"
        herd.switchover(to: target, at: asked)
        #expect(moved(herd, from: old, to: target) != nil, "\(herd.traceTail)")
        expectWhole(herd, within: .seconds(30))
        #expect(herd.lostWrites == 0)
    }

    @Test func aSignalOnThePrimaryMovesTheRoleAway() throws {
        let herd = wholeHerd(3)
        let old = try #require(herd.primary)
        herd.ask(.signalSwitchover, of: old)
        #expect(moved(herd, from: old) != nil, "\(herd.traceTail)")
        expectWhole(herd, within: .seconds(30))
        #expect(herd.lostWrites == 0)
    }

    @Test func aSignalOnAStandbyMovesTheRoleThere() throws {
        let herd = wholeHerd(3)
        let old = try #require(herd.primary)
        let target: MemberID = old == "c" ? "b" : "c"
        herd.ask(.signalSwitchover, of: target)
        #expect(moved(herd, from: old, to: target) != nil, "\(herd.traceTail)")
        expectWhole(herd, within: .seconds(30))
        #expect(herd.lostWrites == 0)
    }

    @Test func aStoppedPrimaryHandsOverFirst() throws {
        let herd = wholeHerd(3)
        let old = try #require(herd.primary)
        herd.ask(.stop, of: old)
        #expect(moved(herd, from: old).map { $0 < .seconds(3) } == true, "\(herd.traceTail)")
        #expect(herd.run(within: .seconds(20)) { !$0.isPostgresAlive(old) } != nil)
        herd.startAgent(old)
        expectWhole(herd, within: .seconds(60))
        #expect(herd.lostWrites == 0)
    }

    @Test func aTargetThatDiesWhenItIsItsTurnIsReplaced() throws {
        let herd = wholeHerd(3)
        let old = try #require(herd.primary)
        let target: MemberID = old == "c" ? "b" : "c"
        herd.switchover(to: target, at: old)
        #expect(herd.run(within: .seconds(20)) { !$0.isPostgresAlive(old) } != nil)
        herd.crash(target)
        #expect(herd.run(within: .seconds(20)) { $0.primary != nil } != nil, "\(herd.traceTail)")
        herd.boot(target)
        expectWhole(herd, within: .seconds(90))
        #expect(herd.lostWrites == 0)
    }

    @Test func aPromotionThatFailsBurnsItsTimelineAndTheHerdFindsAnother() throws {
        let herd = wholeHerd(3)
        let old = try #require(herd.primary)
        herd.spoilNextPromotion()
        herd.crash(old)
        #expect(herd.run(within: .seconds(60)) { $0.primary != nil } != nil, "\(herd.traceTail)")
        herd.boot(old)
        expectWhole(herd, within: .seconds(120))
        let burnt = herd.document?.lineages.filter { $0.status == .burnt } ?? []
        #expect(!burnt.isEmpty)
    }

    @Test func aHerdOfOneGoesOnFromAPromotionThatCrashed() {
        let herd = wholeHerd(1)
        herd.spoilNextPromotion()
        for _ in 0..<2 {
            herd.crash("a")
            herd.run(for: .seconds(2))
            herd.boot("a")
            expectWhole(herd, within: .seconds(120))
        }
        #expect(herd.lostWrites == 0)
    }
}
