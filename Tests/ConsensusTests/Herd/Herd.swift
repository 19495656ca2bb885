import Consensus

/// A test-only world of Rafts: a network, disks, clocks and guards, deterministic to the nanosecond.
///
/// Every random choice belongs to the caller (`latency`, `diskTime`), so a script runs without any and the
/// adversary with nothing else.
final class Herd {
    struct Envelope {
        var number: Int
        var from: Sender
        var to: MemberID
        var message: Message<TestDocument>
        var dueAt: Instant
    }

    /// What happened, for the judges and the trace.
    enum Happening {
        case effect(Raft<TestDocument>.Effect)
        case guardArmed(epoch: Term, until: Instant)
        case guardEnded
    }

    private(set) var now = Instant.zero
    private(set) var order: [MemberID] = []
    private var members: [MemberID: HerdMember] = [:]
    var inFlight: [Envelope] = []
    private var sent = 0
    private let seed: UInt64

    /// How long a message takes; empty: it is lost; more than one: it is duplicated.
    var latency: (_ from: MemberID, _ to: MemberID) -> [Duration] = { _, _ in [.milliseconds(1)] }
    /// How long a write takes; zero is at once.
    var diskTime: (MemberID) -> Duration = { _ in .zero }
    /// Whether guards are armed by leases and end by themselves; otherwise only by command.
    var hasLivingGuards = false
    /// Ordered pairs (from, to) between which nothing can be sent; what is under way already still arrives.
    var cuts: Set<[MemberID]> = []
    /// Acts that the caller put on the calendar.
    var appointments: [(at: Instant, act: () -> Void)] = []
    var observe: (HerdMember, Happening) -> Void = { _, _ in }

    init(seed: UInt64 = 1) { self.seed = seed }

    subscript(id: MemberID) -> HerdMember {
        guard let member = members[id] else { fatalError("no member \(id) in this herd") }
        return member
    }

    func add(_ member: HerdMember) {
        invariant(
            members.updateValue(member, forKey: member.id) == nil, "\(member.id) is in the herd already")
        order.append(member.id)
        all.append(member)
    }

    /// In the order in which they were added.
    private(set) var all: [HerdMember] = []

    /// The members whose agent runs and leads, newest term last.
    var leaders: [HerdMember] {
        all.filter { $0.raft?.isLeader == true }.sorted { ($0.raft?.term ?? 0) < ($1.raft?.term ?? 0) }
    }

    // MARK: agents

    /// Starts the agent: a new nonce, the state as it is on disk.
    func start(_ id: MemberID, knowsGuard: Bool = true) {
        let member = self[id]
        guard member.raft == nil else { return }
        member.nonce += 1
        member.writes = []
        member.held = []
        member.newestToken = 0
        var mixer = SeededRandom(
            seed: seed &+ member.nonce &* 0x1_0001 &+ UInt64(order.firstIndex(of: id) ?? 0))
        member.raft = Raft(
            identity: member.sender, hard: member.disk, rememberedPromise: member.promise,
            sameBoot: member.ranInThisBoot, heartbeat: nil, seed: mixer.next(), now: member.local(now))
        member.ranInThisBoot = true
        step(id, .fitnessChanged(member.fitness))
        if knowsGuard { step(id, .guardChanged(member.standing)) }
    }

    /// Ends the agent; writes under way are lost. A machine that boots forgets its promise and its clock.
    func crash(_ id: MemberID, machine: Bool = false) {
        self[id].raft = nil
        self[id].writes = []
        self[id].held = []
        guard machine else { return }
        endGuard(id)
        self[id].promise = nil
        self[id].ranInThisBoot = false
        self[id].clockOffset = Instant.zero - now
    }

    func endGuard(_ id: MemberID) {
        self[id].guardDeadline = nil
        self[id].standing = .disarmed
        observe(self[id], .guardEnded)
        step(id, .guardChanged(.disarmed))
    }

    /// Feeds one event to a running agent and carries its effects out.
    func step(_ id: MemberID, _ event: Raft<TestDocument>.Event) {
        let member = self[id]
        let local = member.local(now)
        guard let effects = member.raft?.step(event, at: local) else { return }
        let nextWake = member.raft?.nextWake ?? .distantFuture
        invariant(nextWake > local, "\(id) wants to be woken at \(nextWake), but it is \(local)")
        member.wakeAt = member.world(nextWake)
        for effect in effects { carryOut(effect, id) }
        settle(id)
    }

    private func carryOut(_ effect: Raft<TestDocument>.Effect, _ id: MemberID) {
        guard let raft = self[id].raft else { return }
        observe(self[id], .effect(effect))
        switch effect {
        case .persist(let token):
            self[id].newestToken = token
            let last = self[id].writes.last?.doneAt ?? now
            let write = HerdMember.Write(token: token, hard: raft.hard, doneAt: max(last, now + diskTime(id)))
            self[id].writes.append(write)
        case .storePromise(let promise): self[id].promise = promise
        case .send(let message, let to): post(message, from: id, to: to)
        case .sendWhenDurable(let message, let to):
            self[id].held.append((self[id].newestToken, message, to))
        case .leaseExtended: extendGuard(id, raft)
        case .becameLeader, .steppedDown, .committed: break
        }
    }

    private func extendGuard(_ id: MemberID, _ raft: Raft<TestDocument>) {
        guard hasLivingGuards, let end = raft.leaseEnd, raft.hasOwnCommit,
            raft.hard.committed?.document.primaryMember == id
        else { return }
        let deadline = self[id].world(end)
        guard deadline > now else { return }
        self[id].guardDeadline = max(deadline, self[id].guardDeadline ?? deadline)
        observe(self[id], .guardArmed(epoch: raft.term, until: deadline))
        guard self[id].standing != .armed(epoch: raft.term) else { return }
        self[id].standing = .armed(epoch: raft.term)
        step(id, .guardChanged(self[id].standing))
    }

    // MARK: disks

    /// Finishes the writes that are due, unless the disk is slow.
    private func settle(_ id: MemberID) {
        guard !self[id].isDiskSlow else { return }
        while let write = self[id].writes.first, write.doneAt <= now { finish(write, id) }
    }

    private func finish(_ write: HerdMember.Write, _ id: MemberID) {
        self[id].writes.removeFirst()
        self[id].disk = write.hard
        let ready = self[id].held.filter { $0.token <= write.token }
        self[id].held.removeAll { $0.token <= write.token }
        for waiting in ready { post(waiting.message, from: id, to: waiting.to) }
        step(id, .persisted(write.token))
    }

    /// Finishes everything that a slow disk holds back.
    func persist(_ id: MemberID) {
        while let write = self[id].writes.first { finish(write, id) }
    }

    // MARK: network

    private func post(_ message: Message<TestDocument>, from id: MemberID, to: MemberID) {
        guard !cuts.contains([id, to]) else { return }
        for delay in latency(id, to) {
            sent += 1
            let envelope = Envelope(
                number: sent, from: self[id].sender, to: to, message: message, dueAt: now + delay)
            inFlight.append(envelope)
        }
    }

    /// Hands over one message in flight, whenever it was due.
    func deliver(_ envelope: Envelope) {
        inFlight.removeAll { $0.number == envelope.number }
        hand(envelope)
    }

    private func hand(_ envelope: Envelope) {
        guard members[envelope.to] != nil else { return }
        step(envelope.to, .received(envelope.message, from: envelope.from))
    }

    // MARK: time

    /// When the next thing happens by itself; `delivering` false leaves messages in flight.
    private func nextInstant(delivering: Bool) -> Instant {
        var next = Instant.distantFuture
        for appointment in appointments { next = min(next, appointment.at) }
        if delivering { for envelope in inFlight { next = min(next, envelope.dueAt) } }
        for member in all {
            if member.raft != nil { next = min(next, member.wakeAt) }
            if let write = member.writes.first, !member.isDiskSlow { next = min(next, write.doneAt) }
            if let deadline = member.guardDeadline { next = min(next, deadline) }
        }
        return max(next, now)
    }

    /// Lets the world run on its own until `end`.
    func run(until end: Instant, delivering: Bool = true) {
        while true {
            let next = nextInstant(delivering: delivering)
            guard next <= end else { break }
            now = next
            let kept = appointments.filter { $0.at <= now }
            if !kept.isEmpty { appointments.removeAll { $0.at <= now } }
            for appointment in kept { appointment.act() }
            if delivering { deliverDue() }
            for id in order { wake(id) }
        }
        now = end
    }

    private func deliverDue() {
        let due = inFlight.filter { $0.dueAt <= now }
        guard !due.isEmpty else { return }
        inFlight.removeAll { $0.dueAt <= now }
        for envelope in due.sorted(by: { ($0.dueAt, $0.number) < ($1.dueAt, $1.number) }) { hand(envelope) }
    }

    private func wake(_ id: MemberID) {
        settle(id)
        if let deadline = self[id].guardDeadline, deadline <= now { endGuard(id) }
        if self[id].raft != nil, self[id].wakeAt <= now { step(id, .tick) }
    }
}
