import Consensus
import Supervision

/// I10, I11, I12: a frozen member acknowledges nothing more to an older primary, says truly where its log
/// ends, and calls itself valid only when its data is whole.
struct FreezeChecker: Checker {
    let name = "I10 I11 I12 freeze"
    let sights: [Sight] = [.message, .arming, .flush]
    private var answered: [MemberID: Term] = [:]
    private var armed: [MemberID: Term] = [:]

    mutating func observe(_ seen: Observation, in world: World) -> String? {
        switch seen {
        case .guardArmed(let machine, let epoch):
            armed[machine.id] = epoch
            return nil
        case .sent(let machine, let envelope, _):
            guard case .frozen(let answer) = envelope.body, case .frozen(let position) = answer.verdict else {
                return nil
            }
            answered[machine.id] = max(answered[machine.id] ?? 0, answer.term)
            return judge(position, answer, machine, world)
        case .flushed(let machine, let source):
            guard source.postgres.isWritable, let term = answered[machine.id], let epoch = armed[source.id],
                epoch < term
            else { return nil }
            return "\(machine.id) acknowledges WAL of \(source.id), primary of term \(epoch), "
                + "after it was frozen for term \(term)"
        default: return nil
        }
    }

    private func judge(
        _ position: Position, _ answer: FreezeAnswer, _ machine: Machine, _ world: World
    ) -> String? {
        // An answer that waited for the disk while its own leader became primary: nobody counts it any more.
        if let primary = machine.agent.node?.document?.primary, primary.epoch >= answer.term { return nil }
        let truth = machine.postgres.position
        guard position == truth else {
            return "\(machine.id) says that it is frozen at \(position), and its log ends at \(truth)"
        }
        if answer.dataState == .valid, machine.postgres.directory == nil {
            return "\(machine.id) calls itself valid and has no data"
        }
        if machine.postgres.server?.receiver != nil { return "\(machine.id) says frozen and still receives" }
        return nil
    }
}
