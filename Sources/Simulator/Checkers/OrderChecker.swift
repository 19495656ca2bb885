import Consensus
import Supervision

/// I16, I17: what is done to Postgres follows from a committed document, and nothing is destroyed before
/// the record on disk says so.
struct OrderChecker: Checker {
    let name = "I16 I17 orders"
    let sights: [Sight] = [.order]

    mutating func observe(_ seen: Observation, in world: World) -> String? {
        guard case .ordered(let machine, let order) = seen, let node = machine.agent.node else { return nil }
        switch order {
        case .follow(let upstream):
            guard let document = node.document, document.hasOpenPrimary,
                document.primary?.member == upstream.member
            else { return "\(machine.id) follows \(upstream.member), which no committed document names" }
            return nil
        case .promote(let plan): return promote(plan, node, machine)
        case .clone(let plan): return clone(plan, node, machine)
        case .initialize(let attempt, _):
            guard node.document?.founding == Founding(attempt: attempt, member: machine.id),
                node.document?.systemIdentifier == nil
            else { return "\(machine.id) makes a database that no committed document asks for" }
            return nil
        case .startPrimary:
            guard node.document?.primary?.member == machine.id || node.document?.systemIdentifier != nil
            else {
                return "\(machine.id) starts as primary and no committed document names it"
            }
            return nil
        case .startStandby, .stop, .freeze, .configure, .checkpoint, .examine: return nil
        }
    }

    private func promote(_ plan: PromotionPlan, _ node: Node, _ machine: Machine) -> String? {
        guard let lineage = node.document?.currentLineage, lineage.timeline == plan.timeline,
            lineage.status == .reserved, lineage.member == machine.id, lineage.epoch == node.term
        else { return "\(machine.id) promotes to timeline \(plan.timeline), which is not reserved for it" }
        return nil
    }

    private func clone(_ plan: ClonePlan, _ node: Node, _ machine: Machine) -> String? {
        guard let document = node.document, document.member(machine.id) != nil else {
            return "\(machine.id) clones and is no member"
        }
        guard machine.agent.durable.data.state == .cloning else {
            return "\(machine.id) clones before its record on disk says so"
        }
        guard document.hasOpenPrimary, document.primary?.member == plan.source.member else {
            return "\(machine.id) clones \(plan.source.member), which is no open primary"
        }
        let there = machine.postgres.directory?.systemIdentifier
        guard there == nil || there == document.systemIdentifier else {
            return "\(machine.id) is about to destroy the database of another cluster"
        }
        return nil
    }
}
