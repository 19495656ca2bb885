import Config
import Consensus
import Glibc
import Peers
import Platform
import Postgres
import Supervision

/// The interpreter: feeds the node what happens and carries out what it asks for. Nothing is decided here.
///
/// All of it runs on the control thread; whatever could wait runs elsewhere and comes back as an event.
final class Agent {
    let loop: EventLoop
    let configuration: Configuration
    let journal: EventJournal
    let publisher: StatusPublisher
    let network: PeerNetwork
    let guardKeeper: GuardKeeper
    let proxyLink: ProxyLink?
    let executor: PostgresExecutor
    let poller: PostgresPoller
    let writeProbe: WriteProbe
    let bystander: PeerQuestions
    private(set) var node: Node
    let states: StateWriter
    private let directory: StateDirectory
    private var differences: LocalDifferences
    private var waiting: [NodeEvent] = []
    private var isStepping = false
    private var timer: TimerID?
    private var answers: [RequestID: (CommandAnswer) -> Void] = [:]
    private var nextRequest: RequestID = 1
    /// A heartbeat is the same for all: it is put into bytes once.
    private var lastSent: (envelope: Envelope, frame: [UInt8])?
    /// Peers whose messages can't be read, and when people were told.
    private var misunderstood: [String: Instant] = [:]
    private(set) var exitCode: Int32?
    var onExit: (() -> Void)?
    var onStartOver: (() -> Void)?
    var lastGuardReport: GuardReport?

    init(_ parts: Parts) {
        loop = parts.loop
        configuration = parts.configuration
        journal = parts.journal
        publisher = parts.publisher
        network = parts.network
        guardKeeper = parts.guardKeeper
        proxyLink = parts.proxyLink
        executor = parts.executor
        poller = parts.poller
        writeProbe = parts.writeProbe
        states = parts.states
        directory = parts.directory
        node = parts.node
        differences = LocalDifferences(parts.configuration, parts.node.settings.credentials)
        bystander = PeerQuestions()
        bystander.agent = self
        network.delegate = self
    }

    struct Parts {
        var loop: EventLoop
        var configuration: Configuration
        var journal: EventJournal
        var publisher: StatusPublisher
        var network: PeerNetwork
        var guardKeeper: GuardKeeper
        var proxyLink: ProxyLink?
        var executor: PostgresExecutor
        var poller: PostgresPoller
        var writeProbe: WriteProbe
        var states: StateWriter
        var directory: StateDirectory
        var node: Node
    }

    static func now() -> Instant { Instant(nanoseconds: BootClock.now()) }

    /// Takes one event; those that come up while it is carried out wait for their turn.
    func feed(_ event: NodeEvent) {
        waiting.append(event)
        guard !isStepping else { return }
        isStepping = true
        while !waiting.isEmpty {
            let next = waiting.removeFirst()
            for effect in node.step(next, at: Agent.now()) { perform(effect) }
        }
        isStepping = false
        writeProbe.want(node.wantsWriteProbe)
        rearm()
        publisher.publish(node, at: Agent.now())
        reportDifferences()
    }

    private func reportDifferences() {
        guard let document = node.document else { return }
        for text in differences.news(document) {
            tell("setting-differs", .warning, text)
        }
    }

    /// SIGHUP: hands on what may change while the node runs.
    func reload(_ configuration: Configuration) {
        node.reload(
            stopTimeout: configuration.stopTimeout, coldStartWait: configuration.coldStartWait,
            deadMemberRemoval: configuration.deadMemberRemoval)
    }

    private func rearm() {
        if let timer { loop.cancel(timer) }
        timer = loop.at(node.nextWake.nanoseconds) { [unowned self] in
            timer = nil
            feed(.tick)
        }
    }

    private func perform(_ effect: NodeEffect) {
        switch effect {  // no `default`: a new effect must not compile until it is handled
        case .persist(let state, let token): states.write(state, token)
        case .storePromise(let promise): store(promise)
        case .send(let envelope, let destination): send(envelope, to: destination)
        case .armGuard(let epoch, let deadline): guardKeeper.arm(epoch: epoch, deadline: deadline)
        case .disarmGuard(let epoch): guardKeeper.disarm(epoch: epoch)
        case .killPostgres(let reason): guardKeeper.kill(reason: reason)
        case .postgres(let job, let order): perform(job, order)
        case .cancelOrder(let job): executor.cancel(job)
        case .route(let route): proxyLink?.route(route)
        case .connect(let peers): network.setPeers(peers.map(Agent.target))
        case .answer(let request, let answer): answers.removeValue(forKey: request)?(answer)
        case .record(let event): journal.append(event)
        case .exit: finish()
        case .startOver(let data, let origin): startOver(data, origin)
        }
    }

    private func perform(_ job: JobID, _ order: PostgresOrder) {
        executor.perform(
            job, order,
            words: { [unowned self] word in
                switch word {
                case .progress(let text): feed(.postgresProgress(job, text))
                case .note(let text): feed(.postgresNoted(job, text))
                }
            },
            completion: { [unowned self] outcome in
                // Orders start and stop Postgres on connections of their own: what the guard knows comes
                // first.
                guardKeeper.refresh { [unowned self] in feed(.postgresFinished(job, outcome)) }
            })
    }

    /// A promise that can't be remembered must not be given: the process ends, and its successor waits a
    /// boot's time.
    private func store(_ promise: Promise) {
        do { try directory.store(promise) } catch {
            Log.error("a promise can't be kept in \(directory.runtime): \(error)")
            Log.flush()
            fatalError("a promise can't be kept")
        }
    }

    private func finish() {
        exitCode = 0
        onExit?()
    }

    /// The state is set aside for a person to look at; a process without any memory takes this one's place.
    private func startOver(_ data: DataState, _ origin: Belonging) {
        Log.warning("starting over as a new instance; what was remembered is kept as state.*.damaged")
        do {
            try states.startOver(with: StateDirectory.fresh(node.settings.member.id, data, origin))
        } catch {
            Log.error("the state can't be set aside: \(error)")
            Log.flush()
            _exit(1)
        }
        onStartOver?()
    }

    // MARK: commands

    /// Asks the node; the answer comes on the loop.
    func request(_ command: Command, _ answer: @escaping (CommandAnswer) -> Void) {
        let request = nextRequest
        nextRequest += 1
        answers[request] = answer
        feed(.requested(request, command))
    }

    // MARK: links

    private static func target(_ peer: Supervision.PeerAddress) -> PeerTarget {
        let isGroup = peer.host.hasPrefix(seedGroupPrefix)
        let host = isGroup ? String(peer.host.dropFirst(seedGroupPrefix.count)) : peer.host
        return PeerTarget(
            name: peer.member?.name, host: host, port: UInt16(clamping: peer.port), isGroup: isGroup)
    }

    /// Marks a seed that stands for all addresses of a name (`dns:NAME` in `peers`).
    static let seedGroupPrefix = "dns:"

    func send(_ envelope: Envelope, to destination: Destination) {
        var envelope = envelope
        envelope.life = node.life
        if lastSent?.envelope != envelope {
            do { lastSent = (envelope, try EnvelopeCodec.encode(envelope)) } catch {
                Log.error("a message can't be sent: \(error)")
                return
            }
        }
        guard let frame = lastSent?.frame else { return }
        switch destination {
        case .member(let member):
            network.send(frame, to: .name(member.name), coalescing: envelope.coalescing)
        case .channel(let channel):
            network.answer(frame, on: ConnectionID(channel), coalescing: envelope.coalescing)
        case .everyone: network.sendToAll(frame, coalescing: envelope.coalescing)
        }
    }
}

extension Agent: PeerNetworkDelegate {
    func received(_ frame: [UInt8], from peer: PeerIdentity, via: Via) {
        let envelope: Envelope
        do { envelope = try EnvelopeCodec.decode(frame) } catch {
            return tellMisunderstood(peer, error)
        }
        let sender = Sender(member: MemberID(peer.name), instance: peer.instance, nonce: peer.nonce)
        var channel: Channel?
        if case .incoming(let connection) = via { channel = connection.number }
        switch envelope.body {
        case .question(let id, let text): bystander.answer(id, text, from: sender, on: channel)
        case .reply(let id, let text): bystander.take(id, text, from: sender)
        default: feed(.received(envelope, from: sender, channel: channel))
        }
    }

    func connected(_ peer: PeerIdentity, via: Via) {
        Log.debug("link to \(peer.name) is open", [("via", "\(via)")])
    }

    func disconnected(_ peer: PeerIdentity, via: Via) {
        Log.debug("link to \(peer.name) has ended", [("via", "\(via)")])
    }

    func refused(_ reason: RefusalReason, address: String, heldBack: UInt64?) {
        guard let heldBack else { return }
        let more = heldBack > 0 ? " (and \(heldBack) others since the last such line)" : ""
        tell(
            "peer-refused", reason.callsForAPerson ? .alarm : .warning,
            "no link with \(address): \(reason)\(more)")
    }

    /// Agents say the same many times a second: once in a while for each peer is enough.
    private func tellMisunderstood(_ peer: PeerIdentity, _ error: EnvelopeError) {
        let now = Agent.now()
        if let last = misunderstood[peer.name], now - last < Agent.complaintInterval { return }
        if misunderstood.count >= network.limits.guests { misunderstood = [:] }
        misunderstood[peer.name] = now
        tell(
            "not-understood", .alarm,
            "\(peer.name), whose matriarchd is \(peer.agentVersion), sent \(error); matriarchd is "
                + "\(Program.version) here: upgrade the older of the two")
    }

    private static let complaintInterval: Duration = .seconds(60)

    private func tell(_ kind: String, _ level: EventRecord.Level, _ text: String) {
        journal.append(
            EventRecord(
                at: Agent.now(), term: node.term, member: node.settings.member.id, kind: kind, level: level,
                text: text))
    }
}
