import TestSupport
import Testing

@testable import Supervision

/// The table itself: each edit of it shows up in the snapshot, to be reviewed.
@Suite struct RuleTableTests {
    @Test func theTableIsTheReviewedOne() throws {
        let text = Rule.all.map { "\($0.name)\n    \($0.why)\n" }.joined()
        try expectSnapshot(text, at: "Snapshots/rules.txt")
    }

    @Test func namesAreUniqueAndSpelledAlike() {
        let names = Rule.all.map(\.name)
        #expect(Set(names).count == names.count)
        for name in names {
            #expect(
                name.allSatisfy { $0 == "-" || ($0.isASCII && $0.isLowercase && $0.isLetter) }, "\(name)")
        }
    }

    @Test func eachReasonIsASentence() {
        for rule in Rule.all {
            #expect(rule.why.first?.isUppercase == true || rule.why.hasPrefix("pg_"), "\(rule.name)")
            #expect(rule.why.hasSuffix("."), "\(rule.name)")
            #expect(rule.why.contains(" ") && rule.why.count <= 120, "\(rule.name)")
        }
    }

    /// The last row is for a member that needs nothing; a rule below it would never be asked.
    @Test func onlyTheLastRuleAlwaysApplies() throws {
        #expect(Rule.all.last?.name == "standby")
    }
}
