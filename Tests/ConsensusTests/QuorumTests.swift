import Consensus
import Testing

/// The quorum arithmetic against a twin that counts on its fingers.
@Suite struct QuorumTests {
    private static let members: [MemberID] = ["a", "b", "c", "d", "e"]

    /// Every set of the five members, as a sorted array.
    private static let subsets: [[MemberID]] = (0..<32).map { bits in
        members.enumerated().filter { bits & (1 << $0.offset) != 0 }.map(\.element)
    }

    /// The twin: strictly more than half, and never of nobody.
    private func isMajority(_ agreeing: [MemberID], of set: [MemberID]) -> Bool {
        var yes = 0
        var no = 0
        for member in set { if agreeing.contains(member) { yes += 1 } else { no += 1 } }
        return yes > no
    }

    @Test func aMajorityIsMoreThanHalfOfEachSet() {
        for current in Self.subsets {
            for agreeing in Self.subsets {
                #expect(
                    Voters(current).isMajority { agreeing.contains($0) }
                        == isMajority(agreeing, of: current), "\(agreeing) of \(current)")
                for next in Self.subsets {
                    let joint = Voters(current, next: next).isMajority { agreeing.contains($0) }
                    let both = isMajority(agreeing, of: current) && isMajority(agreeing, of: next)
                    if joint != both { Issue.record("\(agreeing) of \(current) and \(next)") }
                }
            }
        }
    }

    @Test func twoMajoritiesOfOneSetShareAMember() {
        for voters in Self.subsets {
            let majorities = Self.subsets.filter { set in Voters(voters).isMajority { set.contains($0) } }
            for first in majorities {
                for second in majorities {
                    if !first.contains(where: { voters.contains($0) && second.contains($0) }) {
                        Issue.record("\(first) and \(second) of \(voters)")
                    }
                }
            }
        }
    }

    @Test func whoWinsJointlyMeetsWhoWinsBeforeAndAfter() {
        for current in Self.subsets {
            for next in Self.subsets {
                let joint = Voters(current, next: next)
                for agreeing in Self.subsets where joint.isMajority({ agreeing.contains($0) }) {
                    let others = Self.members.filter { !agreeing.contains($0) }
                    let rivalWins = [Voters(current), Voters(next)].contains { voters in
                        voters.isMajority { others.contains($0) }
                    }
                    if rivalWins { Issue.record("\(others) against \(agreeing) of \(current) and \(next)") }
                }
            }
        }
    }

    /// What a majority reached: the greatest value such that those who reached it are a majority.
    @Test func whatAMajorityReachedIsTheNewestThatAMajorityHolds() {
        let values: [Int?] = [nil, 1, 2, 3]
        for code in 0..<1024 {
            var held: [MemberID: Int] = [:]
            for (place, member) in Self.members.enumerated() {
                held[member] = values[(code >> (2 * place)) & 3]
            }
            for voters in Self.sampleVoters {
                let twin = [3, 2, 1].first { value in voters.isMajority { (held[$0] ?? 0) >= value } }
                if voters.reachedByMajority({ held[$0] }) != twin { Issue.record("\(held) of \(voters)") }
            }
        }
    }

    private static let sampleVoters: [Voters] = [
        Voters([]), Voters(["a"]), Voters(["a", "b"]), Voters(["a", "b", "c"]), Voters(members),
        Voters(["a"], next: ["a", "b", "c"]), Voters(["a", "b", "c"], next: ["c", "d", "e"]),
        Voters(["a", "b"], next: ["b"]), Voters(members, next: ["e"]),
    ]

    @Test func votersAreSortedAndCountedOnce() {
        let voters = Voters(["c", "a", "c"], next: ["b", "a", "b"])
        #expect(voters.current == ["a", "c"])
        #expect(voters.next == ["a", "b"])
        #expect(voters.all == ["a", "b", "c"])
    }

    @Test func aVoterChangeGoesThroughBothSetsTogether() {
        let old = Voters(["a", "b", "c"])
        let joint = Voters(["a", "b", "c"], next: ["a", "b", "d"])
        let new = Voters(["a", "b", "d"])
        #expect(old.mayBecome(old) && old.mayBecome(joint))
        #expect(joint.mayBecome(joint) && joint.mayBecome(old) && joint.mayBecome(new))
        #expect(!old.mayBecome(new))
        #expect(!new.mayBecome(joint))
        #expect(!joint.mayBecome(Voters(["a"])))
        #expect(!old.mayBecome(Voters(["a", "b", "c"], next: [])))
        #expect(!joint.mayBecome(Voters(["a", "b", "c"], next: ["a"])))
    }
}
