import Consensus
import Supervision

/// I22: the guard's deadline lies within one lease, less the margin for killing, of the *sending* of the
/// oldest acknowledgement in the newest majority.
struct LeaseChecker: Checker {
    let name = "I22 lease"
    let sights: [Sight] = [.message, .arming]

    private struct Rounds {
        var term: Term
        var life: Int
        var sent: [UInt64: Instant] = [:]
        var acknowledged: [MemberID: Instant] = [:]
        /// The newest entry that anybody was told of.
        var announced = Version.none
    }

    private var rounds: [MemberID: Rounds] = [:]

    mutating func observe(_ seen: Observation, in world: World) -> String? {
        switch seen {
        case .sent(let machine, let envelope, _):
            guard case .consensus(.append(let append)) = envelope.body else { return nil }
            note(append, by: machine)
            return nil
        case .delivered(let machine, let envelope, let from):
            guard case .consensus(.appendAnswer(let answer)) = envelope.body,
                let running = rounds[machine.id], running.term == answer.term, answer.coversLease,
                let sent = running.sent[answer.sequence], !from.isRolledBack
            else { return nil }
            let known = running.acknowledged[from.id] ?? sent
            rounds[machine.id]?.acknowledged[from.id] = max(known, sent)
            return nil
        case .arming(let machine, let epoch, let deadline): return judge(machine, epoch, deadline)
        default: return nil
        }
    }

    private mutating func note(_ append: Append<ClusterDocument>, by machine: Machine) {
        let life = machine.agent.process.life
        if rounds[machine.id]?.term != append.term || rounds[machine.id]?.life != life {
            rounds[machine.id] = Rounds(term: append.term, life: life)
        }
        let announced = rounds[machine.id]?.announced ?? .none
        rounds[machine.id]?.announced = max(announced, append.version)
        guard rounds[machine.id]?.sent[append.sequence] == nil else { return }
        rounds[machine.id]?.sent[append.sequence] = machine.now
    }

    private func judge(_ machine: Machine, _ epoch: Term, _ deadline: Instant) -> String? {
        let running = rounds[machine.id]
        guard let hard = machine.agent.node?.hard, var document = hard.accepted?.document else {
            return "\(machine.id) arms its guard without a document"
        }
        // A lease that was extended in the step that then proposed other voters rests on those before them:
        // nobody can act on the new ones before he has heard of them, and so has promised anew.
        if let running, let committed = hard.committed, hard.acceptedVersion > running.announced,
            hard.committedVersion.term == epoch
        {
            document = committed.document
        }
        let oldest = document.voters.reachedByMajority { voter -> Instant? in
            if voter == machine.id { return machine.now }
            guard running?.term == epoch else { return nil }
            return running?.acknowledged[voter]
        }
        guard let oldest else { return "\(machine.id) arms its guard without a majority's word" }
        let latest = oldest + document.lease - Timings(lease: document.lease).killMargin
        guard deadline <= latest else {
            return "\(machine.id) arms its guard until \(deadline.nanoseconds), "
                + "\((deadline - latest).milliseconds) ms past what the oldest acknowledgement allows"
        }
        return nil
    }
}
