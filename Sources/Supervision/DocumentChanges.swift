import Consensus

/// The steps that a leader takes on the document, each a value in and a value out.
extension ClusterDocument {
    /// Sets a fresh timeline aside for `member`, and burns what was set aside before and never opened.
    func reserving(for member: MemberID, term: Term, from position: Position) -> ClusterDocument {
        var next = self
        for index in next.lineages.indices where next.lineages[index].status == .reserved {
            if isUnopenedTip(position, of: member), next.lineages[index].timeline == position.timeline {
                // The member goes on from a promotion whose end was not seen: it is an ancestor now.
                next.lineages[index].status = .open
                next.lineages[index].switchLSN = next.lineages[index].startLSN
            } else {
                next.lineages[index].status = .burnt
            }
        }
        next.maximumTimeline += 1
        next.append(
            Lineage(
                epoch: term, timeline: next.maximumTimeline, parent: position.timeline, member: member,
                startLSN: position.lsn, status: .reserved))
        next.primary = PrimaryRecord(member: member, epoch: term, timeline: next.maximumTimeline)
        next.switchover = nil
        return next
    }

    /// The reserved lineage proved itself.
    func opening(_ timeline: Timeline, at switchLSN: LSN) -> ClusterDocument {
        var next = self
        for index in next.lineages.indices where next.lineages[index].timeline == timeline {
            next.lineages[index].status = .open
            next.lineages[index].switchLSN = switchLSN
        }
        return next
    }

    /// Every number that must not be used on the way to the reserved one.
    func promotionPlan(to timeline: Timeline) -> PromotionPlan {
        let parent = lineage(timeline)?.parent ?? 0
        let skip = parent + 1 < timeline ? Array((parent + 1)..<timeline) : []
        return PromotionPlan(timeline: timeline, skip: skip)
    }
}
