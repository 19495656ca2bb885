import Consensus
import Supervision

/// I1, I20, I21: one leader per term, elected by a majority of the voters in force, and fit to lead.
struct LeaderChecker: Checker {
    let name = "I1 I20 I21 leaders"
    let sights: [Sight] = [.message]
    private var leaders: [Term: (member: MemberID, nonce: BootNonce)] = [:]
    private var grants: [Term: [(voter: MemberID, candidate: MemberID)]] = [:]

    mutating func observe(_ seen: Observation, in world: World) -> String? {
        switch seen {
        case .delivered(let machine, let envelope, let from):
            guard case .consensus(.voteAnswer(let answer)) = envelope.body, !answer.isPreVote,
                answer.refusal == nil
            else { return nil }
            // Given with a memory that has a hole: nobody may count it.
            if from.isRolledBack, envelope.envelope.life?.began == from.agent.node?.life.began { return nil }
            grants[answer.requestedTerm, default: []].append((from.id, machine.id))
            return nil
        case .sent(let machine, let envelope, _):
            guard case .consensus(.append(let append)) = envelope.body else { return nil }
            return leads(machine, append.term)
        default: return nil
        }
    }

    private mutating func leads(_ machine: Machine, _ term: Term) -> String? {
        if let leader = leaders[term] {
            if leader.member == machine.id, leader.nonce == machine.agent.nonce { return nil }
            return "\(leader.member) and \(machine.id) both lead term \(term)"
        }
        leaders[term] = (machine.id, machine.agent.nonce)
        if machine.isRolledBack { return "\(machine.id) leads term \(term) with a state that was put back" }
        guard let document = machine.agent.node?.hard.accepted?.document else { return nil }
        guard document.voters.contains(machine.id), let member = document.member(machine.id),
            !member.neverLeads
        else { return "\(machine.id) leads term \(term) and is no voter that may lead" }
        if member.region != document.primaryRegion { return "\(machine.id) leads from another region" }
        let elected = document.voters.isMajority { voter in
            voter == machine.id
                || (grants[term] ?? []).contains { $0.voter == voter && $0.candidate == machine.id }
        }
        return elected ? nil : "\(machine.id) leads term \(term) without the votes of a majority"
    }
}
