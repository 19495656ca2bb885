import Consensus

/// One random schedule against a herd: everything, faults and settings alike, is drawn from the seed.
final class Adversary {
    let herd: Herd
    private(set) var judges = Judges()
    private(set) var trace: [String] = []
    private var random: SeededRandom
    private let isTracing: Bool
    private let ids: [MemberID]
    private var proposals = 0
    private var loss = 0.0
    private var slowLinks = 0.0
    private var duplicates = 0.0
    private var slowDisks = 0.0
    /// Links and disks slow enough that campaigns overlap.
    private var isStormy = false
    /// How likely a member dies right after it said or wrote something that matters.
    private var fragility = 0.0
    /// Ordered pairs between which every message crawls: slow answers to a leader, quick elections behind its
    /// back.
    private var crawling: Set<[MemberID]> = []

    init(seed: UInt64, isTracing: Bool = false) {
        self.isTracing = isTracing
        random = SeededRandom(seed: seed)
        herd = Herd(seed: seed)
        let size = Int.random(in: 1...5, using: &random)
        ids = ["a", "b", "c", "d", "e"].prefix(size).map { MemberID($0) }
        herd.hasLivingGuards = true
        herd.observe = { [unowned self] member, happening in saw(member, happening) }
        herd.latency = { [unowned self] from, to in drawLatency(from, to) }
        herd.diskTime = { [unowned self] _ in drawDiskTime() }
        found()
        drawWeather()
    }

    private func saw(_ member: HerdMember, _ happening: Herd.Happening) {
        judges.observe(member, happening, at: herd.now)
        if case .effect(.committed) = happening, member.raft?.isLeader == true {
            herd.appointments.append((herd.now, { [unowned self] in takePrimaryRole() }))
        }
        if isCritical(happening), random.chance(fragility) { planCrash(member.id) }
        guard isTracing else { return }
        trace.append("\(TraceText.time(herd.now)) \(TraceText.line(member.id, happening))")
    }

    /// What a crash just after may turn into a broken word.
    private func isCritical(_ happening: Herd.Happening) -> Bool {
        guard case .effect(let effect) = happening else { return false }
        switch effect {
        case .sendWhenDurable: return true
        case .persist, .becameLeader, .send(.voteAnswer, _), .send(.vote, _): return random.chance(0.5)
        case .send(.appendAnswer, _), .storePromise, .committed: return random.chance(0.02)
        case .send, .steppedDown, .leaseExtended: return false
        }
    }

    private func planCrash(_ id: MemberID) {
        let isMachine = random.chance(0.3)
        let crashAt = herd.now + random.duration(upTo: .milliseconds(isStormy ? 80 : 8))
        let startAt = crashAt + random.duration(upTo: .milliseconds(random.chance(0.5) ? 20 : 300))
        herd.appointments.append((crashAt, { [unowned self] in herd.crash(id, machine: isMachine) }))
        herd.appointments.append((startAt, { [unowned self] in restart(id) }))
    }

    // MARK: the weather

    private func drawWeather() {
        loss = [0, 0, 0.02, 0.2, 0.5].randomElement(using: &random) ?? 0
        slowLinks = [0, 0.01, 0.1, 0.5].randomElement(using: &random) ?? 0
        duplicates = [0, 0, 0.1].randomElement(using: &random) ?? 0
        slowDisks = [0, 0, 0.05, 0.3].randomElement(using: &random) ?? 0
        fragility = [0, 0.005, 0.05].randomElement(using: &random) ?? 0
        isStormy = random.chance(0.3)
        crawling = []
        guard random.chance(0.5) else { return }
        let victim = any()
        for other in ids where other != victim {
            crawling.insert(random.chance(0.8) ? [other, victim] : [victim, other])
        }
    }

    private func drawLatency(_ from: MemberID, _ to: MemberID) -> [Duration] {
        if random.chance(loss) { return [] }
        var copies = [drawOneLatency(isCrawling: crawling.contains([from, to]))]
        if random.chance(duplicates) { copies.append(random.duration(upTo: .seconds(3))) }
        return copies
    }

    private func drawOneLatency(isCrawling: Bool) -> Duration {
        if isStormy { return random.duration(upTo: .milliseconds(80)) }
        if isCrawling { return .milliseconds(300) + random.duration(upTo: .milliseconds(100)) }
        if random.chance(slowLinks) { return random.duration(upTo: .milliseconds(900)) }
        return .microseconds(200) + random.duration(upTo: .milliseconds(4))
    }

    private func drawDiskTime() -> Duration {
        if herd.now == .zero { return .zero }  // the first document is on disk before a cluster exists
        if random.chance(slowDisks) { return random.duration(upTo: .milliseconds(1500)) }
        return random.duration(upTo: .milliseconds(isStormy ? 80 : 10))
    }

    // MARK: the schedule

    private func found() {
        let voters = Array(ids.prefix(max(1, ids.count - Int.random(in: 0...1, using: &random))))
        let lease: Duration =
            [.milliseconds(500), .seconds(1), .seconds(2)].randomElement(using: &random) ?? .seconds(1)
        let document = TestDocument(
            voters: Voters(voters), recipients: ids, lease: lease, primaryMember: voters.first)
        for id in ids {
            let member = HerdMember(id)
            member.clockError = [-1000, 0, 1000].randomElement(using: &random) ?? 0
            member.clockOffset = random.duration(upTo: .seconds(100))
            member.fitness = Fitness(mayLead: true, rank: Int.random(in: 0...3, using: &random))
            herd.add(member)
            herd.start(id)
            herd.step(id, .install(Entry(version: Version(term: 0, index: 1), document: document)))
        }
    }

    /// Runs faults for `length`, then heals everything and demands a working leader.
    func run(for length: Duration) {
        let end = herd.now + length
        while herd.now < end, judges.verdicts.isEmpty {
            herd.run(until: herd.now + random.duration(upTo: .milliseconds(400)))
            takePrimaryRole()
            act()
        }
        if judges.verdicts.isEmpty { heal() }
    }

    private func any() -> MemberID { ids.randomElement(using: &random) ?? ids[0] }

    private func act() {
        switch Int.random(in: 0..<40, using: &random) {
        case 0...1: drawWeather()
        case 2...3: cut()
        case 4: isolateLeader()
        case 35...36: ambush()
        case 37: fade()
        case 5...7: herd.cuts = []
        case 8...10: herd.crash(any(), machine: random.chance(0.4))
        case 11...17: restart(any())
        case 18...20: release()
        case 21...29: propose()
        case 30: herd.step(any(), .stepDown)
        case 31...32: changeFitness(any())
        case 33: herd[any()].isDiskSlow = random.chance(0.3)
        case 34: for id in ids { herd[id].isDiskSlow = false }
        default: break
        }
    }

    private func cut() {
        let side = ids.filter { _ in random.chance(0.5) }
        let isOneWay = random.chance(0.3)
        for inside in side {
            for outside in ids where !side.contains(outside) {
                herd.cuts.insert([inside, outside])
                if !isOneWay { herd.cuts.insert([outside, inside]) }
            }
        }
    }

    private func isolateLeader() {
        guard let leader = herd.leaders.last?.id else { return }
        for other in ids where other != leader {
            herd.cuts.insert([leader, other])
            if random.chance(0.5) { herd.cuts.insert([other, leader]) }
        }
    }

    /// What a forgotten promise needs to do harm: one member has not heard the leader for long, then the
    /// leader is cut off just when the machines that kept its lease alive boot.
    private func ambush() {
        guard let leader = herd.leaders.last?.id, ids.count > 2 else { return }
        let waiting = any()
        herd.cuts = [[leader, waiting], [waiting, leader]]
        let lease = herd.leaders.last?.raft?.timings.lease ?? .seconds(1)
        let springAt = herd.now + lease.scaled(by: 1.1) + random.duration(upTo: .milliseconds(300))
        if random.chance(0.5) {
            let changeAt = springAt - random.duration(upTo: .milliseconds(300))
            herd.appointments.append((changeAt, { [unowned self] in propose(changingLease: true) }))
        }
        herd.appointments.append((springAt, { [unowned self] in spring(leader, waiting) }))
    }

    private func spring(_ leader: MemberID, _ waiting: MemberID) {
        for id in ids where id != leader {
            herd.cuts.insert([leader, id])
            herd.cuts.insert([id, leader])
            guard id != waiting else { continue }
            let bootAt = herd.now + random.duration(upTo: .milliseconds(20))
            herd.appointments.append((herd.now, { [unowned self] in herd.crash(id, machine: true) }))
            herd.appointments.append((bootAt, { [unowned self] in restart(id) }))
        }
    }

    /// What a lease counted from the wrong end needs to do harm: answers crawl for a while, then the leader
    /// is no longer heard, but the last answers still reach it.
    private func fade() {
        guard let leader = herd.leaders.last?.id else { return }
        herd.cuts = []
        crawling = Set(ids.filter { $0 != leader }.map { [$0, leader] })
        herd.appointments.append(
            (
                herd.now + .milliseconds(500) + random.duration(upTo: .milliseconds(500)),
                { [unowned self] in
                    for id in ids where id != leader { herd.cuts.insert([leader, id]) }
                }
            ))
    }

    /// An agent that starts may learn of its guard late, and resumes when it finds it armed.
    private func restart(_ id: MemberID) {
        if herd[id].raft == nil { herd.start(id, knowsGuard: random.chance(0.7)) }
        let standing = herd[id].standing
        herd.step(id, .guardChanged(standing))
        if standing != .disarmed, random.chance(0.8) { herd.step(id, .resume) }
    }

    /// Guards are armed only for the primary that a committed document names.
    private func takePrimaryRole() {
        guard let leader = herd.leaders.last, leader.raft?.canPropose == true, random.chance(0.9),
            var document = leader.raft?.hard.committed?.document, document.primaryMember != leader.id
        else { return }
        proposals += 1
        document.history.append(proposals)
        document.primaryMember = leader.id
        herd.step(leader.id, .propose(document))
    }

    private func changeFitness(_ id: MemberID) {
        let fitness = Fitness(mayLead: random.chance(0.8), rank: Int.random(in: 0...5, using: &random))
        herd[id].fitness = fitness
        herd.step(id, .fitnessChanged(fitness))
    }

    private func release() {
        guard let leader = herd.leaders.last else { return }
        herd.endGuard(leader.id)
        herd.step(leader.id, .release(to: random.chance(0.8) ? any() : nil))
    }

    private func propose(changingLease: Bool = false) {
        guard let leader = herd.leaders.last, var document = leader.raft?.hard.accepted?.document else {
            return
        }
        proposals += 1
        document.history.append(proposals)
        switch changingLease ? 3 : Int.random(in: 0..<6, using: &random) {
        case 0...2:
            if let next = document.voters.next {
                document.voters = Voters(random.chance(0.8) ? next : document.voters.current)
            } else {
                let next = ids.filter { _ in random.chance(0.6) }
                if !next.isEmpty { document.voters = Voters(document.voters.current, next: next) }
            }
        case 3:
            let leases: [Duration] = [.milliseconds(500), .seconds(1), .seconds(2)]
            document.lease = leases.randomElement(using: &random) ?? .seconds(1)
        default: break
        }
        herd.step(leader.id, .propose(document))
    }

    // MARK: the end

    private func heal() {
        (loss, slowLinks, duplicates, slowDisks, fragility) = (0, 0, 0, 0, 0)
        isStormy = false
        herd.appointments = []
        herd.cuts = []
        crawling = []
        for id in ids {
            herd[id].isDiskSlow = false
            herd.start(id)
            restart(id)
            herd[id].fitness = Fitness(mayLead: true, rank: 0)
            herd.step(id, .fitnessChanged(herd[id].fitness))
        }
        let patience = herd.now + .seconds(25)
        while !isAtRest, herd.now < patience { herd.run(until: herd.now + .milliseconds(250)) }
        if !isAtRest { fail("no leader that all follow, 25 s after everything was healed") }
    }

    /// One leads, and everyone has committed what it has.
    private var isAtRest: Bool {
        guard let leader = herd.leaders.last?.raft, herd.leaders.count == 1, leader.canPropose else {
            return false
        }
        return herd.all.allSatisfy { $0.raft?.hard.committed == leader.hard.committed }
    }

    private(set) var failures: [String] = []
    private func fail(_ what: String) { failures.append("\(TraceText.time(herd.now)): \(what)") }

    /// Everything that went wrong.
    var complaints: [String] { judges.verdicts + failures }
}
