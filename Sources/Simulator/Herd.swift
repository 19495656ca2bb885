public import Consensus
public import Supervision

/// A herd in a quiet world, for directed tests: ten lines that say what happens and what must come of it.
///
/// Every run is judged by all checkers, as a swarm is; `violation` must stay nil.
public final class Herd {
    let world: World

    public init(
        _ members: Int, lease: Duration = .seconds(5), seed: UInt64 = 1,
        options change: (inout Options) -> Void = { _ in }
    ) {
        var options = Options.calm(members, lease: lease)
        change(&options)
        world = World(seed: seed, options: options, trace: Trace(tailLimit: 200))
        for machine in world.machines { machine.boot() }
    }

    /// The machines are there, but nobody has switched them on.
    public static func cold(_ members: Int, seed: UInt64 = 1) -> Herd { Herd(cold: members, seed: seed) }

    private init(cold members: Int, seed: UInt64) {
        world = World(seed: seed, options: .calm(members), trace: Trace(tailLimit: 200))
    }

    public var violation: Violation? { world.violation }
    public var traceTail: String { world.trace.newest.joined(separator: "\n") }
    public var now: WorldTime { world.now }

    // MARK: time

    public func run(for time: Duration) { world.run(until: world.now + time) }

    /// Lets time pass until the condition holds.
    ///
    /// - Returns: how long it took; nil when it did not come to pass within `limit`.
    @discardableResult
    public func run(within limit: Duration, until condition: (Herd) -> Bool) -> Duration? {
        let start = world.now
        let reached = world.run(until: start + limit) { condition(self) }
        return reached ? world.now - start : nil
    }

    // MARK: what can be seen

    /// Whose Postgres takes writes from clients; nil when nobody's or when several do.
    public var primary: MemberID? {
        let writable = world.machines.filter { $0.postgres.canAcknowledge }
        return writable.count == 1 ? writable[0].id : nil
    }

    public var acknowledgedWrites: Int { world.clients.acknowledged }
    public var document: ClusterDocument? { world.newestCommitted?.document }
    public func document(of member: MemberID) -> ClusterDocument? { node(member)?.document }
    public func dataState(_ member: MemberID) -> DataState? { node(member)?.dataState }
    /// A founding proposal is on its disk.
    public func hasAgreedToFound(_ member: MemberID) -> Bool { machine(member).agent.durable.grant != nil }
    public func leads(_ member: MemberID) -> Bool { node(member)?.isLeader ?? false }
    public func rule(_ member: MemberID) -> String? { node(member)?.decision.rule }
    /// What the member is waiting for, in words.
    public func reason(_ member: MemberID) -> String? { node(member)?.decision.reason }
    public func isPostgresAlive(_ member: MemberID) -> Bool { machine(member).postgres.isAlive }
    /// A rewind has begun to change its data and has not come to its end.
    public func isTorn(_ member: MemberID) -> Bool { machine(member).postgres.directory?.isTorn ?? false }
    public func timeline(_ member: MemberID) -> Timeline { machine(member).postgres.position.timeline }
    public func systemIdentifier(_ member: MemberID) -> UInt64? {
        machine(member).postgres.directory?.systemIdentifier
    }

    private func node(_ member: MemberID) -> Node? { machine(member).agent.node }

    /// Streaming from the primary and counted as a copy.
    public func follows(_ member: MemberID) -> Bool {
        world.isFollowing(machine(member))
    }

    /// There is one primary, every other running member follows it, and clients get through everywhere.
    public var isWhole: Bool { Settled.complaint(in: world) == nil }

    /// What is missing for the herd to be whole; nil when nothing is.
    public var complaint: String? { Settled.complaint(in: world) }

    /// The acknowledged writes that promotions have thrown away so far.
    public var lostWrites: Int { world.tally.lostWrites }

    /// How often a data directory was copied whole, and how often it was taken back to the history.
    public var clones: Int { world.tally.clones }
    public var clonesOfStandbys: Int { world.tally.clonesOfStandbys }
    public var clonesAtOnce: Int { world.tally.clonesAtOnce }
    public var rewinds: Int { world.tally.rewinds }

    /// How long clients went without any acknowledged write, at worst, since it was last forgotten.
    public var longestGap: Duration { world.clients.longestGap }
    public func forgetGaps() { world.clients.forgetGaps() }

    /// The newest term that any running member knows.
    public var highestTerm: Term {
        world.machines.compactMap { $0.agent.node?.term }.max() ?? 0
    }

    func machine(_ member: MemberID) -> Machine {
        guard let machine = world.machine(member) else { fatalError("there is no machine \(member)") }
        return machine
    }

    // MARK: trouble

    public func boot(_ member: MemberID) { machine(member).boot() }
    public func crash(_ member: MemberID) { machine(member).crash() }
    /// The machine is down: when it boots, its disk is what it was at `copy`.
    func putBack(_ member: MemberID, to copy: Machine.DiskCopy, _ part: Machine.Part) {
        machine(member).putBack(copy, part)
    }
    public func killAgent(_ member: MemberID) { machine(member).agent.die() }
    public func startAgent(_ member: MemberID) { machine(member).agent.start() }
    public func killPostmaster(_ member: MemberID) { machine(member).postgres.kill() }
    public func killGuard(_ member: MemberID) {
        let machine = machine(member)
        machine.guardian.die()
        world.schedule.add(after: .milliseconds(300), for: machine.hardware) { machine.guardian.start() }
    }
    public func pauseAgent(_ member: MemberID) { machine(member).agent.process.pause() }
    public func continueAgent(_ member: MemberID) { world.schedule.resume(machine(member).agent.process) }

    public func isolate(_ member: MemberID) {
        cutFrom(member)
        cutTo(member)
    }

    /// Nothing that the member sends arrives.
    public func cutFrom(_ member: MemberID) {
        for other in others(than: member) { world.network.cut(machine(member).index, other.index) }
    }

    /// Nothing that is sent to the member arrives.
    public func cutTo(_ member: MemberID) {
        for other in others(than: member) { world.network.cut(other.index, machine(member).index) }
    }

    public func cut(_ from: MemberID, _ to: MemberID) {
        world.network.cut(machine(from).index, machine(to).index)
    }

    /// Takes one cut of this direction away.
    public func mend(_ from: MemberID, _ to: MemberID) {
        world.network.mend(machine(from).index, machine(to).index)
    }

    /// Every message takes so much longer, each way, and is lost so often.
    public func weather(slower: Duration = .zero, loss: Double = 0) {
        world.network.storm(slower)
        world.network.weather.loss = loss
    }

    public func heal() { world.network.heal() }

    /// Every message from now on comes twice, the second time up to `late` later.
    public func duplicateMessages(late: Duration) {
        world.network.weather.duplication = 1
        world.network.weather.lateness = late
    }

    private func others(than member: MemberID) -> [Machine] { world.machines.filter { $0.id != member } }

    /// A new machine that asks to join; a foreign one brings a database of another cluster.
    public func join(_ member: MemberID, region: String? = nil, isForeign: Bool = false) {
        let machine = world.addMachine(member, founders: nil, region: region)
        if isForeign { machine.bringForeignData() }
        boot(member)
    }

    /// An empty machine takes the member's place under its name and address.
    public func replace(_ member: MemberID) { machine(member).replace() }
    public func move(_ member: MemberID, to address: String) { machine(member).move(to: address) }

    // MARK: people

    public func ask(_ command: Command, of member: MemberID) { world.ask(command, of: machine(member)) }

    public func switchover(to target: MemberID?, at member: MemberID) {
        ask(.switchover(target: target, dryRun: false, reason: "command"), of: member)
    }

    /// The next promotion, whoever's it is, ends in a crash after its timeline was begun.
    public func spoilNextPromotion() { world.spoilsNextPromotion = true }
}
