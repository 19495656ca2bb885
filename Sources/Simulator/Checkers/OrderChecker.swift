import Consensus
import Supervision

/// I16, I17: what is done to Postgres follows from a committed document, and nothing is destroyed before
/// the record on disk says so.
struct OrderChecker: Checker {
    let name = "I16 I17 orders"
    let sights: [Sight] = [.order]

    mutating func observe(_ seen: Observation, in world: World) -> String? {
        if case .rewinding(let machine, let source, let divergence) = seen {
            return rewinding(machine, source, divergence, world)
        }
        guard case .ordered(let machine, let order) = seen, let node = machine.agent.node else { return nil }
        switch order {
        case .follow(let upstream):
            guard let document = node.committed, document.hasOpenPrimary,
                document.primary?.member == upstream.member
            else { return "\(machine.id) follows \(upstream.member), which no committed document names" }
            return nil
        case .promote(let plan): return promote(plan, node, machine)
        case .clone(let plan):
            return copy(plan.source, .cloning, node, machine)
        case .rewind(let plan): return copy(plan.source, .rewinding, node, machine)
        case .initialize(let attempt, _):
            guard node.committed?.founding == Founding(attempt: attempt, member: machine.id),
                node.committed?.systemIdentifier == nil
            else { return "\(machine.id) makes a database that no committed document asks for" }
            return nil
        case .startPrimary:
            guard node.committed?.primary?.member == machine.id || node.committed?.systemIdentifier != nil
            else {
                return "\(machine.id) starts as primary and no committed document names it"
            }
            return nil
        case .startStandby, .stop, .freeze, .configure, .tendSlots, .checkpoint, .examine: return nil
        }
    }

    private func promote(_ plan: PromotionPlan, _ node: Node, _ machine: Machine) -> String? {
        guard let lineage = node.committed?.currentLineage, lineage.timeline == plan.timeline,
            lineage.status == .reserved, lineage.member == machine.id, lineage.epoch == node.term
        else { return "\(machine.id) promotes to timeline \(plan.timeline), which is not reserved for it" }
        return nil
    }

    private func copy(
        _ source: Upstream, _ state: DataState, _ node: Node, _ machine: Machine
    ) -> String? {
        guard let document = node.committed, document.member(machine.id) != nil else {
            return "\(machine.id) is \(state) and is no member"
        }
        guard machine.agent.durable.data.state == state else {
            return "\(machine.id) is \(state) before its record on disk says so"
        }
        // A copy may be of a standby that is offered for it; both are of the history that is open.
        let isOffered = state == .cloning && document.member(source.member)?.isOfferedForCopies == true
        guard document.hasOpenPrimary, document.primary?.timeline == source.timeline,
            document.primary?.member == source.member || isOffered
        else { return "\(machine.id) is \(state) from \(source.member), which is no open primary" }
        let there = machine.postgres.directory
        // What its own attempt at founding left is nobody's data once another's became the cluster's.
        let isLeftover = there?.marker != nil
        guard there == nil || isLeftover || there?.systemIdentifier == document.systemIdentifier else {
            return "\(machine.id) is about to destroy the database of another cluster"
        }
        return nil
    }

    /// The document's word about where a log left the history, against the truth.
    private func rewinding(
        _ machine: Machine, _ source: Machine, _ divergence: Divergence, _ world: World
    ) -> String? {
        guard let mine = machine.postgres.directory?.log, let theirs = source.postgres.directory?.log else {
            return "\(machine.id) is rewound without data"
        }
        guard world.wal.position(of: mine) == divergence.end else {
            return "\(machine.id) is rewound from \(divergence.end), and its log ends at "
                + "\(world.wal.position(of: mine))"
        }
        if world.wal.contains(mine, in: theirs) {
            return "\(machine.id) is rewound though it holds nothing that \(source.id) does not"
        }
        let kept = world.wal.prefix(of: mine, upTo: divergence.fork.lsn)
        guard world.wal.contains(kept, in: theirs) else {
            return "\(machine.id) keeps WAL up to \(divergence.fork) that \(source.id) does not have"
        }
        return nil
    }
}

extension Node {
    /// What was committed as far as this member knows, read past whatever the node itself goes by.
    fileprivate var committed: ClusterDocument? { hard.committed?.document }
}
