import Consensus
import Simulator
import Supervision
import Testing

/// Copies taken from a standby that is offered for them (protocol: Rejoining).
@Suite struct CopySourceTests {
    /// A leads, b is offered for copies, d is copying it.
    private func copying() throws -> Herd {
        let herd = Herd(3) {
            $0.tags["b"] = ["clonefrom"]
            $0.cloneTime = .seconds(8)
        }
        expectWhole(herd, within: .seconds(120))
        herd.run(for: .seconds(3))
        if let primary = herd.primary, primary != "a" {
            herd.switchover(to: "a", at: primary)
            #expect(herd.run(within: .seconds(30)) { $0.primary == "a" && $0.isWhole } != nil)
        }
        herd.join("d")
        let begun = herd.run(within: .seconds(20)) {
            $0.dataState("d") == .cloning && $0.rule("d") == "order-running"
        }
        #expect(begun != nil)
        return herd
    }

    @Test func theOfferedStandbyIsCopiedAndThePrimaryFollowed() throws {
        let herd = try copying()
        let before = herd.clonesOfStandbys
        expectWhole(herd, within: .seconds(60))
        #expect(herd.clonesOfStandbys == before + 1)
        #expect(herd.follows("d"))
    }

    @Test func aSourceThatIsLostIsReplacedByThePrimary() throws {
        let herd = try copying()
        let before = herd.clonesOfStandbys
        herd.crash("b")
        #expect(herd.run(within: .seconds(90)) { $0.follows("d") } != nil, "\(herd.traceTail)")
        #expect(herd.clonesOfStandbys == before)
        herd.boot("b")
        expectWhole(herd, within: .seconds(60))
    }

    @Test(arguments: ["b", "c"] as [MemberID])
    func aChangeOfThePrimaryBeginsTheCopyAnew(_ target: MemberID) throws {
        let herd = try copying()
        herd.switchover(to: target, at: "a")
        #expect(herd.run(within: .seconds(30)) { $0.primary == target } != nil, "\(herd.traceTail)")
        expectWhole(herd, within: .seconds(90))
        #expect(herd.follows("d"))
    }

    @Test func aSourceWhoseOwnDataHasDivergedSpoilsNothing() throws {
        let herd = try copying()
        // B is alone with the primary and then leads by itself: what d copies may be of no history.
        herd.isolate("a")
        herd.run(for: .seconds(1))
        herd.crash("a")
        herd.heal()
        #expect(herd.run(within: .seconds(60)) { $0.primary != nil } != nil)
        herd.boot("a")
        expectWhole(herd, within: .seconds(120))
        #expect(herd.follows("d"))
    }
}
