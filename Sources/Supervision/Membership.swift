public import Consensus

/// A member that was removed by hand or by rule: this very instance is not let in again.
public struct RemovedMember: Hashable, Codable, Sendable {
    public var id: MemberID
    public var instance: Instance
    public var incarnation: Int

    /// The oldest are forgotten beyond this: whoever comes back later is taken for a stranger that bears data
    /// of the cluster, and becomes a learner that must prove it.
    static let limit = 64
}

/// The document's members coming, changing and going, each step a value in and a value out (protocol: Joining
/// and voters).
extension ClusterDocument {
    /// A new learner, or a known name with a new instance.
    func admitting(_ member: Member) -> ClusterDocument {
        var next = self
        var admitted = member
        let former = removed.last { $0.id == member.id }?.incarnation ?? 0
        if let old = self.member(member.id) {
            admitted.incarnation = old.instance == member.instance ? old.incarnation : old.incarnation + 1
            admitted.joined = old.joined
            admitted.ballot = old.ballot
            next.members.removeAll { $0.id == member.id }
        } else {
            // A name's synchronous name is used by one incarnation only.
            admitted.incarnation = former + 1
        }
        next.members.append(admitted)
        next.members.sort { $0.id < $1.id }
        return next
    }

    /// The same instance at another address, in another region, with other tags.
    func redescribing(_ member: Member) -> ClusterDocument {
        changing(member.id) { known in
            (known.address, known.postgresPort, known.peerPort) = (
                member.address, member.postgresPort, member.peerPort
            )
            (known.region, known.tags) = (member.region, member.tags)
        }
    }

    func changing(_ member: MemberID, _ change: (inout Member) -> Void) -> ClusterDocument {
        var next = self
        for index in next.members.indices where next.members[index].id == member {
            change(&next.members[index])
        }
        return next
    }

    /// Without the member, which must have no vote any more.
    func removing(_ member: MemberID) -> ClusterDocument {
        var next = self
        guard let old = self.member(member), !voters.contains(member) else { return self }
        next.members.removeAll { $0.id == member }
        next.removed.append(
            RemovedMember(id: member, instance: old.instance, incarnation: old.incarnation))
        if next.removed.count > RemovedMember.limit { next.removed.removeFirst() }
        return next
    }

    /// Of two members that hold the same: whether `left` should rather lead.
    func isBefore(_ left: MemberID, _ right: MemberID) -> Bool {
        let (first, second) = (member(left)?.priority ?? 1, member(right)?.priority ?? 1)
        return first == second ? left < right : first > second
    }

    public func wasRemoved(_ sender: Sender) -> Bool {
        removed.contains { $0.id == sender.member && $0.instance == sender.instance }
    }

    /// Why `member` must not vote; nil when it may.
    func reasonNotToVote(_ member: MemberID) -> String? {
        guard let record = self.member(member) else { return "it is not a member" }
        if record.isLeaving { return "it is being removed" }
        if record.ballot == .never, member != primary?.member {
            return "its vote was taken by `matriarch member demote-voter`"
        }
        if record.region != primaryRegion, member != primary?.member {
            return "it is in region \(record.region), voters are of \(primaryRegion)"
        }
        return nil
    }
}
