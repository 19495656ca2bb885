import Consensus
import Simulator
import Supervision
import Testing

/// A herd that has come up and is whole, with nothing found wrong on the way.
func wholeHerd(_ members: Int, lease: Duration = .seconds(5), seed: UInt64 = 1) -> Herd {
    let herd = Herd(members, lease: lease, seed: seed)
    expectWhole(herd, within: .seconds(60))
    // Everyone's report has reached the leader when it is asked to judge.
    herd.run(for: .seconds(3))
    return herd
}

/// The herd becomes whole in time and no judge objects.
@discardableResult
func expectWhole(
    _ herd: Herd, within limit: Duration, sourceLocation: SourceLocation = #_sourceLocation
) -> Duration? {
    let took = herd.run(within: limit) { $0.isWhole }
    let story = herd.violation.map(String.init(describing:)) ?? herd.complaint ?? ""
    #expect(took != nil, "\(story)\n\(herd.traceTail)", sourceLocation: sourceLocation)
    return took
}

@Suite("Bootstrap")
struct BootstrapTests {
    @Test func oneMachineBecomesAHerd() {
        let herd = wholeHerd(1)
        #expect(herd.primary == "a")
        #expect(herd.timeline("a") == 1)
    }

    @Test func threeMachinesBecomeOneHerdWithOneDatabase() {
        let herd = wholeHerd(3)
        #expect(Set(["a", "b", "c"].map { herd.systemIdentifier($0) }).count == 1)
        #expect(herd.document?.voters.current == ["a", "b", "c"])
    }

    @Test(arguments: [["a", "b", "c"], ["c", "b", "a"], ["b", "a", "c"]] as [[MemberID]])
    func theOrderOfSwitchingOnDoesNotMatter(_ order: [MemberID]) {
        let herd = Herd.cold(3)
        for member in order {
            herd.boot(member)
            herd.run(for: .seconds(20))
        }
        expectWhole(herd, within: .seconds(60))
    }

    /// Its proposal is its word: whoever has that needs the proposer no more.
    @Test func aFounderThatDiesAfterItsProposalIsNotWaitedFor() {
        let herd = Herd(3)
        #expect(herd.run(within: .seconds(20)) { $0.hasAgreedToFound("b") } != nil)
        herd.crash("a")
        #expect(herd.document == nil)
        #expect(herd.run(within: .seconds(60)) { $0.primary != nil } != nil, "\(herd.traceTail)")
        herd.boot("a")
        expectWhole(herd, within: .seconds(60))
    }

    @Test func aNewMachineJoinsIsClonedAndCounts() {
        let herd = wholeHerd(2)
        herd.join("c")
        expectWhole(herd, within: .seconds(60))
        #expect(herd.dataState("c") == .valid)
        #expect(herd.document?.voters.contains("c") == true)
    }

    @Test(arguments: [["a", "b", "c"], ["c", "b", "a"], ["b", "c", "a"]] as [[MemberID]])
    func afterATotalLossOfPowerTheHerdComesBackInAnyOrder(_ order: [MemberID]) {
        let herd = wholeHerd(3)
        for member in order { herd.crash(member) }
        herd.run(for: .seconds(5))
        for member in order {
            herd.boot(member)
            herd.run(for: .seconds(7))
        }
        expectWhole(herd, within: .seconds(90))
        #expect(herd.lostWrites == 0)
    }
}

@Suite("Loss")
struct LossTests {
    @Test(arguments: [(Duration.seconds(5), Duration.milliseconds(6700)), (.seconds(1), .milliseconds(1800))])
    func aLostMachineIsReplacedWithinTheLeaseAndALittle(_ lease: Duration, _ limit: Duration) throws {
        let herd = wholeHerd(3, lease: lease)
        let old = try #require(herd.primary)
        herd.crash(old)
        let took = herd.run(within: .seconds(30)) { $0.primary != nil && $0.primary != old }
        #expect(took.map { $0 < limit } == true, "took \(String(describing: took))\n\(herd.traceTail)")
        herd.boot(old)
        expectWhole(herd, within: .seconds(90))
        herd.run(for: .seconds(3))
        #expect(herd.timeline(old) == 2)
    }

    @Test func aKilledPostmasterComesBackWhereItWas() throws {
        let herd = wholeHerd(3)
        let old = try #require(herd.primary)
        herd.killPostmaster(old)
        #expect(herd.run(within: .seconds(5)) { $0.primary != nil } != nil, "\(herd.traceTail)")
        #expect(herd.primary == old)
        #expect(herd.timeline(old) == 1)
        expectWhole(herd, within: .seconds(60))
        #expect(herd.lostWrites == 0)
    }

    @Test func anAgentThatIsKilledAndStartedAgainChangesNothingForClients() throws {
        let herd = wholeHerd(3)
        let primary = try #require(herd.primary)
        herd.killAgent(primary)
        herd.run(for: .milliseconds(1500))
        herd.startAgent(primary)
        for _ in 0..<100 {
            herd.run(for: .milliseconds(100))
            #expect(herd.primary == primary)
        }
        #expect(herd.timeline(primary) == 1)
        expectWhole(herd, within: .seconds(30))
    }

    @Test func aFrozenAgentLosesItsPrimaryAtTheDeadlineAndNeverTwoWrite() throws {
        let herd = wholeHerd(3)
        let old = try #require(herd.primary)
        herd.pauseAgent(old)
        herd.run(for: .seconds(30))
        let new = try #require(herd.primary)
        #expect(new != old)
        #expect(!herd.isPostgresAlive(old))
        herd.continueAgent(old)
        expectWhole(herd, within: .seconds(90))
        #expect(herd.primary == new)
    }

    @Test func aGuardThatDiesTakesItsPostgresAlongAndTheHerdGoesOn() throws {
        let herd = wholeHerd(3)
        let old = try #require(herd.primary)
        herd.killGuard(old)
        expectWhole(herd, within: .seconds(90))
        #expect(herd.lostWrites == 0)
    }

    /// I30.
    @Test func aLostStandbyCostsClientsNothing() throws {
        let herd = wholeHerd(3)
        let primary = try #require(herd.primary)
        let standby: MemberID = primary == "c" ? "b" : "c"
        herd.crash(standby)
        for _ in 0..<200 {
            herd.run(for: .milliseconds(100))
            #expect(herd.primary == primary)
        }
        herd.boot(standby)
        expectWhole(herd, within: .seconds(60))
    }
}

@Suite("Cut lines")
struct CutTests {
    @Test func anIsolatedPrimaryIsEndedAndFollowsOnceItIsBack() throws {
        let herd = wholeHerd(3)
        let old = try #require(herd.primary)
        herd.isolate(old)
        #expect(herd.run(within: .seconds(8)) { $0.primary != nil && $0.primary != old } != nil)
        #expect(!herd.isPostgresAlive(old) || herd.primary != old)
        herd.heal()
        expectWhole(herd, within: .seconds(90))
    }

    @Test func aPrimaryThatIsNotHeardIsReplaced() throws {
        let herd = wholeHerd(3)
        let old = try #require(herd.primary)
        herd.cutFrom(old)
        #expect(herd.run(within: .seconds(20)) { $0.primary != nil && $0.primary != old } != nil)
        herd.heal()
        expectWhole(herd, within: .seconds(90))
    }

    @Test func aPrimaryThatHearsNobodyIsReplaced() throws {
        let herd = wholeHerd(3)
        let old = try #require(herd.primary)
        herd.cutTo(old)
        #expect(herd.run(within: .seconds(20)) { $0.primary != nil && $0.primary != old } != nil)
        herd.heal()
        expectWhole(herd, within: .seconds(90))
    }

    @Test func anIsolatedStandbyDisturbsNobody() throws {
        let herd = wholeHerd(3)
        let primary = try #require(herd.primary)
        let standby: MemberID = primary == "c" ? "b" : "c"
        herd.isolate(standby)
        herd.run(for: .seconds(60))
        #expect(herd.primary == primary)
        herd.heal()
        expectWhole(herd, within: .seconds(60))
        #expect(herd.primary == primary)
        #expect(herd.timeline(primary) == 1)
    }

    @Test func oneCutLineBetweenPrimaryAndStandbyMovesNothing() throws {
        let herd = wholeHerd(3)
        let primary = try #require(herd.primary)
        let standby: MemberID = primary == "c" ? "b" : "c"
        herd.cut(primary, standby)
        herd.cut(standby, primary)
        herd.run(for: .seconds(60))
        #expect(herd.primary == primary)
        herd.heal()
        expectWhole(herd, within: .seconds(60))
    }

    @Test func messagesThatComeTwiceAndAMinuteLateDoNoHarm() throws {
        let herd = wholeHerd(3)
        herd.duplicateMessages(late: .seconds(70))
        for member: MemberID in ["b", "c", "a"] {
            herd.switchover(to: member, at: try #require(herd.primary))
            herd.run(for: .seconds(30))
        }
        herd.crash(try #require(herd.primary))
        herd.run(for: .seconds(120))
        #expect(herd.primary != nil)
        #expect(herd.violation == nil)
    }
}
