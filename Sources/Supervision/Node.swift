public import Consensus

/// One member of the herd, whole: election, the document, and the rules, as a value.
///
/// The daemon feeds it the real world, the simulator a hostile one; both run this very code. `step` changes
/// the state, lets the rules decide until they are content, and returns what to do.
public struct Node: Sendable {
    public internal(set) var settings: NodeSettings
    let me: MemberID
    let instance: Instance
    let nonce: BootNonce
    let rules: [Rule]

    // What is on disk, or on its way there.
    var raft: Raft<ClusterDocument>
    /// Of the committed document; made anew with each.
    var view: DocumentView
    var data: DataRecord
    var grant: FoundingProposal?
    var ledger = Ledger()
    var witnesses: [Witnessed] = []
    /// Set when this member turned out to work with an older state than it once had.
    var rollback: RollbackVerdict?
    let origin: Belonging?
    /// Why the disk refuses the state; nil while it takes it.
    var stateTrouble: String?

    // What is known of the world.
    var guardian: GuardReport?
    var postgres: PostgresReport?
    var beacon: HeardBeacon?
    var reports: [HeardReport] = []
    var channels: [(member: MemberID, channel: Channel)] = []
    /// The greatest position that a primary was heard to have since this agent started.
    var lastPrimary: Position?
    /// Where a primary that stopped cleanly for a hand-over ended, in the term that it released.
    var final: (term: Term, position: Position)?
    var foundersHeard: [HeardFounder] = []
    var wasPrimaryHere = false
    /// The newest term in which this member was overtaken while it led.
    var overthrownTerm: Term = 0
    var hintedPeers: [PeerAddress] = []
    var joinRefusal: String?
    var grants: [MemberID] = []
    /// When the founder whose proposal was agreed to last asked for it.
    var proposerHeard: Instant

    // What is under way.
    var work: Work?
    var background: Work?
    var failures = Failures()
    var applied: ManagedConfiguration?
    var followed: Followed?
    var joiningMark: JoiningMark?
    /// When a standby was last started here; nil when not by this agent.
    var standbyStartedAt: Instant?
    /// The record says "rewinding" by this agent's own doing, and no byte has changed yet.
    var isRewindAhead = false
    /// As the primary: who wants to copy it, in turn.
    var copyTurns: [CopyTurn] = []
    var reign: Reign?
    var handover: Handover?
    var owedFreeze: OwedFreeze?
    var pendingJoins: [JoinRequest] = []
    var joinsRefused: [(sender: Sender, reason: String)] = []
    var commands = PendingCommands()
    var restartWish: RestartWish?
    var heardPause: HeardPause?
    var stoppingSince: Instant?
    var stopping: Bool { stoppingSince != nil }
    var lastSeek: Instant?
    var hasExited = false
    var unfitUntil: Instant = .zero
    var transfers: [(member: MemberID, at: Instant)] = []

    // What was last said, so that it is said once.
    var lastRoute: Route?
    var lastPeers: [PeerAddress] = []
    var lastDecision = Decision(rule: "start", reason: nil)
    var lastNews: News?
    var lastFitness = Fitness.unfit
    var writes = WriteProof()
    var lastTrouble: String?
    var lastStandbyTrouble: String?
    var slotsTendedAt: Instant
    var lastBeacon: (beacon: Beacon, drawnAt: Instant)?
    /// When a leader other than this member was last heard; the failure lies after it.
    var lastLeaderWord: Instant
    /// Since when this member stands for election, after a leader's last word.
    var campaignSince: Instant?
    var killAskedAt: Instant?
    var armAskedAt: Instant?
    var disarmAskedAt: Instant?
    /// Set only while a release is being sent.
    var finalOnRelease: Position?
    var pulse: Pulse
    /// As leader: when each member is told next how the others are.
    var rosterDue: [MemberID: Instant] = [:]
    /// What is said to all in one round is drawn once: a herd of many would cost the square of its size.
    var lastRoster: [RosterLine]?
    var nextJob: JobID = 1
    let startedAt: Instant
    var now: Instant
    var effects: [NodeEffect] = []
    /// When `.tick` is due. Stored, like `life`, because whoever runs a node asks for them after each step.
    public private(set) var nextWake: Instant
    /// How far this start has got with the state file; put on what is sent.
    public private(set) var life: Life

    /// `sameBoot` tells that `promise` was read from this boot's tmpfs (or that its absence there is proven).
    public init(
        settings: NodeSettings, durable: DurableState, promise: Promise?, sameBoot: Bool, nonce: BootNonce,
        seed: UInt64, now: Instant
    ) {
        self.init(
            settings: settings, durable: durable, promise: promise, sameBoot: sameBoot, nonce: nonce,
            seed: seed, now: now, rules: Rule.all)
    }

    /// With a table of its own, so that tests can see what each rule is needed for.
    init(
        settings: NodeSettings, durable: DurableState, promise: Promise?, sameBoot: Bool, nonce: BootNonce,
        seed: UInt64, now: Instant, rules: [Rule]
    ) {
        self.settings = settings
        self.rules = rules
        me = settings.member.id
        instance = durable.instance
        self.nonce = nonce
        self.now = now
        startedAt = now
        lastLeaderWord = now
        slotsTendedAt = now
        proposerHeard = now
        pulse = Pulse(due: now, latest: now)
        nextWake = now
        life = Life(began: durable.sequence, reached: durable.sequence)
        data = durable.data
        heardPause = durable.hard.committed?.document.pause.map { HeardPause(pause: $0, at: now) }
        grant = durable.grant
        ledger = Ledger(began: durable.sequence)
        witnesses = durable.witnesses
        origin = durable.origin
        hintedPeers = durable.origin?.peers ?? []
        let sender = Sender(member: me, instance: durable.instance, nonce: nonce)
        raft = Raft(
            identity: sender, hard: durable.hard, rememberedPromise: promise, sameBoot: sameBoot,
            heartbeat: settings.heartbeat, seed: seed, now: now)
        view = DocumentView(durable.hard, for: me, instance)
    }

    public mutating func step(_ event: NodeEvent, at now: Instant) -> [NodeEffect] {
        invariant(now >= self.now, "time went backwards: \(now.nanoseconds) after \(self.now.nanoseconds)")
        self.now = now
        effects = []
        handle(event)
        if now >= pulse.due { beat() }
        decideUntilContent()
        concludeRestart()
        announce()
        checkInvariants()
        nextWake = wakeDue
        life = Life(began: ledger.began, reached: ledger.reached)
        defer { effects = [] }
        return effects
    }

    private mutating func handle(_ event: NodeEvent) {
        switch event {
        case .tick: drive(.tick)
        case .received(let envelope, let sender, let channel): receive(envelope, from: sender, on: channel)
        case .persisted(let token): settle(token)
        case .stateUnwritten(let trouble): learn(stateTrouble: trouble)
        case .guardReported(let report): learn(report)
        case .guardLost: loseGuard()
        case .postgresReported(let report): learn(report)
        case .writeProbed(let began): learn(writeBegan: began)
        case .postgresFinished(let job, let outcome): finish(job, outcome)
        case .postgresProgress(let job, let text): hearProgress(of: job, text)
        case .postgresNoted(let job, let text):
            if work?.job == job || background?.job == job { record(.init("note", .notice, "\(me): \(text)")) }
        case .requested(let request, let command): take(command, request)
        }
        if case .tick = event { return }
        if rollback == nil, now >= raft.nextWake { drive(.tick) }
    }

    private var wakeDue: Instant {
        var wake = rollback == nil ? min(pulse.latest, raft.nextWake) : pulse.latest
        if let instant = demotionDue { wake = min(wake, instant) }
        return max(wake, now)
    }

    /// The committed document: the only one that actions on Postgres may derive from.
    public var document: ClusterDocument? { raft.hard.committed?.document }
    /// Whether the committed document lists this very instance.
    public var isInCluster: Bool { view.isMember }
    public var term: Term { raft.term }
    public var isLeader: Bool { raft.isLeader }
    public var leader: MemberID? { raft.leader }
    public var dataState: DataState { data.state }
    public var frozenTerm: Term { data.frozenTerm }
    public var decision: Decision { lastDecision }
    public var promise: Promise? { raft.promise }
    public var hard: HardState<ClusterDocument> { raft.hard }

    /// The regular beat: what is repeated until it is answered.
    private mutating func beat() {
        let isBusy = reign.map { $0.openedAt == nil } ?? false || handover != nil || document == nil
        let heartbeat = raft.timings.heartbeat
        pulse.due = now + (isBusy ? min(.milliseconds(50), heartbeat) : heartbeat)
        pulse.latest = isBusy ? pulse.due : pulse.due + heartbeat / 2
        seekCluster()
        seekVerdict()
        askForFreezes()
        boundPromotion()
        owedFreeze?.lastSent = nil
        expireCommands()
    }

    private func checkInvariants() {
        if let epoch = guardian?.epoch, guardian?.isPostgresAlive == true {
            invariant(epoch <= raft.term, "guard armed for term \(epoch), which is ahead of \(raft.term)")
        }
        invariant(
            data.frozenTerm <= raft.term, "frozen for term \(data.frozenTerm), which is ahead of \(raft.term)"
        )
    }
}

/// When the regular beat comes next.
///
/// It rides on whatever happens once it is due, heartbeats above all, and wakes the agent by itself only
/// when nothing does: wake-ups are most of what an idle agent costs.
struct Pulse: Sendable {
    var due: Instant
    var latest: Instant

    mutating func hurry(_ now: Instant) { (due, latest) = (now, now) }
}

/// The rule that was chosen last and what it waits for, for the log, `status` and `explain`.
public struct Decision: Hashable, Sendable {
    public var rule: String
    public var reason: String?
}

struct HeardBeacon: Sendable {
    var beacon: Beacon
    var from: MemberID
    var at: Instant
}

struct HeardReport: Sendable {
    var member: MemberID
    var report: MemberReport
    var at: Instant
    /// The start of the agent that said it; nil for what the leader passed on.
    var nonce: BootNonce?
}

struct HeardFounder: Sendable {
    var hello: FounderHello
    var at: Instant
}

/// A running order.
struct Work: Sendable {
    var job: JobID
    var order: PostgresOrder
    var since: Instant
    var progress: String?
    var isCancelled = false
    /// When its progress was last told as an event.
    var toldAt: Instant?
}

/// The history that the standby here was last told to follow.
struct Followed: Hashable, Sendable {
    var upstream: Upstream
}

/// What a joining member must reach: a position that the primary had after the copy was made.
struct JoiningMark: Sendable {
    var term: Term
    var position: Position
}

/// The freeze that the leader asked for and what it was last told.
struct OwedFreeze: Sendable {
    var leader: MemberID
    var term: Term
    var lastSent: FreezeAnswer.Verdict?
}

/// Failed orders and when each kind may be tried again.
///
/// Each kind has a line of its own: two that fail in turn must not end each other's wait.
struct Failures: Sendable {
    struct Line: Sendable {
        let order: String
        var reason: String
        var at: Instant
        /// In a row, counted up to 6.
        var count: Int

        /// Doubles from half a second to 16 s.
        var retryAt: Instant { at + .milliseconds(250) * (1 << count) }
    }

    /// One for each kind of order at most, the newest last.
    private(set) var lines: [Line] = []

    var last: Line? { lines.last }

    func reason(_ order: String) -> String? { lines.first { $0.order == order }?.reason }

    func count(_ order: String) -> Int { lines.first { $0.order == order }?.count ?? 0 }

    func retryAt(_ order: String) -> Instant? { lines.first { $0.order == order }?.retryAt }

    mutating func note(_ order: PostgresOrder, _ reason: String, at now: Instant) {
        let count = lines.first { $0.order == order.name }?.count ?? 0
        clear(order)
        lines.append(Line(order: order.name, reason: reason, at: now, count: min(count + 1, 6)))
    }

    mutating func clear(_ order: PostgresOrder) { clear(order.name) }
    mutating func clear(_ order: String) { lines.removeAll { $0.order == order } }
}
