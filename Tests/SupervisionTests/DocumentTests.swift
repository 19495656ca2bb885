import Consensus
import Testing

@testable import Supervision

/// The document's arithmetic: which position belongs to the history, and each step that a leader takes on it.
@Suite struct DocumentTests {
    private func lsn(_ bytes: UInt64) -> LSN { LSN(bytes) }

    private func position(_ timeline: Timeline, _ bytes: UInt64) -> Position {
        Position(timeline: timeline, lsn: lsn(bytes))
    }

    /// Timelines 1 → 2 → 5 are the history (left at 100 and 200); 3 left 2 at 150 and is burnt; 4 left 1 at
    /// 50 and was open once.
    private func history(_ newest: Lineage.Status = .open) -> ClusterDocument {
        var document = Founders.document(["a", "b", "c"].map { Founders.member(MemberID($0)) })
        document.systemIdentifier = 7
        document.lineages = [
            Lineage(epoch: 1, timeline: 1, parent: nil, member: "a", status: .open),
            Lineage(epoch: 2, timeline: 2, parent: 1, switchLSN: lsn(100), member: "b", status: .open),
            Lineage(epoch: 3, timeline: 3, parent: 2, switchLSN: lsn(150), member: "c", status: .burnt),
            Lineage(epoch: 4, timeline: 4, parent: 1, switchLSN: lsn(50), member: "c", status: .open),
            Lineage(
                epoch: 5, timeline: 5, parent: 2, switchLSN: newest == .open ? lsn(200) : nil, member: "a",
                startLSN: lsn(200), status: newest),
        ]
        document.maximumTimeline = 5
        document.primary = PrimaryRecord(member: "a", epoch: 5, timeline: 5)
        return document
    }

    @Test(arguments: [
        (5, 900, Standing.current), (5, 0, .current), (2, 200, .ancestor), (2, 201, .diverged),
        (2, 0, .ancestor),
        (1, 100, .ancestor), (1, 101, .diverged), (3, 150, .diverged), (3, 100, .diverged),
        (4, 40, .diverged),
        (6, 10, .unknown),
    ])
    func standingTowardsAnOpenLineage(_ timeline: Timeline, _ bytes: UInt64, _ standing: Standing) {
        #expect(history().standing(of: position(timeline, bytes)) == standing)
    }

    /// While the newest is only reserved, its parent's chain is the history, and nothing ends it.
    @Test(arguments: [
        (5, 200, Standing.diverged), (2, 200, .current), (2, 900, .current), (1, 100, .ancestor),
        (1, 101, .diverged), (3, 100, .diverged),
    ])
    func standingTowardsAReservedLineage(_ timeline: Timeline, _ bytes: UInt64, _ standing: Standing) {
        for status in [Lineage.Status.reserved, .burnt] {
            #expect(history(status).standing(of: position(timeline, bytes)) == standing)
        }
    }

    /// The dumb twin: a history is a list of bytes, each named by the timeline that it was written on; a
    /// position is part of it when its own list is a beginning of it.
    @Test func standingIsWhetherAllBytesArePartOfTheHistory() {
        let document = history()
        func bytes(_ position: Position) -> [Timeline] {
            guard let lineage = document.lineage(position.timeline) else { return [] }
            var earlier: [Timeline] = []
            if let parent = lineage.parent, let left = lineage.switchLSN {
                earlier = bytes(Position(timeline: parent, lsn: left))
            }
            let own = max(0, Int(position.lsn.bytes) - earlier.count)
            return earlier + Array(repeating: position.timeline, count: own)
        }
        let whole = bytes(position(5, 400))
        for timeline in Timeline(1)...5 {
            for end in stride(from: UInt64(0), through: 300, by: 10) {
                let standing = document.standing(of: position(timeline, end))
                let left = document.lineage(timeline)?.switchLSN?.bytes ?? 0
                // Of a timeline that was left out, what comes before it branched off is not told apart.
                guard end > left || timeline == 5 else { continue }
                let isPart = whole.starts(with: bytes(position(timeline, end)))
                #expect((standing == .current || standing == .ancestor) == isPart, "\(timeline) \(end)")
            }
        }
    }

    @Test func fresherIsTheLaterEpochThenTheLaterByte() {
        let document = history()
        let all = (Timeline(1)...5).flatMap { timeline in
            [0, 100, 200].map { position(timeline, $0) }
        }
        for left in all {
            #expect(!document.isFresher(left, than: left))
            for right in all where left != right {
                #expect(document.isFresher(left, than: right) != document.isFresher(right, than: left))
            }
        }
        #expect(document.isFresher(position(5, 0), than: position(2, 900)))
        #expect(document.isFresher(position(2, 101), than: position(2, 100)))
    }

    @Test func aTimelineIsReservedOnceAndTheUnopenedIsBurnt() {
        let first = history().reserving(for: "b", term: 7, from: position(5, 300))
        let second = first.reserving(for: "c", term: 8, from: position(5, 310))
        #expect(first.primary == PrimaryRecord(member: "b", epoch: 7, timeline: 6))
        #expect(first.currentLineage?.status == .reserved && !first.hasOpenPrimary)
        #expect(second.primary == PrimaryRecord(member: "c", epoch: 8, timeline: 7))
        #expect(second.lineage(6)?.status == .burnt && second.lineage(7)?.parent == 5)
        #expect(second.lineage(5)?.status == .open, "what was opened stays open")
        #expect(second.promotionPlan(to: 7) == PromotionPlan(timeline: 7, skip: [6]))
        #expect(first.promotionPlan(to: 6) == PromotionPlan(timeline: 6, skip: []))
        let opened = second.opening(7, at: lsn(310))
        #expect(opened.hasOpenPrimary && opened.standing(of: position(5, 310)) == .ancestor)
        #expect(opened.standing(of: position(5, 311)) == .diverged)
        #expect(opened.standing(of: position(6, 305)) == .diverged)
    }

    /// A night of failing promotions must not push the history out of the document.
    @Test func theActiveHistoryIsNeverForgotten() {
        var document = history()
        for term in Term(6)...400 {
            document = document.reserving(for: "b", term: term, from: position(5, 300))
        }
        #expect(document.lineages.count <= 128)
        #expect(document.standing(of: position(5, 300)) == .current)
        #expect(document.standing(of: position(2, 200)) == .ancestor)
        let opened = document.opening(document.maximumTimeline, at: lsn(300))
        #expect(opened.hasOpenPrimary && opened.standing(of: position(1, 100)) == .ancestor)
        #expect(document.promotionPlan(to: document.maximumTimeline).skip.count == 394)
    }

    @Test func aLongHistoryKeepsItsNewestPart() {
        var document = history()
        for term in Term(6)...400 {
            let parent = document.maximumTimeline
            document = document.reserving(for: "b", term: term, from: position(parent, 100 * term))
            document = document.opening(document.maximumTimeline, at: lsn(100 * term))
        }
        #expect(document.lineages.count <= 128 && document.activeLineages.count >= 64)
        let newest = document.maximumTimeline
        #expect(document.standing(of: position(newest - 60, 0)) == .ancestor)
        #expect(document.standing(of: position(2, 200)) == .unknown)
    }

    @Test func whoComesBackWithoutItsMemoryIsAnotherIncarnation() {
        let document = history()
        var returned = Founders.member("b")
        #expect(document.admitting(returned) == document)
        returned.instance = "b#2"
        let once = document.admitting(returned)
        #expect(once.members.map(\.id) == ["a", "b", "c"])
        #expect(once.member("b")?.incarnation == 2 && once.instance(of: "b") == "b#2")
        #expect(once.admitting(returned) == once)
        let stranger = once.admitting(Founders.member("aa"))
        #expect(
            stranger.members.map(\.id) == ["a", "aa", "b", "c"] && stranger.member("aa")?.incarnation == 1)
        #expect(stranger.voters == document.voters, "a learner does not vote")
    }
}
