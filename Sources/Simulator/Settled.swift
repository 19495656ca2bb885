import Consensus
import Supervision

/// What "everything is well" means: one primary, everybody follows, clients get through at every node.
enum Settled {
    /// What is missing; nil when nothing is.
    static func complaint(in world: World) -> String? {
        let writable = world.machines.filter { $0.postgres.canAcknowledge }
        guard writable.count == 1, let primary = writable.first else {
            return "\(writable.count) nodes take writes"
        }
        guard let document = world.newestCommitted?.document, document.primary?.member == primary.id else {
            return "\(primary.id) takes writes and the document names another"
        }
        for machine in world.machines where machine !== primary && !machine.isForeign {
            guard machine.hardware.isAlive else { continue }
            guard machine.agent.process.isRunning else { return "the agent of \(machine.id) does not run" }
            if document.wasRemoved(machine.agent.sender) {
                if machine.postgres.isAlive { return "\(machine.id) was removed and its Postgres runs" }
                continue
            }
            if machine.isRolledBack { return "\(machine.id) goes on with a state that was put back" }
            guard document.member(machine.id) != nil else { return "\(machine.id) is not a member" }
            if machine.settings.member.kind == .witness { continue }
            guard world.isFollowing(machine) else {
                return "\(machine.id) does not follow: \(machine.agent.node.map { "\($0.decision)" } ?? "")"
            }
        }
        for machine in world.machines
        where document.instance(of: machine.id) == machine.settings.member.instance
            && machine.agent.process.isRunning
        {
            guard case .primary(_, let host, _, let until) = machine.route, machine.now < until,
                world.machine(at: host) === primary
            else { return "clients do not get through at \(machine.id)" }
        }
        return nil
    }
}

extension World {
    /// Streaming from the node that takes writes, under the name that only a valid standby bears.
    func isFollowing(_ machine: Machine) -> Bool {
        guard let receiver = machine.postgres.server?.receiver, machine.agent.node?.dataState == .valid,
            machines[receiver.source].postgres.canAcknowledge
        else { return false }
        return !receiver.name.hasPrefix("matriarch-join")
    }
}
