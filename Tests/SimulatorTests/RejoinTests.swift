import Consensus
import Simulator
import Supervision
import Testing

/// The rejoin ladder (protocol: Rejoining).
@Suite("Rejoining")
struct RejoinTests {
    /// A herd whose old primary took writes that the new one never saw, and is back.
    private func split(_ change: (inout Options) -> Void = { _ in }) throws -> (herd: Herd, old: MemberID) {
        let herd = Herd(3, options: change)
        expectWhole(herd, within: .seconds(60))
        herd.run(for: .seconds(3))
        let old = try #require(herd.primary)
        herd.isolate(old)
        #expect(herd.run(within: .seconds(10)) { $0.primary != nil && $0.primary != old } != nil)
        herd.heal()
        return (herd, old)
    }

    @Test func aFormerPrimaryWithWritesOfItsOwnIsRewoundNotCopied() throws {
        let (herd, old) = try split()
        let clones = herd.clones
        expectWhole(herd, within: .seconds(60))
        #expect(herd.rewinds == 1)
        #expect(herd.clones == clones)
        #expect(herd.timeline(old) == 2)
        #expect(herd.lostWrites > 0)
    }

    @Test func whereARewindIsImpossibleTheDataIsCopied() throws {
        let (herd, _) = try split { $0.rewindImpossible = 1 }
        let clones = herd.clones
        expectWhole(herd, within: .seconds(60))
        #expect(herd.rewinds == 0)
        #expect(herd.clones == clones + 1)
    }

    @Test(arguments: [true, false])
    func whatARewindWasInterruptedInIsNeverStartedAndCopied(_ isWholeMachine: Bool) throws {
        let (herd, old) = try split { $0.rewindTime = .seconds(20) }
        let clones = herd.clones
        #expect(herd.run(within: .seconds(30)) { $0.isTorn(old) } != nil)
        if isWholeMachine {
            herd.crash(old)
            herd.run(for: .seconds(5))
            herd.boot(old)
        } else {
            herd.killAgent(old)
            herd.run(for: .seconds(5))
            herd.startAgent(old)
        }
        expectWhole(herd, within: .seconds(60))
        #expect(herd.rewinds == 0)
        #expect(herd.clones == clones + 1)
    }

    @Test func whenThePrimaryDiesDuringARewindTheDataIsCopiedFromTheNext() throws {
        let (herd, old) = try split { $0.rewindTime = .seconds(20) }
        #expect(herd.run(within: .seconds(30)) { $0.isTorn(old) } != nil)
        let second = try #require(herd.primary)
        herd.crash(second)
        #expect(herd.run(within: .seconds(30)) { $0.primary != nil && $0.primary != second } != nil)
        #expect(herd.primary != old)
        herd.boot(second)
        expectWhole(herd, within: .seconds(120))
    }

    @Test func noMoreThanTwoCopyThePrimaryAtOnceAndEachGetsItsTurn() {
        let herd = Herd(5) { $0.cloneTime = .seconds(20) }
        expectWhole(herd, within: .seconds(180))
        #expect(herd.clones >= 4)
        #expect(herd.clonesAtOnce == 2)
    }

    /// A promotion that came to nothing on one node and then succeeded on another: its timeline is burnt, and
    /// who began it is taken back.
    @Test func aPromotionThatFailedIsTakenBackWhenAnotherSucceeds() throws {
        let herd = wholeHerd(3)
        let old = try #require(herd.primary)
        herd.spoilNextPromotion()
        herd.crash(old)
        #expect(herd.run(within: .seconds(60)) { $0.primary != nil && $0.primary != old } != nil)
        herd.boot(old)
        expectWhole(herd, within: .seconds(120))
        let burnt = herd.document?.lineages.filter { $0.status == .burnt } ?? []
        let open = herd.document?.currentLineage
        #expect(!burnt.isEmpty || open?.timeline == 3, "\(herd.traceTail)")
    }
}
