import Consensus
import Supervision

/// I28: a herd is founded once, and opens one database.
struct FoundingChecker: Checker {
    let name = "I28 founding"
    let sights: [Sight] = [.write]
    private var cluster: String?
    private var system: UInt64?

    mutating func observe(_ seen: Observation, in world: World) -> String? {
        guard case .persisting(let machine, let state) = seen, let document = state.hard.committed?.document
        else {
            return nil
        }
        if let cluster, cluster != document.clusterID {
            return "\(machine.id) belongs to cluster \(document.clusterID), and \(cluster) was founded before"
        }
        cluster = document.clusterID
        guard let opened = document.systemIdentifier else { return nil }
        if let system, system != opened { return "a second database \(opened) was opened after \(system)" }
        system = opened
        return nil
    }
}
