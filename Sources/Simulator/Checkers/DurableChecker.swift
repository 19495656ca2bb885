import Consensus
import Supervision

/// I3: what a member has on disk never goes back, nobody votes twice in a term, and nothing is said to
/// others before it is on disk.
struct DurableChecker: Checker {
    let name = "I3 durable state"
    let sights: [Sight] = [.write, .message]

    mutating func observe(_ seen: Observation, in world: World) -> String? {
        if case .sent(let machine, let envelope, let peer) = seen {
            return said(envelope.body, by: machine, to: peer)
        }
        guard case .persisted(let machine, let old, let new) = seen else { return nil }
        if new.hard.term < old.hard.term {
            return "\(machine.id) goes back from term \(old.hard.term) to \(new.hard.term)"
        }
        if new.hard.term == old.hard.term, let vote = old.hard.votedFor, new.hard.votedFor != vote {
            return "\(machine.id) changes its vote in term \(new.hard.term)"
        }
        if new.hard.acceptedVersion < old.hard.acceptedVersion {
            return "\(machine.id) forgets \(old.hard.acceptedVersion)"
        }
        if new.hard.committedVersion < old.hard.committedVersion {
            return "\(machine.id) takes back the commit of \(old.hard.committedVersion)"
        }
        if new.data.frozenTerm < old.data.frozenTerm {
            return "\(machine.id) thaws term \(old.data.frozenTerm)"
        }
        let (before, after) = (old.data.state, new.data.state)
        if after == .valid, before == .cloning || before == .rewinding {
            return "\(machine.id) goes from \(before) to valid without having proven itself"
        }
        return nil
    }

    private func said(_ body: Envelope.Body, by machine: Machine, to peer: Machine) -> String? {
        let disk = machine.agent.durable
        switch body {
        case .consensus(.voteAnswer(let answer)) where !answer.isPreVote && answer.refusal == nil:
            let stands = disk.hard.term == answer.requestedTerm && disk.hard.votedFor?.candidate == peer.id
            if stands || disk.hard.term > answer.requestedTerm { return nil }
            return "\(machine.id) votes for \(peer.id) in term \(answer.requestedTerm) before that is on disk"
        case .consensus(.appendAnswer(let answer)) where answer.stored > disk.hard.acceptedVersion:
            return "\(machine.id) says that it holds \(answer.stored) before that is on disk"
        case .frozen(let answer) where answer.term > disk.data.frozenTerm:
            return "\(machine.id) says that it is frozen for term \(answer.term) before that is on disk"
        default: return nil
        }
    }
}
