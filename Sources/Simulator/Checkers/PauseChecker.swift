import Consensus
import Supervision

/// I25: while the committed document says paused, nobody sets a timeline aside and nobody is promoted.
struct PauseChecker: Checker {
    let name = "I25 pause"
    let sights: [Sight] = [.write, .order]

    mutating func observe(_ seen: Observation, in world: World) -> String? {
        switch seen {
        case .persisting(let machine, let state):
            guard let document = state.hard.accepted?.document, document.pause != nil,
                document.currentLineage?.status == .reserved
            else { return nil }
            return "\(machine.id) has a timeline set aside in a paused herd"
        case .ordered(let machine, .promote):
            return machine.agent.node?.document?.pause == nil ? nil : "\(machine.id) is promoted while paused"
        default: return nil
        }
    }
}
