import Consensus
import Supervision

/// I3: what a member has on disk never goes back, and nobody votes twice in a term.
struct DurableChecker: Checker {
    let name = "I3 durable state"
    let sights: [Sight] = [.write]

    mutating func observe(_ seen: Observation, in world: World) -> String? {
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
}
