import Consensus
import Supervision

/// I6: a write through port 5432 reaches only the primary of a committed document, on an open lineage, with
/// its guard's deadline ahead.
struct DoorChecker: Checker {
    let name = "I6 writes through 5432"
    let sights: [Sight] = [.commit]

    mutating func observe(_ seen: Observation, in world: World) -> String? {
        guard case .committed(let machine, true, true) = seen, !machine.isExcused else { return nil }
        guard let document = world.newestCommitted?.document, document.primary?.member == machine.id else {
            return "\(machine.id) takes a write and no committed document names it"
        }
        guard document.hasOpenPrimary else {
            return "\(machine.id) takes a write on a lineage that is not open"
        }
        // The guard has until the end of its margin to finish the killing.
        let margin = world.options.timings.killMargin
        guard machine.guardian.epoch != nil, machine.now < machine.guardian.deadline + margin else {
            return "\(machine.id) takes a write after its guard's deadline"
        }
        return nil
    }
}
