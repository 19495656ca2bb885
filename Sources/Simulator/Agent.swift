import Consensus
import Supervision

/// The agent's process: the product's `Node`, its store, its links, and an interpreter for its effects.
final class Agent {
    unowned let machine: Machine
    let process = Process("agent")
    private(set) var node: Node?
    private(set) var nonce: BootNonce = 0
    private(set) var links: [PeerAddress] = [] { didSet { peersVersion = -1 } }
    /// Who answers at the links' addresses, as of this version of the world's hosts.
    private var peers: [Machine] = []
    private var peersVersion = -1
    private(set) var lane: OrderLane?

    // What a restart finds again.
    private(set) var durable: DurableState
    /// In tmpfs: found again after a crash of the agent, not of the machine.
    private(set) var promise: Promise?

    private var writes: [(token: NodeToken, state: DurableState)] = []
    private var lastWriteEnds = WorldTime.zero
    private var wakeAt = WorldTime.never
    private var asked = 0
    private var answered = 0
    private var exitAction: (() -> Void)?

    /// How long the guard's answer may take before the agent takes it for lost.
    private var guardPatience: Duration { world.options.timings.demoteMargin }
    /// One way over the guard's socket; always the same, as a socket keeps order.
    static let guardDelay = Duration.microseconds(150)
    static let pollInterval = Duration.seconds(1)
    static let hastyPollInterval = Duration.milliseconds(100)

    init(_ machine: Machine) {
        self.machine = machine
        durable = DurableState(
            instance: machine.settings.member.instance, member: machine.settings.member.id)
    }

    private var world: World { machine.world }
    var sender: Sender { Sender(member: machine.id, instance: durable.instance, nonce: nonce) }

    func start() {
        guard !process.isAlive, machine.hardware.isAlive else { return }
        process.start()
        nonce = world.random.next()
        node = Node(
            settings: machine.settings, durable: durable, promise: promise, sameBoot: promise != nil,
            nonce: nonce, seed: world.random.next(), now: machine.now)
        links = []
        lane = OrderLane(machine)
        wakeAt = .never
        lastWriteEnds = .zero
        (asked, answered) = (0, 0)
        world.note(machine, "agent starts")
        ask(.look)
        poll(after: .milliseconds(5))
        feed(.tick)
        world.forgetRollbacks()
    }

    func die() {
        guard process.isAlive else { return }
        process.die()
        while process.isPaused { world.schedule.resume(process) }
        node = nil
        lane = nil
        exitAction = nil
        tearWrites()
    }

    func forgetBoot() { promise = nil }

    /// The disk is another one.
    func forgetEverything() {
        durable = DurableState(instance: machine.settings.member.instance, member: machine.id)
        promise = nil
    }

    /// A crash in the middle of writing: any number of the writes that nobody was told of may have reached
    /// the disk.
    private func tearWrites() {
        for write in writes {
            guard world.random.chance(0.5) else { break }
            store(write.state)
        }
        writes = []
    }

    /// Calls `action` once when the node says that it is done (after SIGTERM).
    func whenExited(_ action: @escaping () -> Void) { exitAction = action }

    // MARK: events

    func feed(_ event: NodeEvent) {
        guard process.isAlive, node != nil else { return }
        let began = world.meter?.clock()
        let effects = node?.step(event, at: machine.now) ?? []
        if let began, let ended = world.meter?.clock() {
            world.meter?.spent[machine.index] += ended - began
        }
        world.traceStep(machine, event, effects)
        for effect in effects {
            perform(effect)
            if !process.isAlive { return }
        }
        world.observe(.stepped(machine))
        wakeWhenDue()
    }

    private func wakeWhenDue() {
        guard let due = node?.nextWake else { return }
        let moment = max(machine.clock.moment(of: due), world.now + .microseconds(1))
        guard moment != wakeAt, moment < wakeAt || wakeAt <= world.now else { return }
        wakeAt = moment
        if moment == .never { return }
        world.schedule.add(at: moment + machine.lateness(), for: process) { [self] in
            guard wakeAt <= world.now else { return }
            wakeAt = .never
            feed(.tick)
        }
    }

    private func poll(after delay: Duration) {
        world.schedule.add(after: delay, for: process) { [self] in
            let report = machine.postgres.report()
            feed(.postgresReported(report))
            if report.state == .primary { feed(.writeProbed(report.takenAt)) }
            let isHasty = machine.postgres.isStarting
            poll(after: isHasty ? Agent.hastyPollInterval : Agent.pollInterval)
        }
    }

    // MARK: effects

    private func perform(_ effect: NodeEffect) {
        switch effect {
        case .persist(let state, let token): write(state, token)
        case .storePromise(let newest):
            world.observe(.promised(machine, newest))
            promise = newest
        case .send(let envelope, let destination): send(envelope, to: destination)
        case .armGuard(let epoch, let deadline):
            world.observe(.arming(machine, epoch: epoch, deadline: deadline))
            ask(.arm(epoch: epoch, deadline: deadline))
        case .disarmGuard(let epoch): ask(.disarm(epoch: epoch))
        case .killPostgres(let reason): killPostgres(reason)
        case .postgres(let job, let order):
            world.observe(.ordered(machine, order))
            lane?.give(order, as: job)
        case .cancelOrder(let job): lane?.cancel(job)
        case .route(let route): machine.route = route
        case .connect(let peers): links = peers
        case .answer(let request, let answer): world.answered(request, answer, by: machine)
        case .record(let event): world.observe(.recorded(machine, event))
        case .exit: exit()
        case .startOver(let data, let origin): startOver(data, origin)
        }
    }

    private func exit() {
        world.note(machine, "agent exits")
        let action = exitAction
        die()
        action?()
    }

    private func startOver(_ data: DataState, _ origin: Belonging) {
        world.note(machine, "agent starts over as a new instance")
        die()
        let instance = "\(machine.id.name)-\(String(world.random.next(), radix: 36))"
        durable = DurableState(instance: instance, member: machine.id)
        durable.data.state = data
        durable.origin = origin
        machine.isRolledBack = false
        world.schedule.add(after: .milliseconds(50), for: machine.hardware) { [self] in start() }
    }

    /// An older copy of the state file lies there when the machine boots.
    func putBack(_ older: DurableState) {
        machine.isRolledBack = older.sequence < durable.sequence
        durable = older
    }

    /// The node was told that the disk takes nothing.
    private var isRefused = false

    private func write(_ state: DurableState, _ token: NodeToken) {
        world.observe(.persisting(machine, state))
        writes.append((token, state))
        lastWriteEnds = max(lastWriteEnds, world.now + machine.persistDelay())
        if machine.doesDiskRefuse, machine.diskStalledUntil > world.now {
            world.schedule.add(after: .microseconds(100), for: process) { [self] in
                guard writes.contains(where: { $0.token == token }) else { return }
                isRefused = true
                feed(.stateUnwritten("no space left"))
            }
        }
        world.schedule.add(at: lastWriteEnds, for: process) { [self] in
            guard let first = writes.first, first.token == token else { return }
            writes.removeFirst()
            store(first.state)
            if isRefused { feed(.stateUnwritten(nil)) }
            isRefused = false
            feed(.persisted(token))
        }
    }

    private func store(_ state: DurableState) {
        world.observe(.persisted(machine, from: durable, to: state))
        durable = state
    }

    // MARK: the guard

    private func ask(_ request: Guardian.Request) {
        let guardian = machine.guardian
        guard guardian.process.isAlive else { return lostGuard() }
        asked += 1
        let number = asked
        world.schedule.add(after: Agent.guardDelay, for: guardian.process) { [self] in
            guardian.handle(request)
            let report = guardian.report
            world.schedule.add(after: Agent.guardDelay, for: process) { [self] in
                answered = max(answered, number)
                feed(.guardReported(report))
            }
        }
        world.schedule.add(after: guardPatience, for: process) { [self] in
            if answered < number { feed(.guardLost) }
        }
    }

    func hearGuard(_ report: GuardReport) {
        world.schedule.add(after: Agent.guardDelay, for: process) { [self] in feed(.guardReported(report)) }
    }

    /// The socket is closed: the agent says so to the node and knocks until a new guard answers.
    func lostGuard() {
        guard process.isAlive else { return }
        world.schedule.add(after: Agent.guardDelay, for: process) { [self] in
            feed(.guardLost)
            knock()
        }
    }

    private func knock() {
        world.schedule.add(after: .milliseconds(100), for: process) { [self] in
            machine.guardian.process.isAlive ? ask(.look) : knock()
        }
    }

    private func killPostgres(_ reason: String) {
        if machine.guardian.process.isRunning { return ask(.kill(reason: reason)) }
        world.note(machine, "agent kills Postgres itself: \(reason)")
        machine.postgres.kill()
    }

    // MARK: links

    private func send(_ envelope: Envelope, to destination: Destination) {
        var envelope = envelope
        envelope.life = node?.life
        switch destination {
        case .member(let member):
            if peersVersion != world.hostsVersion {
                peers = links.compactMap { world.machine(at: $0.host) }
                peersVersion = world.hostsVersion
            }
            guard let peer = peers.first(where: { $0.id == member }) else { return }
            world.transmit(envelope, from: machine, to: peer, on: nil)
        case .channel(let channel):
            let (peer, life) = (Int(channel >> 32), Int(channel & 0xFFFF_FFFF))
            world.transmit(envelope, from: machine, to: world.machines[peer], on: life)
        case .everyone:
            for link in links {
                guard let peer = world.machine(at: link.host), peer !== machine else { continue }
                world.transmit(envelope, from: machine, to: peer, on: nil)
            }
        }
    }

    /// A message on a link that the sender's agent (in its life `life`) opened to us.
    func receive(_ envelope: Envelope, from sender: Sender, of peer: Machine, life: Int) {
        guard process.isRunning else { return }
        // One number per peer and life of its agent, the same at each message.
        feed(.received(envelope, from: sender, channel: Channel(peer.index) << 32 | Channel(life)))
    }
}
