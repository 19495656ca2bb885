import Consensus
import TestSupport
import Testing

@Suite struct AdversaryTests {
    @Test(arguments: 0..<8)
    func noScheduleBreaksSafetyOrLeavesTheHerdWithoutLeader(_ eighth: UInt64) {
        let perEighth = UInt64(125)
        for seed in eighth * perEighth..<(eighth + 1) * perEighth {
            let adversary = Adversary(seed: seed)
            adversary.run(for: .seconds(20))
            if let complaint = adversary.complaints.first {
                Issue.record("seed \(seed): \(complaint)")
                return
            }
        }
    }
}
