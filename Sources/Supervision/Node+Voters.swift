import Consensus

/// Who votes (protocol: Joining and voters).
extension Node {
    /// Nothing is under way that a change of the members could get in the way of.
    var isHerdSettled: Bool {
        guard let document, !document.voters.isJoint, handover == nil, document.switchover == nil,
            document.loan == nil
        else { return false }
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

    /// A member whose record does not say any more where or what it is.
    var nextDescription: Member? {
        guard isHerdSettled, let document else { return nil }
        if let mine = myRecord, !mine.isDescribed(by: ownRecord),
            refusalToChange(ownRecord, of: identity) == nil
        {
            return ownRecord
        }
        return pendingJoins.map(\.member).first { joining in
            guard let known = document.member(joining.id), known.instance == joining.instance else {
                return false
            }
            return !known.isDescribed(by: joining)
        }
    }

    /// Has given its vote back and leaves the document.
    var nextRemoval: MemberID? {
        guard isHerdSettled, let document else { return nil }
        return document.members.first { $0.isLeaving && !document.voters.contains($0.id) }?.id
    }

    /// The next larger odd set, when members are there to fill it. Whoever votes keeps its vote: failures
    /// change no voters.
    var grownVoters: [MemberID]? {
        guard isHerdSettled, !isPaused, let document else { return nil }
        return voters(grownIn: document)
    }

    func voters(grownIn document: ClusterDocument) -> [MemberID]? {
        let current = document.voters.current
        guard current.allSatisfy({ document.reasonNotToVote($0) == nil }) else { return nil }
        let able = ableToVote(document)
        let wanted = (current.count + able.count) % 2 == 1 ? able.count : able.count - 1
        guard wanted > 0 else { return nil }
        return (current + able.prefix(wanted)).sorted()
    }

    /// The largest odd set without those who must not vote; others take their place where they can.
    var shrunkVoters: [MemberID]? {
        guard isHerdSettled, let document else { return nil }
        return voters(of: document)
    }

    /// What the voters become once `document` is committed; nil when all of its voters may stay.
    func voters(of document: ClusterDocument) -> [MemberID]? {
        let current = document.voters.current
        let staying = current.filter { document.reasonNotToVote($0) == nil }
        guard staying.count < current.count else { return nil }
        let mine = staying.filter { $0 == me }
        let others = staying.filter { $0 != me }
        // Who can be heard comes first: what is left must be able to go on.
        let pool =
            mine + others.filter(isReachable) + ableToVote(document) + others.filter { !isReachable($0) }
        guard let size = [pool.count, pool.count - 1].first(where: { $0 % 2 == 1 }) else { return nil }
        return pool.prefix(size).sorted()
    }

    /// Learners that may and can vote now, the most useful first: those that an operator wants, then those
    /// that could lead, then the others that hold data, then witnesses.
    private func ableToVote(_ document: ClusterDocument) -> [MemberID] {
        let able = document.members.filter { member in
            guard !document.voters.contains(member.id), document.reasonNotToVote(member.id) == nil,
                isReachable(member.id)
            else { return false }
            if member.kind == .witness || member.id == me { return true }
            guard let heard = report(of: member.id) else { return false }
            return heard.report.dataState == .valid && heard.report.streaming
        }
        return able.sorted { (uselessness($0), $0.id) < (uselessness($1), $1.id) }.map(\.id)
    }

    /// Whose vote is worth more: the lower.
    func uselessness(_ member: Member) -> Int {
        if member.ballot == .preferred { return 0 }
        if !member.neverLeads { return 1 }
        return member.kind == .data ? 2 : 3
    }
}
