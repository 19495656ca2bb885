import Consensus
import Supervision

/// I19: nobody votes against its own promise, nor in the time after a boot when it can't know what it
/// promised.
struct VoteChecker: Checker {
    let name = "I19 votes and promises"
    let sights: [Sight] = [.message, .write, .step]
    private var newestReleased: Term = 0
    private var registerAtBoot: [MemberID: (life: Int, instance: Instance, lease: Duration?)] = [:]
    /// The newest term in which each voted.
    private var voted: [MemberID: Term] = [:]

    mutating func observe(_ seen: Observation, in world: World) -> String? {
        switch seen {
        case .sent(_, let envelope, _):
            switch envelope.body {
            case .consensus(.timeoutNow(let message)): newestReleased = max(newestReleased, message.term)
            case .consensus(.release(let term)): newestReleased = max(newestReleased, term)
            default: break
            }
            return nil
        case .persisting(let machine, let state):
            // Judged when it is decided: the answer may leave much later, and counts for nothing then.
            let term = state.hard.term
            guard let vote = state.hard.votedFor, voted[machine.id] != term else { return nil }
            voted[machine.id] = term
            return judge(machine, for: vote.candidate, term, world)
        case .stepped(let machine):
            if registerAtBoot[machine.id]?.life != machine.hardware.life { remember(machine) }
            return nil
        default: return nil
        }
    }

    /// The longest lease that a promise forgotten in the crash may have been given for. It was given to a
    /// leader, whose term was on disk before the answer: who knows of no term has promised nothing.
    private mutating func remember(_ machine: Machine) {
        let hard = machine.agent.durable.hard
        let leases = [hard.accepted, hard.committed].compactMap { $0?.document.lease }
        let longest = hard.term == 0 ? nil : leases.max()
        registerAtBoot[machine.id] = (machine.hardware.life, machine.agent.durable.instance, longest)
    }

    private func judge(
        _ machine: Machine, for candidate: MemberID, _ term: Term, _ world: World
    ) -> String? {
        let now = machine.now
        // A new instance has promised nothing. The one before it lost its vote by a commit of voters who kept
        // their promises, and among those is one of every lease that counted a promise of its.
        if candidate != machine.id, let booted = registerAtBoot[machine.id], let lease = booted.lease,
            booted.instance == machine.agent.durable.instance,
            now < SimulatedClock.firstInstant + Timings(lease: lease).promise
        {
            return "\(machine.id) votes for \(candidate) too soon after its boot"
        }
        guard let promise = machine.agent.promise, now < promise.until, promise.term > newestReleased else {
            return nil
        }
        let instance = world.machine(candidate)?.agent.durable.instance
        let isPromised = promise.leader == candidate && promise.instance == instance
        if isPromised { return nil }
        return
            "\(machine.id) votes for \(candidate) in term \(term) inside its promise to \(promise.leader)"
    }
}
