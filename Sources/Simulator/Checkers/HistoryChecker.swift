import Consensus
import Supervision

/// I8, I18, I26: every timeline number is used once, one place in a timeline has one content, and a standby
/// holds byte for byte what its upstream holds.
struct HistoryChecker: Checker {
    let name = "I8 I18 I26 history"
    let sights: [Sight] = [.history]
    private var used: [UInt64: [Timeline: MemberID]] = [:]

    mutating func observe(_ seen: Observation, in world: World) -> String? {
        switch seen {
        case .promoted(let machine, _, let log):
            guard let system = machine.postgres.directory?.systemIdentifier else { return nil }
            let timeline = world.wal.timeline(of: log)
            if let other = used[system]?[timeline] {
                return "\(other) and \(machine.id) both promoted to timeline \(timeline)"
            }
            used[system, default: [:]][timeline] = machine.id
            return nil
        case .forkedTimeline(let machine):
            return "\(machine.id) writes where another server wrote before, on one timeline"
        case .receivedForeignBytes(let machine, let source):
            return "\(machine.id) takes WAL from \(source.id) that does not continue its own"
        case .streamBegan(let machine, let source):
            return machine.isForeign || source.isForeign
                ? "\(machine.id) streams from \(source.id), and one of them is of another cluster" : nil
        default: return nil
        }
    }
}
