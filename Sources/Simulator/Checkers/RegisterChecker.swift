import Consensus
import Supervision

/// I2: what is committed is on a majority's disks, is the same everywhere, and is never lost to a later
/// leader.
struct RegisterChecker: Checker {
    let name = "I2 register"
    let sights: [Sight] = [.message, .write]
    private var documents: [Version: ClusterDocument] = [:]
    private var newestCommitted = Version.none
    private var newestLeader: Term = 0

    mutating func observe(_ seen: Observation, in world: World) -> String? {
        switch seen {
        case .persisting(let machine, let state):
            if let complaint = compare(state.hard.accepted, at: machine) { return complaint }
            return committed(state.hard.committed, at: machine, world)
        case .sent(let machine, let envelope, _):
            guard case .consensus(.append(let append)) = envelope.body, append.term > newestLeader else {
                return nil
            }
            newestLeader = append.term
            guard append.version >= newestCommitted else {
                return "\(machine.id) leads term \(append.term) from \(append.version), "
                    + "and \(newestCommitted) was committed"
            }
            return nil
        default: return nil
        }
    }

    private mutating func compare(_ entry: Entry<ClusterDocument>?, at machine: Machine) -> String? {
        guard let entry else { return nil }
        guard let known = documents[entry.version] else {
            documents[entry.version] = entry.document
            return nil
        }
        return known == entry.document ? nil : "\(machine.id) has another document \(entry.version)"
    }

    private mutating func committed(
        _ entry: Entry<ClusterDocument>?, at machine: Machine, _ world: World
    ) -> String? {
        if let complaint = compare(entry, at: machine) { return complaint }
        guard let entry, entry.version > newestCommitted else { return nil }
        newestCommitted = entry.version
        // The first document needs no majority: all founders agreed to it before.
        if entry.version.term == 0 { return nil }
        let holds = entry.document.voters.isMajority { voter in
            guard let other = world.machine(voter) else { return false }
            return other.agent.durable.hard.acceptedVersion >= entry.version
        }
        return holds ? nil : "\(machine.id) takes \(entry.version) for committed without a majority's disks"
    }
}
