import Consensus
import Supervision
import Testing

@testable import Simulator

/// Members that come, go and change (protocol: Joining and voters).
@Suite struct MemberTests {
    private func whole(_ members: Int) -> Herd {
        let herd = Herd(members, lease: .seconds(2))
        #expect(herd.run(within: .seconds(60)) { $0.isWhole } != nil, "\(herd.complaint ?? "")")
        return herd
    }

    private func voters(_ herd: Herd) -> [MemberID] { herd.document?.voters.current ?? [] }

    @Test func oneThreeFiveAndBack() throws {
        let herd = whole(1)
        for (name, expected) in [("b", 1), ("c", 3), ("d", 3), ("e", 5)] {
            herd.join(MemberID(name))
            #expect(
                herd.run(within: .seconds(60)) { $0.isWhole && voters($0).count == expected } != nil,
                "\(name): \(herd.complaint ?? "") \(voters(herd))")
        }
        for (name, expected) in [("e", 3), ("d", 3), ("c", 1), ("b", 1)] {
            let primary = try #require(herd.primary)
            if primary == MemberID(name) {
                herd.switchover(to: "a", at: primary)
                #expect(herd.run(within: .seconds(30)) { $0.primary == "a" && $0.isWhole } != nil)
            }
            herd.ask(.removeMember(MemberID(name)), of: "a")
            let done = herd.run(within: .seconds(30)) {
                $0.document?.member(MemberID(name)) == nil && voters($0).count == expected && $0.isWhole
            }
            #expect(done != nil, "\(name): \(herd.complaint ?? "") \(voters(herd))")
            #expect(!herd.isPostgresAlive(MemberID(name)))
        }
        #expect(herd.violation == nil, "\(herd.traceTail)")
    }

    /// It asks at its first tick, and what is in its data directory is known a little later.
    @Test func aMachineWithAnotherDatabaseIsNotLetIn() throws {
        let herd = whole(3)
        herd.join("d", isForeign: true)
        let admitted = herd.run(within: .seconds(60)) { $0.document?.member("d") != nil }
        #expect(admitted == nil, "after \(admitted.map { "\($0)" } ?? "")")
        #expect(herd.isWhole, "\(herd.complaint ?? "")")
        #expect(herd.violation == nil, "\(herd.traceTail)")
    }

    @Test func whoWasAwayWhileItWasRemovedIsToldWhenItComesBack() throws {
        let herd = whole(5)
        let primary = try #require(herd.primary)
        let gone = try #require(voters(herd).last { $0 != primary })
        herd.crash(gone)
        herd.run(for: .seconds(5))
        herd.ask(.removeMember(gone), of: primary)
        #expect(herd.run(within: .seconds(30)) { $0.document?.member(gone) == nil } != nil)
        herd.boot(gone)
        #expect(herd.run(within: .seconds(30)) { $0.rule(gone) == "not-a-member" } != nil)
        #expect(!herd.isPostgresAlive(gone))
        herd.replace(gone)
        #expect(herd.run(within: .seconds(60)) { $0.follows(gone) && voters($0).count == 5 } != nil)
        #expect(herd.document?.member(gone)?.incarnation == 2)
        #expect(herd.violation == nil, "\(herd.traceTail)")
    }

    /// Nobody elects the removed: two of three leave one after the other, and together they are a majority of
    /// the voters that they once knew.
    @Test func theRemovedElectNobodyAmongThemselves() throws {
        let herd = whole(3)
        let primary = try #require(herd.primary)
        let others = voters(herd).filter { $0 != primary }
        for member in others {
            herd.crash(member)
            herd.ask(.removeMember(member), of: primary)
            #expect(herd.run(within: .seconds(30)) { $0.document?.member(member) == nil } != nil)
        }
        herd.crash(primary)
        for member in others { herd.boot(member) }
        herd.run(for: .seconds(60))
        #expect(others.allSatisfy { !herd.leads($0) && !herd.isPostgresAlive($0) || herd.rule($0) != nil })
        #expect(herd.primary == nil)
        herd.boot(primary)
        #expect(herd.run(within: .seconds(60)) { $0.primary == primary } != nil)
        #expect(herd.violation == nil, "\(herd.traceTail)")
    }

    @Test func aMachineWithEmptyDisksComesBackUnderItsName() throws {
        let herd = whole(3)
        let victim = try #require(voters(herd).last { $0 != herd.primary })
        herd.replace(victim)
        #expect(herd.run(within: .seconds(60)) { $0.isWhole && voters($0).count == 3 } != nil)
        #expect(herd.document?.member(victim)?.incarnation == 2)
        #expect(herd.violation == nil, "\(herd.traceTail)")
    }

    @Test func eachMachineMayMoveToAnotherAddress() throws {
        let herd = whole(3)
        for member in voters(herd) {
            herd.move(member, to: "\(member.name).elsewhere")
            let done = herd.run(within: .seconds(60)) {
                $0.isWhole && $0.document?.member(member)?.address == "\(member.name).elsewhere"
            }
            #expect(done != nil, "\(member): \(herd.complaint ?? "") \(herd.traceTail)")
        }
        #expect(herd.violation == nil, "\(herd.traceTail)")
    }

    @Test func twoNodesAndAWitnessSurviveTheLossOfEither() throws {
        for lostIsPrimary in [true, false] {
            let herd = Herd(3, lease: .seconds(2)) { $0.witness = true }
            #expect(herd.run(within: .seconds(60)) { $0.isWhole } != nil, "\(herd.complaint ?? "")")
            herd.run(for: .seconds(3))
            #expect(voters(herd) == ["a", "b", "c"] && !herd.isPostgresAlive("c"))
            let primary = try #require(herd.primary)
            let other: MemberID = primary == "a" ? "b" : "a"
            herd.crash(lostIsPrimary ? primary : other)
            let left = lostIsPrimary ? other : primary
            herd.run(for: .seconds(10))
            #expect(herd.primary == left, "\(herd.complaint ?? "")")
            herd.crash("c")
            herd.run(for: .seconds(10))
            #expect(herd.primary == nil, "one of three is no majority")
            #expect(herd.violation == nil, "\(herd.traceTail)")
        }
    }

    @Test func ofTwoTheVoterGoesOnAloneAndIsWaitedFor() throws {
        let herd = whole(2)
        let voter = try #require(voters(herd).first)
        #expect(voters(herd) == [voter] && herd.primary == voter)
        let other: MemberID = voter == "a" ? "b" : "a"
        herd.crash(other)
        herd.run(for: .seconds(10))
        #expect(herd.primary == voter)
        herd.boot(other)
        #expect(herd.run(within: .seconds(30)) { $0.follows(other) } != nil)
        herd.crash(voter)
        herd.run(for: .seconds(20))
        #expect(herd.primary == nil, "one of two decides nothing alone")
        herd.boot(voter)
        #expect(herd.run(within: .seconds(30)) { $0.primary == voter && $0.isWhole } != nil)
        #expect(herd.violation == nil, "\(herd.traceTail)")
    }

    @Test func whoIsTaggedNofailoverVotesAndNeverLeads() throws {
        let herd = Herd(3, lease: .seconds(2)) { $0.tags["b"] = ["nofailover"] }
        #expect(herd.run(within: .seconds(60)) { $0.isWhole } != nil, "\(herd.complaint ?? "")")
        #expect(voters(herd) == ["a", "b", "c"])
        for _ in 0..<2 {
            let primary = try #require(herd.primary)
            let other: MemberID = primary == "a" ? "c" : "a"
            herd.crash(primary)
            #expect(herd.run(within: .seconds(20)) { $0.primary == other } != nil, "\(herd.traceTail)")
            herd.boot(primary)
            #expect(herd.run(within: .seconds(60)) { $0.isWhole } != nil, "\(herd.complaint ?? "")")
        }
        #expect(herd.violation == nil, "\(herd.traceTail)")
    }

    @Test func aVoteTakenGoesToASpare() throws {
        let herd = whole(4)
        let primary = try #require(herd.primary)
        let voter = try #require(voters(herd).first { $0 != primary })
        let spare = try #require(herd.document?.members.map(\.id).first { !voters(herd).contains($0) })
        herd.ask(.demoteVoter(voter), of: primary)
        #expect(
            herd.run(within: .seconds(30)) { voters($0).contains(spare) && !voters($0).contains(voter) }
                != nil)
        #expect(voters(herd).count == 3)
        #expect(herd.violation == nil, "\(herd.traceTail)")
    }
}

/// Members that are never heard again (protocol: Dead members).
@Suite struct DeadMemberTests {
    private func herd(_ members: Int) -> Herd {
        let herd = Herd(members, lease: .seconds(2)) { $0.deadMemberRemoval = .seconds(60) }
        #expect(herd.run(within: .seconds(60)) { $0.isWhole } != nil, "\(herd.complaint ?? "")")
        return herd
    }

    private func voters(_ herd: Herd) -> [MemberID] { herd.document?.voters.current ?? [] }

    @Test func fiveBecomeThreeAndNoLess() throws {
        let herd = herd(5)
        let primary = try #require(herd.primary)
        let others = voters(herd).filter { $0 != primary }
        for (count, gone) in others.dropLast().enumerated() {
            herd.crash(gone)
            herd.run(for: .seconds(50))
            #expect(herd.document?.member(gone) != nil, "too early")
            herd.run(for: .seconds(30))
            // One of five goes, and one of four; of three nobody does.
            #expect((herd.document?.member(gone) == nil) == (count < 2), "\(gone) of \(others)")
        }
        #expect(voters(herd).count == 3 && herd.primary == primary)
        for back in others { herd.boot(back) }
        let isWell = herd.run(within: .seconds(60)) { $0.primary != nil && $0.isWhole }
        #expect(isWell != nil, "\(herd.complaint ?? "")")
        #expect(herd.run(within: .seconds(30)) { $0.rule(others[0]) == "not-a-member" } != nil)
        #expect(!herd.isPostgresAlive(others[0]))
        #expect(herd.violation == nil, "\(herd.traceTail)")
    }

    /// Its place is taken by the spare; when it comes back with nothing of what it was it is a new member.
    @Test func aSpareTakesThePlaceOfTheDead() throws {
        let herd = herd(4)
        let primary = try #require(herd.primary)
        let gone = try #require(voters(herd).first { $0 != primary })
        herd.crash(gone)
        let done = herd.run(within: .seconds(100)) {
            $0.document?.member(gone) == nil && $0.isWhole && voters($0).count == 3
        }
        #expect(done != nil, "\(herd.complaint ?? "")")
        herd.boot(gone)
        #expect(herd.run(within: .seconds(30)) { $0.rule(gone) == "not-a-member" } != nil)
        herd.replace(gone)
        #expect(herd.run(within: .seconds(60)) { $0.follows(gone) } != nil)
        #expect(herd.document?.member(gone)?.incarnation == 2)
        #expect(herd.violation == nil, "\(herd.traceTail)")
    }
}
