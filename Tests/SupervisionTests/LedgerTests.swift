import Consensus
import Testing

@testable import Supervision

/// What waits for the disk, and what waits for its time.
@Suite struct LedgerTests {
    private func message(_ number: UInt64) -> NodeEffect {
        .send(Envelope(cluster: nil, body: .freeze(term: number)), to: .everyone)
    }

    /// Whatever the order of writes, messages and receipts: nothing leaves before its token, everything after
    /// it, in the order in which it was said.
    @Test(arguments: UInt64(1)...200)
    func nothingSealedLeavesBeforeItsToken(_ seed: UInt64) {
        var random = Dice(seed)
        var ledger = Ledger()
        var held: [(number: UInt64, token: NodeToken)] = []
        var settled: NodeToken = 0
        var number: UInt64 = 0
        for _ in 0..<60 {
            switch random.roll(3) {
            case 0: _ = ledger.issue(raft: nil, data: random.roll(2) == 0)
            case 1:
                number += 1
                held.append((number, ledger.issued))
                ledger.hold(message(number))
            default:
                // Receipts may come late, twice, and in any order.
                let token = ledger.issued == 0 ? 0 : random.roll(ledger.issued + 1)
                settled = max(settled, token)
                let due = held.filter { $0.token <= settled }
                held.removeAll { $0.token <= settled }
                #expect(ledger.settle(token).free == due.map { message($0.number) })
                #expect(ledger.persisted == settled && ledger.isClean == (settled >= ledger.issued))
            }
        }
        #expect(ledger.settle(ledger.issued).free == held.map { message($0.number) })
    }

    @Test func theDataRecordIsDurableOnlyWithItsOwnWrite() {
        var ledger = Ledger()
        let first = ledger.issue(raft: 1, data: true)
        let second = ledger.issue(raft: 2, data: false)
        #expect(!ledger.isDataDurable)
        #expect(ledger.settle(first).raft == 1)
        #expect(ledger.isDataDurable && !ledger.isClean)
        #expect(ledger.settle(second).raft == 2 && ledger.isClean)
        #expect(ledger.sequence == 2, "each write has a sequence of its own")
    }

    /// One receipt for several writes frees the elector's newest token only, as it covers those before.
    @Test func aLaterReceiptCoversEarlierWrites() {
        var ledger = Ledger()
        for token in UInt64(1)...3 { _ = ledger.issue(raft: token, data: false) }
        #expect(ledger.settle(3).raft == 3)
        #expect(ledger.settle(3).raft == nil)
    }
}

@Suite struct FailuresTests {
    private let start = Instant(nanoseconds: 1_000_000_000)

    @Test func eachFailureInARowDoublesTheWaitUpToSixteenSeconds() {
        var failures = Failures()
        #expect(failures.retryAt("freeze") == nil)
        for wait in [500, 1000, 2000, 4000, 8000, 16000, 16000, 16000] {
            failures.note(.freeze, "hangs", at: start)
            #expect(failures.retryAt("freeze") == start + .milliseconds(wait))
        }
        failures.clear(.freeze)
        #expect(failures.retryAt("freeze") == nil && failures.last == nil)
    }

    @Test func orderKindsThatFailInTurnDoNotEndEachOthersWait() {
        var failures = Failures()
        for round in 1...4 {
            failures.note(.freeze, "hangs", at: start)
            failures.note(.checkpoint, "refused", at: start)
            #expect(failures.retryAt("freeze") == start + .milliseconds(250 << round))
        }
        #expect(failures.last?.order == "checkpoint", "the newest is what people are told")
        failures.clear(.checkpoint)
        #expect(failures.last?.order == "freeze" && failures.retryAt("checkpoint") == nil)
        #expect(failures.lines.count == 1)
    }
}

/// Small, fast and the same on every run.
struct Dice {
    private var state: UInt64

    init(_ seed: UInt64) { state = seed &* 0x9E37_79B9_7F4A_7C15 | 1 }

    /// A number below `sides`.
    mutating func roll(_ sides: UInt64) -> UInt64 {
        state ^= state << 13
        state ^= state >> 7
        state ^= state << 17
        return state % sides
    }
}
