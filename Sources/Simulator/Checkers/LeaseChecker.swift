import Consensus
import Supervision

/// I22: the guard's deadline lies within one lease, less the margin for killing, of the *sending* of the
/// oldest acknowledgement in the newest majority.
struct LeaseChecker: Checker {
    let name = "I22 lease"
    let sights: [Sight] = [.message, .arming]

    private struct Rounds {
        var term: Term
        var life: Int
        /// The first round of the term, and when each was sent from there on.
        var first: UInt64
        var sent: [Instant] = []
        /// By machine.
        var acknowledged = [Instant?](repeating: nil, count: Network.capacity)
        /// The newest entry that anybody was told of.
        var announced = Version.none

        mutating func note(_ append: Append<ClusterDocument>, at now: Instant) {
            announced = max(announced, append.version)
            // A round goes to everyone at once; one that found nobody to go to is acknowledged by nobody.
            while first + UInt64(sent.count) <= append.sequence { sent.append(now) }
        }

        mutating func acknowledge(_ answer: AppendAnswer, by machine: Machine) {
            guard answer.term == term, answer.sequence >= first,
                answer.sequence - first < UInt64(sent.count)
            else { return }
            let round = sent[Int(answer.sequence - first)]
            acknowledged[machine.index] = max(acknowledged[machine.index] ?? round, round)
        }
    }

    /// The newest answer of each that came from a state that was not put back; it may arrive after that.
    private var honest = [Answered](repeating: Answered(term: 0, sequence: 0), count: Network.capacity)

    private struct Answered: Comparable {
        var term: Term
        var sequence: UInt64

        static func < (left: Answered, right: Answered) -> Bool {
            (left.term, left.sequence) < (right.term, right.sequence)
        }
    }

    /// By machine.
    private var rounds = [Rounds?](repeating: nil, count: Network.capacity)

    mutating func observe(_ seen: Observation, in world: World) -> String? {
        switch seen {
        case .sent(let machine, let envelope, _):
            switch envelope.body {
            case .consensus(.append(let append)): note(append, by: machine)
            case .consensus(.appendAnswer(let answer)) where !machine.isRolledBack:
                let answered = Answered(term: answer.term, sequence: answer.sequence)
                honest[machine.index] = max(honest[machine.index], answered)
            default: break
            }
            return nil
        case .delivered(let machine, let envelope, let from):
            guard case .consensus(.appendAnswer(let answer)) = envelope.body, answer.coversLease,
                Answered(term: answer.term, sequence: answer.sequence) <= honest[from.index]
            else { return nil }
            rounds[machine.index]?.acknowledge(answer, by: from)
            return nil
        case .arming(let machine, let epoch, let deadline): return judge(machine, epoch, deadline, world)
        default: return nil
        }
    }

    private mutating func note(_ append: Append<ClusterDocument>, by machine: Machine) {
        let life = machine.agent.process.life
        if rounds[machine.index]?.term != append.term || rounds[machine.index]?.life != life {
            rounds[machine.index] = Rounds(term: append.term, life: life, first: append.sequence)
        }
        rounds[machine.index]?.note(append, at: machine.now)
    }

    private func judge(
        _ machine: Machine, _ epoch: Term, _ deadline: Instant, _ world: World
    ) -> String? {
        let running = rounds[machine.index]
        guard let hard = machine.agent.node?.hard, var document = hard.accepted?.document else {
            return "\(machine.id) arms its guard without a document"
        }
        // A lease that was extended in the step that then proposed other voters rests on those before them:
        // nobody can act on the new ones before he has heard of them, and so has promised anew.
        if let running, let committed = hard.committed, hard.acceptedVersion > running.announced,
            hard.committedVersion.term == epoch
        {
            document = committed.document
        }
        let oldest = document.voters.reachedByMajority { voter -> Instant? in
            if voter == machine.id { return machine.now }
            guard running?.term == epoch, let other = world.machine(voter) else { return nil }
            return running?.acknowledged[other.index]
        }
        guard let oldest else { return "\(machine.id) arms its guard without a majority's word" }
        let latest = oldest + document.lease - Timings(lease: document.lease).killMargin
        guard deadline <= latest else {
            return "\(machine.id) arms its guard until \(deadline.nanoseconds), "
                + "\((deadline - latest).milliseconds) ms past what the oldest acknowledgement allows"
        }
        return nil
    }
}
