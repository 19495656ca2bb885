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

    /// A new learner, or a known name with a new instance.
    func admitting(_ member: Member) -> ClusterDocument {
        var next = self
        var admitted = member
        if let old = self.member(member.id) {
            admitted.incarnation = old.instance == member.instance ? old.incarnation : old.incarnation + 1
            admitted.joined = old.joined
            next.members.removeAll { $0.id == member.id }
        } else {
            admitted.incarnation = 1
        }
        next.members.append(admitted)
        next.members.sort { $0.id < $1.id }
        return next
    }
}

/// Who votes (protocol: Joining and voters).
extension Node {
    private var isHerdSettled: Bool {
        guard let document, !document.voters.isJoint, handover == nil, document.switchover == nil else {
            return false
        }
        return isOpen
    }

    /// The voters without a member that asks to come in under a new instance.
    var retiringVoters: [MemberID]? {
        guard isHerdSettled, let document else { return nil }
        let back = pendingJoins.map(\.member).filter { joining in
            guard let known = document.instance(of: joining.id) else { return false }
            return known != joining.instance
        }.map(\.id)
        let left = document.voters.current.filter { !back.contains($0) }
        return left.count < document.voters.current.count && !left.isEmpty ? left : nil
    }

    var nextAdmission: Member? {
        guard isHerdSettled, let document else { return nil }
        return pendingJoins.first { request in
            document.instance(of: request.member.id) != request.member.instance
                && !document.voters.contains(request.member.id)
        }?.member
    }

    /// The next larger odd set, when valid and reachable learners of the primary region are there to fill it.
    var grownVoters: [MemberID]? {
        guard isHerdSettled, let document else { return nil }
        let current = document.voters.current
        let able = document.members.filter { member in
            guard member.region == document.primaryRegion, !member.neverLeads, !current.contains(member.id),
                isReachable(member.id), let heard = report(of: member.id)
            else { return false }
            return heard.report.dataState == .valid && heard.report.streaming
        }.map(\.id)
        let room = able.count
        let wanted = (current.count + room) % 2 == 1 ? room : room - 1
        guard wanted > 0 else { return nil }
        return (current + able.prefix(wanted)).sorted()
    }
}
