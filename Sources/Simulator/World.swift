import Consensus
import Supervision

/// A herd and everything around it, driven by one seed: the only place where simulated time passes.
///
/// Nothing in it depends on anything outside: the same seed and options give the same run, in every process.
final class World {
    let seed: UInt64
    let options: Options
    var schedule = Schedule()
    var random: SeededRandom
    var network: Network
    var wal = WriteAheadLog()
    private(set) var machines: [Machine] = []
    var clients: Clients
    private var checkers: [any Checker]
    /// Which checkers are shown what, by kind of observation.
    private let audience: [[Int]]
    private(set) var violation: Violation?
    /// False once the faults are over and everything must come right by itself.
    var troubles = true
    let trace: Trace
    /// Stops the run after this many events.
    var stepLimit: UInt64?
    var tally = Tally()
    /// Set while somebody wants to know what the herd costs.
    var meter: Meter?
    /// The next promotion ends in a crash once its timeline is begun.
    var spoilsNextPromotion = false
    /// The newest document that anybody is known to have committed.
    private(set) var newestCommitted: Entry<ClusterDocument>?
    private var hosts: [String: Int] = [:]
    /// Counts the changes of who is found where.
    private(set) var hostsVersion = 0
    private var nextRequest: RequestID = 1
    private var asked: [RequestID: (CommandAnswer) -> Void] = [:]

    init(
        seed: UInt64, options: Options, trace: Trace = Trace(),
        checkers: [any Checker] = Checkers.all()
    ) {
        self.seed = seed
        self.options = options
        self.trace = trace
        random = SeededRandom(seed: seed)
        network = Network(options.weather)
        clients = Clients(options, seed: seed)
        self.checkers = checkers
        audience = Sight.allCases.map { sight in
            checkers.indices.filter { checkers[$0].sights.contains(sight) }
        }
        for number in 0..<options.members { addMachine(World.names[number], founders: options.members) }
        clients.begin(self)
    }

    static let names = "abcdefghijklmnopqrstuvwxyz".map { MemberID(String($0)) }

    var now: WorldTime { schedule.now }

    var isExhausted: Bool { stepLimit.map { schedule.happened >= $0 } ?? false }

    // MARK: machines

    @discardableResult
    func addMachine(_ id: MemberID, founders: Int?, region: String? = nil) -> Machine {
        let drift = options.clockDrift == 0 ? 0 : Int64.random(in: -1000...1000, using: &random)
        let machine = Machine(
            self, index: machines.count, settings: settings(of: id, founders: founders, region: region),
            clockDrift: max(-options.clockDrift, min(options.clockDrift, drift)))
        invariant(machines.count < Network.capacity, "there are only \(Network.capacity) machines")
        hosts[machine.settings.member.address] = machine.index
        hostsVersion += 1
        machines.append(machine)
        return machine
    }

    private func settings(of id: MemberID, founders: Int?, region: String?) -> NodeSettings {
        let isLast = id == World.names[options.members - 1]
        let isElsewhere = options.secondRegion && isLast
        var member = Member(
            id: id, instance: freshInstance(of: id), address: "\(id.name).herd",
            region: region ?? (isElsewhere ? "north" : "home"),
            kind: options.witness && isLast ? .witness : .data)
        member.tags = options.tags[id] ?? []
        let seeds = World.names.prefix(options.members).map {
            PeerAddress(
                member: nil, host: machine($0)?.settings.member.address ?? "\($0.name).herd", port: 5501)
        }
        var settings = NodeSettings(
            member: member, clusterName: "herd", seeds: seeds, foundersExpected: founders,
            primaryRegion: "home",
            lease: options.lease, heartbeat: nil, maximumLagOnFailover: options.maximumLag,
            coldStartWait: options.coldStartWait, stopTimeout: .seconds(60),
            credentials: Credentials(
                operatorRole: "operator", operatorPassword: "o", adminRole: "admin",
                replicationRole: "replication", replicationPassword: "r"),
            agentVersion: "simulated")
        settings.deadMemberRemoval = options.deadMemberRemoval
        return settings
    }

    func freshInstance(of id: MemberID) -> Instance {
        "\(id.name)-\(String(random.next(), radix: 36))"
    }

    func rehost(_ machine: Machine, at address: String) {
        let former = machine.settings.member.address
        hosts[former] = nil
        hosts[address] = machine.index
        hostsVersion += 1
        for other in machines { other.learnSeed(former, isNow: address) }
    }

    func machine(at host: String) -> Machine? { hosts[host].map { machines[$0] } }
    func machine(_ id: MemberID) -> Machine? { machines.first { $0.id == id } }

    // MARK: messages

    /// Sends an envelope on a link of the sender's own, or as an answer on the link that the peer's agent
    /// opened in its life `channelLife`.
    func transmit(_ envelope: Envelope, from: Machine, to: Machine, on channelLife: Int?) {
        let letter = Letter(envelope)
        observe(.sent(from, letter, to: to))
        if meter != nil { meter?.sent[from.index] += 1 }
        if network.isCut(from.index, to.index, .agents) { return }
        if let channelLife, to.agent.process.life != channelLife { return }
        let sender = from.agent.sender
        let senderLife = from.agent.process.life
        for delay in network.deliveries(&random) {
            schedule.add(after: delay, for: to.agent.process) { [self] in
                observe(.delivered(to, letter, from: from))
                if meter != nil { meter?.received[to.index] += 1 }
                if channelLife != nil {
                    to.agent.feed(.received(letter.envelope, from: sender, channel: nil))
                } else {
                    to.agent.receive(letter.envelope, from: sender, of: from, life: senderLife)
                }
            }
        }
    }

    // MARK: people

    /// A person or a signal asks something of one node; the answer may never come.
    func ask(_ command: Command, of machine: Machine, _ answer: @escaping (CommandAnswer) -> Void = { _ in })
    {
        let request = nextRequest
        nextRequest += 1
        asked[request] = answer
        note(machine, "asked: \(command)")
        schedule.add(after: .milliseconds(1), for: machine.agent.process) {
            machine.agent.feed(.requested(request, command))
        }
    }

    func answered(_ request: RequestID, _ answer: CommandAnswer, by machine: Machine) {
        note(machine, "answers: \(answer.verdict) \(answer.reason ?? "")")
        asked.removeValue(forKey: request)?(answer)
    }

    // MARK: judging

    /// Figures of a run that say how much it tried.
    struct Tally {
        var promotions = 0
        var lostWrites = 0
        var clones = 0
        var clonesOfStandbys = 0
        /// The most that were under way at one time.
        var clonesAtOnce = 0
        var rewinds = 0
        /// Machines whose disk was put back to an older copy.
        var putBacks = 0
    }

    func observe(_ seen: Observation) {
        if case .persisting(_, let state) = seen, let entry = state.hard.committed,
            entry.version > newestCommitted?.version ?? .none
        {
            newestCommitted = entry
        }
        guard violation == nil else { return }
        for index in audience[seen.sight.rawValue] {
            if let complaint = checkers[index].observe(seen, in: self) {
                return fail(checkers[index].name, complaint)
            }
        }
    }

    /// Whether the protocol promises to bear this machine's going back: the herd is whole, a majority is
    /// left without it, another voter holds what may not be lost, and every other member has seen how far it
    /// had got. Who never heard of a vote can't miss it.
    func bears(_ machine: Machine, goingBackTo copy: Machine.DiskCopy) -> Bool {
        guard Settled.complaint(in: self) == nil, let document = newestCommitted?.document,
            !document.voters.isJoint, document.voters.current.count >= 3,
            copy.state.instance == machine.agent.durable.instance, copy.state.hard.committed != nil
        else { return false }
        // Who alone decided then asks nobody now, and so can't be told.
        let voters = [copy.state.hard.accepted, copy.state.hard.committed].compactMap { $0?.document.voters }
        if voters.contains(where: { $0.isMajority { $0 == machine.id } }) { return false }
        let end = machine.postgres.position.lsn
        let isCovered = document.voters.current.contains { voter in
            guard voter != machine.id, let other = self.machine(voter) else { return false }
            return other.postgres.position.lsn.behind(end) <= options.maximumLag / 2
        }
        return isCovered
            && document.members.allSatisfy { member in
                guard member.id != machine.id else { return true }
                guard let other = self.machine(member.id), other.agent.process.isRunning,
                    let seen = other.agent.node?.witnessed(of: machine.id)
                else { return false }
                return !other.isRolledBack && seen >= machine.agent.durable.sequence
            }
    }

    /// Who has seen further may have forgotten it in a crash of its own: what nobody is left to remember is
    /// not missed (protocol: Rolled back).
    func forgetRollbacks() {
        for machine in machines where machine.isRolledBack {
            let durable = machine.agent.durable
            let began = machine.agent.node?.life.began ?? durable.sequence
            let isRemembered = machines.contains { other in
                guard other !== machine else { return false }
                if let node = other.agent.node { return node.witnessed(of: machine.id) ?? 0 > began }
                return other.agent.durable.witnesses.contains {
                    $0.member == machine.id && $0.instance == durable.instance && $0.reached > began
                }
            }
            if !isRemembered { machine.isRolledBack = false }
        }
    }

    func fail(_ checker: String, _ complaint: String) {
        guard violation == nil else { return }
        violation = Violation(seed: seed, at: now, checker: checker, complaint: complaint)
        trace.line(now, "world", "", "VIOLATION", "\(checker): \(complaint)", "")
    }

    func writersMayHaveChanged(_ machine: Machine) {
        // While its guard allows a primary by a lease from before, the machine may start one again.
        if !machine.postgres.mightAcknowledge, machine.hardware.isRunning,
            machine.guardian.process.isRunning, !machine.guardian.allowsPrimary
        {
            machine.isExcused = false
        }
        observe(.writersChanged)
    }

    // MARK: time

    /// Lets things happen until `limit`, until something is found wrong, or until `condition` holds.
    ///
    /// - Returns: whether the condition holds.
    @discardableResult
    func run(until limit: WorldTime, _ condition: () -> Bool = { false }) -> Bool {
        while violation == nil, !isExhausted {
            if condition() { return true }
            let (due, action) = schedule.advance(to: limit)
            if !due { return condition() }
            action?()
        }
        return false
    }

    // MARK: the trace

    func note(_ machine: Machine, _ text: @autoclosure () -> String) {
        guard trace.isOn else { return }
        trace.line(now, machine.id.name, machine.agent.node.map(Describe.role) ?? "-", "·", text(), "")
    }

    func note(_ text: @autoclosure () -> String) {
        if trace.isOn { trace.line(now, "world", "", "·", text(), "") }
    }

    func traceStep(_ machine: Machine, _ event: NodeEvent, _ effects: [NodeEffect]) {
        guard trace.isOn, let node = machine.agent.node else { return }
        for text in effects.compactMap(Describe.effect) {
            trace.line(
                now, machine.id.name, Describe.role(node), Describe.event(event), text,
                node.status(at: machine.now).rule)
        }
    }
}
