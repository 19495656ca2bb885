import Consensus

/// Members that nobody hears any more (protocol: Dead members).
extension Rule {
    static let removeDead = Rule(
        name: "remove-dead", why: "An operator wants members gone that were silent for so long.",
        applies: { $0.writesAsPrimary && $0.nextDead != nil },
        action: { node in
            guard let document = node.document, let dead = node.nextDead else { return .wait(nil) }
            return .removeDead(dead, document.changing(dead) { $0.isLeaving = true })
        })
}

extension Node {
    /// No removal by itself leaves fewer voters that may lead.
    private static let fewestAbleToLead = 2

    /// Heard nothing of for so long that the operator's rule applies, and not to be kept for the sake of the
    /// rest.
    var nextDead: MemberID? {
        guard settings.deadMemberRemoval != nil, isHerdSettled, !isPaused, let document,
            !document.members.contains(where: \.isLeaving)
        else { return nil }
        return deadMembers.first { reasonToKeep($0, document) == nil }
    }

    /// By this leader's own ears: the silence counts from the beginning of its reign, or from when the member
    /// was let in, at the earliest. Who has just come to lead, or slept, has not listened.
    var deadMembers: [MemberID] {
        guard let limit = settings.deadMemberRemoval, let reign, let document else { return [] }
        return document.members.map(\.id).filter { member in
            guard member != me, !isReachable(member), let since = reign.listensSince(member) else {
                return false
            }
            return now - max(report(of: member)?.at ?? since, since) >= limit
        }
    }

    /// Why a dead member stays; nil when it can go. Who has no vote is missed by nobody.
    private func reasonToKeep(_ member: MemberID, _ document: ClusterDocument) -> String? {
        guard document.voters.contains(member) else { return nil }
        let next = document.changing(member) { $0.isLeaving = true }
        let left = voters(of: next) ?? []
        let heard = left.filter(isReachable)
        guard heard.count > left.count / 2 + 1 else {
            return "those who would vote then could not bear another loss"
        }
        let able = heard.compactMap(next.member).count { !$0.neverLeads }
        return able < Node.fewestAbleToLead ? "only one that may lead would vote" : nil
    }

    /// Says once in a reign why a dead member is not removed.
    mutating func tellKeptDead() {
        guard settings.deadMemberRemoval != nil, writesAsPrimary, let document, let told = reign?.keptDead
        else { return }
        let dead = deadMembers
        if dead == told { return }
        reign?.keptDead = dead
        for member in dead where !told.contains(member) {
            guard let why = reasonToKeep(member, document) else { continue }
            record(.init("dead-member-kept", .warning, "\(deadText(member)) and stays: \(why)"))
        }
    }

    func deadText(_ member: MemberID) -> String {
        let seconds = (settings.deadMemberRemoval?.milliseconds ?? 0) / 1000
        let hours = seconds / 3600
        let length = hours > 1 ? "\(hours) h" : "\(seconds) s"
        return "\(member) has not been heard for \(length) (dead_member_removal)"
    }
}
