import Consensus

/// I4: never two servers that may acknowledge writes, from the first that can until the last process of the
/// other is gone.
///
/// Excepted, as the protocol excepts it: machines that were paused, a clock that jumped, and a guard that was
/// stopped together with its agent.
struct SingleWriterChecker: Checker {
    let name = "I4 single writer"
    let sights: [Sight] = [.writers]

    mutating func observe(_ seen: Observation, in world: World) -> String? {
        guard case .writersChanged = seen else { return nil }
        let writers = world.machines.filter { $0.postgres.mightAcknowledge && $0.hardware.isAlive }
        guard writers.count > 1, !writers.contains(where: \.isExcused) else { return nil }
        return writers.map(\.id.name).joined(separator: " and ") + " may both acknowledge writes"
    }
}
