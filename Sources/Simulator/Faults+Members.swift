import Consensus
import Supervision

/// What operators and clouds do to the members: removal, votes, machines that are replaced or get another
/// address.
extension Faults {
    /// Fewer members than this are left alone: most of the other troubles need somebody to befall.
    private static let fewestMembers = 3

    func changeMembers(_ fault: Options.Fault) {
        guard let asked = world.machines.randomElement(using: &random),
            let victim = world.machines.randomElement(using: &random), asked.agent.process.isAlive
        else { return }
        switch fault {
        case .removeMember:
            guard let document = world.newestCommitted?.document,
                document.members.count > Faults.fewestMembers
            else { return }
            world.ask(.removeMember(victim.id), of: asked)
            later(spell() + world.options.lease * 4) { [self] in letBack(victim) }
        case .changeVote:
            let command = random.chance(0.5) ? Command.promoteVoter(victim.id) : .demoteVoter(victim.id)
            world.ask(command, of: asked)
        case .reinitialize: world.ask(.reinitialize(victim.id), of: asked)
        case .restartPostgres: world.ask(.restartPostgres(victim.id), of: asked)
        case .pauseHerd:
            let length = random.chance(0.5) ? spell().milliseconds : nil
            world.ask(.pause(milliseconds: length, until: nil), of: asked)
            later(spell()) { [self] in resumeHerd() }
        case .switchoverToSpare: switchoverToSpare(asked)
        case .replaceMachine:
            if canBeSpared(victim) { victim.replace() }
        default:
            // Someone whose address is wrong everywhere can't be heard by candidates for a while.
            guard canBeSpared(victim) || world.newestCommitted?.document.voters.all == [victim.id] else {
                return
            }
            // Two who moved at once know no address of each other: that is for a person, and `peers`.
            guard world.machines.allSatisfy(isWhereRecorded) else { return }
            moves += 1
            victim.move(to: "\(victim.id.name)\(moves).herd")
        }
    }

    /// To a member that has no vote, if there is one; half of the time it is lost on the way.
    private func switchoverToSpare(_ asked: Machine) {
        guard let document = world.newestCommitted?.document else { return }
        let spares = world.machines.filter { machine in
            document.member(machine.id)?.neverLeads == false && !document.voters.contains(machine.id)
        }
        guard let spare = spares.randomElement(using: &random) else { return }
        world.ask(.switchover(target: spare.id, dryRun: false, reason: "command"), of: asked)
        guard random.chance(0.5) else { return }
        later(random.duration(upTo: .milliseconds(800))) { [self] in
            guard world.troubles, spare.hardware.isRunning else { return }
            crash(spare)
        }
    }

    private func isWhereRecorded(_ machine: Machine) -> Bool {
        guard let record = world.newestCommitted?.document.member(machine.id) else { return true }
        return record.address == machine.settings.member.address
    }

    /// Asks everybody until somebody has done it.
    func resumeHerd() {
        guard world.newestCommitted?.document.pause != nil else { return }
        for machine in world.machines where machine.agent.process.isAlive { world.ask(.resume, of: machine) }
        later(.seconds(2)) { [self] in resumeHerd() }
    }

    /// Now and then somebody looks who was removed as dead and is up again.
    func letBackTheDead() {
        later(.seconds(15)) { [self] in
            for machine in world.machines where machine.agent.process.isRunning { letBack(machine) }
            if world.troubles { letBackTheDead() }
        }
    }

    /// A member that was removed comes back the way the manual says: with nothing of what it was.
    private func letBack(_ machine: Machine) {
        guard let document = world.newestCommitted?.document, document.wasRemoved(machine.agent.sender),
            world.troubles
        else { return }
        machine.replace()
    }

    /// Its state or its address may change, and the herd can still go on: everything is well, it is not the
    /// primary, and without it the voters have a majority.
    private func canBeSpared(_ machine: Machine) -> Bool {
        guard Settled.complaint(in: world) == nil, let document = world.newestCommitted?.document,
            document.primary?.member != machine.id, document.switchover == nil, document.loan == nil,
            document.instance(of: machine.id) == machine.settings.member.instance,
            // Nobody counts whose state was put back, though it be down and not found out yet.
            !world.machines.contains(where: \.isRolledBack)
        else { return false }
        return document.voters.isMajority { $0 != machine.id }
    }
}
