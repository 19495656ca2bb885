import Consensus
import Supervision

/// Conduct that is wrong whatever it leads to: rules that set each other off without end.
struct ConductChecker: Checker {
    let name = "conduct"
    let sights: [Sight] = [.event]

    mutating func observe(_ seen: Observation, in world: World) -> String? {
        guard case .recorded(let machine, let event) = seen, event.kind == "undecided" else { return nil }
        return "\(machine.id): \(event.text)"
    }
}
