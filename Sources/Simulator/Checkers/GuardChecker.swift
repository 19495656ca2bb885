import Consensus
import Supervision

/// I7, I23: armed before every promotion; a term is given back only when its Postgres is dead or in
/// recovery, and never used again.
struct GuardChecker: Checker {
    let name = "I7 I23 arming and release"
    let sights: [Sight] = [.message, .arming, .order]
    private var released: [Term: MemberID] = [:]

    mutating func observe(_ seen: Observation, in world: World) -> String? {
        switch seen {
        case .ordered(let machine, .promote):
            let term = machine.agent.node?.term
            return machine.guardian.epoch == term ? nil : "\(machine.id) promotes with its guard not armed"
        case .guardArmed(let machine, let epoch):
            return released[epoch] == machine.id
                ? "\(machine.id) arms for term \(epoch), which it released" : nil
        case .sent(let machine, let envelope, _):
            switch envelope.body {
            case .consensus(.timeoutNow(let message)): return release(machine, message.term)
            case .consensus(.release(let term)): return release(machine, term)
            default: return nil
            }
        default: return nil
        }
    }

    private mutating func release(_ machine: Machine, _ term: Term) -> String? {
        released[term] = machine.id
        if let epoch = machine.guardian.epoch {
            return "\(machine.id) releases term \(term) with its guard armed for \(epoch)"
        }
        if machine.postgres.isAlive, !machine.postgres.isInRecovery {
            return "\(machine.id) releases term \(term) while its Postgres is primary"
        }
        return nil
    }
}
