import Consensus
import Supervision

/// I19: nobody votes against its own promise, nor in the time after a boot when it can't know what it
/// promised.
struct VoteChecker: Checker {
    let name = "I19 votes and promises"
    let sights: [Sight] = [.message, .step]
    private var newestReleased: Term = 0
    private var registerAtBoot: [MemberID: (life: Int, lease: Duration?)] = [:]

    mutating func observe(_ seen: Observation, in world: World) -> String? {
        switch seen {
        case .sent(let machine, let envelope, let to):
            switch envelope.body {
            case .consensus(.timeoutNow(let message)): newestReleased = max(newestReleased, message.term)
            case .consensus(.release(let term)): newestReleased = max(newestReleased, term)
            case .consensus(.voteAnswer(let answer)) where !answer.isPreVote && answer.refusal == nil:
                return judge(machine, for: to, answer.requestedTerm)
            default: break
            }
            return nil
        case .stepped(let machine):
            if registerAtBoot[machine.id]?.life != machine.hardware.life { remember(machine) }
            return nil
        default: return nil
        }
    }

    /// The longest lease that a promise forgotten in the crash may have been given for.
    private mutating func remember(_ machine: Machine) {
        let hard = machine.agent.durable.hard
        let leases = [hard.accepted, hard.committed].compactMap { $0?.document.lease }
        registerAtBoot[machine.id] = (machine.hardware.life, leases.max())
    }

    private func judge(_ machine: Machine, for candidate: Machine, _ term: Term) -> String? {
        let now = machine.now
        if let lease = registerAtBoot[machine.id]?.lease,
            now < SimulatedClock.firstInstant + Timings(lease: lease).promise
        {
            return "\(machine.id) votes for \(candidate.id) too soon after its boot"
        }
        guard let promise = machine.agent.promise, now < promise.until, promise.term > newestReleased else {
            return nil
        }
        let isPromised =
            promise.leader == candidate.id && promise.instance == candidate.settings.member.instance
        if isPromised { return nil }
        return
            "\(machine.id) votes for \(candidate.id) in term \(term) inside its promise to \(promise.leader)"
    }
}
