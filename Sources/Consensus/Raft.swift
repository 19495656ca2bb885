/// Leader election with leases and a replicated register, as a value (protocol: Election).
///
/// The caller's duties: feed every event in the order in which it happened with a clock that never goes back;
/// carry out the effects in their order; never send a `.sendWhenDurable` before the newest `.persist` before
/// it is on disk; make a promise visible in tmpfs before anything that follows it in the list is sent.
public struct Raft<Document: RegisterDocument>: Sendable {
    public enum Event: Sendable {
        case tick
        case received(Message<Document>, from: Sender)
        /// Everything up to this token is on disk.
        case persisted(PersistToken)
        case guardChanged(GuardStanding)
        case fitnessChanged(Fitness)
        /// Lead as soon as the rules let us: an agent that found its guard armed for its own epoch (resume).
        /// Forgotten when a leader is heard or the guard turns out to be disarmed.
        case resume
        /// As leader: replace the register's document. Ignored when there is an `objection(to:)` it.
        case propose(Document)
        /// As leader: start a round at once instead of at the next heartbeat; what rides along has changed.
        case beat
        /// As leader, fenced and with no armed guard: give the term back and ask `target` to campaign.
        /// Ignored unless the guard is known to be disarmed.
        case release(to: MemberID?)
        /// As leader: stop leading without releasing (the lease runs out by itself).
        case stepDown
        /// The first document of a cluster, agreed on by all of its founders (protocol: Bootstrap).
        /// Ignored when the register holds anything.
        case install(Entry<Document>)
    }

    public enum Effect: Hashable, Sendable {
        /// Write `hard` durably; answer with `.persisted(token)`.
        case persist(PersistToken)
        /// Write to tmpfs now, before the effects that follow.
        case storePromise(Promise)
        case send(Message<Document>, to: MemberID)
        /// Send only once everything persisted so far is on disk.
        case sendWhenDurable(Message<Document>, to: MemberID)
        case becameLeader(Term)
        case steppedDown(Term, StepDownReason)
        /// A newer committed entry; act on it.
        case committed(Entry<Document>)
        /// A majority acknowledged a round that was sent at this instant: the lease runs from there, to
        /// `leaseEnd`.
        case leaseExtended(sentAt: Instant)
    }

    public enum StepDownReason: String, Hashable, Sendable {
        case higherTerm, lostMajority, released, asked, notAVoter
    }

    /// Counts the writes of `hard`; a receipt for one covers all before it.
    public typealias PersistToken = UInt64

    /// Who this member is, with the nonce of this start.
    public let identity: Sender
    /// What must survive a crash, as the rules have it now; `durable` says how much of it is on disk.
    public internal(set) var hard: HardState<Document>
    public internal(set) var role: Role { didSet { noteRole() } }
    /// Stored, like `leader`: asked dozens of times for each change of the role.
    public private(set) var isLeader = false
    /// The leader of the current term, when it is known.
    public private(set) var leader: MemberID?
    public internal(set) var promise: Promise?
    /// The highest term whose leader is known to have released it (protocol: Release).
    public internal(set) var releasedTerm: Term = 0
    /// When a leader was last heard (or this member last led); the start of the agent at first.
    public internal(set) var lastHeard: Instant
    /// Derived from the lease of the accepted document; on a leader from the lease that it acts on.
    public internal(set) var timings: Timings

    var writes = WriteQueue()
    var standing = GuardStanding.unknown
    var fitness = Fitness.unfit
    /// When to campaign for the armed guard next; set from `.resume` until a leader is heard, this member
    /// leads, or the guard is no longer armed.
    var resumeFrom: Instant?
    var bootWaitEnd: Instant
    var lastOffer: Instant?
    /// What the steps need of `hard`'s two slots.
    var register = RegisterView()
    /// Everyone else who receives the register, sorted.
    var others: [MemberID] = []
    /// As leader: the document of `Leader.announcement`.
    var announced: Document?
    var random: SeededRandom
    /// The instant of the newest step.
    var now: Instant
    /// What this step has ordered so far; empty between steps.
    var effects: [Effect] = []
    private let heartbeat: Duration?
    var floor: Floor

    /// `hard` as read from disk, `rememberedPromise` as read from tmpfs of this same boot.
    ///
    /// `sameBoot` is true only when tmpfs proves that this member's agent ran in this boot and every promise
    /// of that time is in `rememberedPromise`. The seed must differ between members, or they collide for
    /// ever.
    public init(
        identity: Sender, hard: HardState<Document>, rememberedPromise: Promise?, sameBoot: Bool,
        heartbeat: Duration?, seed: UInt64, now: Instant
    ) {
        self.identity = identity
        self.hard = hard
        self.heartbeat = heartbeat
        self.now = now
        promise = rememberedPromise
        random = SeededRandom(seed: seed)
        lastHeard = now
        timings = Timings(
            lease: hard.accepted?.document.lease ?? Raft.leaseBeforeDocument, heartbeat: heartbeat)
        role = .follower(Follower(campaignFrom: now))
        floor = Floor(term: hard.term, accepted: hard.acceptedVersion, committed: hard.committedVersion)
        bootWaitEnd = now
        viewRegister()
        writes.start(at: mark)
        startWaits(remembersBoot: sameBoot || rememberedPromise != nil)
    }

    /// Stands in for the document's lease while there is no document; nothing is decided by it.
    private static var leaseBeforeDocument: Duration { .seconds(5) }

    /// Takes one event; the caller carries the effects out in their order. The clock must not go back.
    public mutating func step(_ event: Event, at now: Instant) -> [Effect] {
        invariant(now >= self.now, "the clock went back from \(self.now) to \(now)")
        self.now = now
        handle(event)
        fireTimers()
        flushWrites()
        checkInvariants()
        let ordered = effects
        effects = []
        return ordered
    }

    private mutating func handle(_ event: Event) {
        switch event {
        case .tick: break
        case .received(let message, let sender): receive(message, from: sender)
        case .persisted(let token): persisted(token)
        case .guardChanged(let standing): guardChanged(standing)
        case .fitnessChanged(let fitness): fitnessChanged(fitness)
        case .resume: resume()
        case .propose(let document): propose(document)
        case .beat: if isLeader { startRound() }
        case .release(let target): release(to: target)
        case .stepDown: stepDown(.asked)
        case .install(let entry): install(entry)
        }
    }

    private mutating func fireTimers() {
        switch role {
        case .follower:
            fireCampaign()
            fireOffer()
        case .candidate(let candidate):
            fireCandidate(candidate)
            fireOffer()
        case .leader(let leader): fireLeader(leader)
        }
    }

    /// When to step next if no event comes before. Never in the past after a step.
    public var nextWake: Instant {
        switch role {
        case .follower: min(campaignAt ?? .distantFuture, offerAt ?? .distantFuture)
        case .candidate(let candidate):
            min(candidate.deadline, candidate.nextSend, offerAt ?? .distantFuture)
        case .leader(let leader): leaderWake(leader)
        }
    }

    /// Draws from the slots what every step asks for.
    mutating func viewRegister() {
        register = RegisterView(hard)
        others = register.seats.map(\.member).filter { $0 != identity.member }
        refreshTimings()
    }

    /// The timings follow the lease in force; called after each change of register, role or announcement.
    mutating func refreshTimings() {
        guard let lease = actingLease ?? register.lease else { return }
        if timings.lease != lease { timings = Timings(lease: lease, heartbeat: heartbeat) }
    }
}

// MARK: what others may ask

extension Raft {
    @inlinable public var term: Term { hard.term }
    /// Started without the promises of its former life: until they are surely over, neither votes nor
    /// campaigns.
    public var isBootWaiting: Bool { bootWaitEnd > now }
    /// What of `hard` is known to be on disk.
    public var durable: DurableMark { writes.known }
    private mutating func noteRole() {
        switch role {
        case .follower(let follower): (isLeader, leader) = (false, follower.leader?.member)
        case .candidate: (isLeader, leader) = (false, nil)
        case .leader: (isLeader, leader) = (true, identity.member)
        }
    }

    /// Whether this leader committed an entry of its own term: only then its register is surely the newest.
    public var hasOwnCommit: Bool { isLeader && register.committed.term == hard.term }
    /// Whether a proposal would be taken: leader, with a commit of its own term, nothing in flight.
    public var canPropose: Bool { hasOwnCommit && register.accepted == register.committed }
    /// When the newest round that a majority acknowledged was sent.
    public var leaseSentAt: Instant? { leaderState?.leaseSentAt }
    /// When the lease ends: reckoned with the lease that the acknowledged rounds carried, which while the
    /// lease changes is not that of the document. The guard's deadline derives from this.
    public var leaseEnd: Instant? { leaderState?.leaseEnd }

    var leaderState: Leader? {
        if case .leader(let leader) = role { leader } else { nil }
    }

    /// Whether `sender` is the very incarnation that the accepted document lists.
    func isOnRecord(_ sender: Sender) -> Bool {
        register.instance(of: sender.member) == sender.instance
    }

    /// Whether `sender` has a vote by the accepted document.
    func isVoter(_ sender: Sender) -> Bool {
        register.voters?.contains(sender.member) == true && isOnRecord(sender)
    }

    /// Whether this member alone is the whole electorate.
    var isSoleVoter: Bool { register.voters?.all == [identity.member] }
}
