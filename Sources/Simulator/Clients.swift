import Consensus
import Supervision

/// Applications that write through port 5432 of any node, a machine outside that writes to each Postgres
/// directly, and the oracle that remembers what they were told.
final class Clients {
    enum Fate { case sent, acknowledged, givenUp }

    struct Write {
        let number: WriteID
        let target: Int
        /// Through which node's proxy; nil for a direct one.
        let entry: Int?
        let sentAt: WorldTime
        var fate = Fate.sent
    }

    private var random: SeededRandom
    private let options: Options
    private(set) var writes: [Write] = []
    private(set) var acknowledged = 0
    /// When a write through a proxy was last acknowledged, by entry node.
    private(set) var lastThrough: [WorldTime?] = []
    private(set) var lastAcknowledged: WorldTime?
    /// The longest time without an acknowledged write after the first one, for statistics.
    private(set) var longestGap: Duration = .zero

    init(_ options: Options, seed: UInt64) {
        self.options = options
        random = SeededRandom(seed: seed ^ 0x434C_4945_4E54)
    }

    private var swellUntil = WorldTime.zero

    func forgetGaps() { longestGap = .zero }

    /// For a while every write is a bulk load, so that standbys fall behind.
    func swell(for time: Duration, _ world: World) { swellUntil = world.now + time }
    func calm() { swellUntil = .zero }

    func begin(_ world: World) {
        for _ in 0..<options.writers { writeSoon(world) }
        probeSoon(world)
    }

    private func writeSoon(_ world: World) {
        let pause = options.writeInterval / 2 + random.duration(upTo: options.writeInterval)
        world.schedule.add(after: pause, for: nil) { [self, unowned world] in
            let entry = world.machines[Int.random(in: 0..<world.machines.count, using: &random)]
            write(through: entry, world)
            writeSoon(world)
        }
    }

    private func probeSoon(_ world: World) {
        world.schedule.add(after: options.probeInterval, for: nil) { [self, unowned world] in
            for machine in world.machines where machine.postgres.isWritable && machine.hardware.isRunning {
                send(to: machine, through: nil, epoch: 0, world)
            }
            probeSoon(world)
        }
    }

    /// A session through the node's proxy: held while it knows no primary (here: given up and tried again
    /// later).
    private func write(through entry: Machine, _ world: World) {
        guard entry.hardware.isRunning, case .primary(let epoch, let host, _, let until) = entry.route,
            entry.now < until, let target = world.machine(at: host),
            world.network.connects(entry.index, target.index, .agents)
        else { return }
        send(to: target, through: entry, epoch: epoch, world)
    }

    private func send(to target: Machine, through entry: Machine?, epoch: Term, _ world: World) {
        let number = writes.count
        writes.append(Write(number: number, target: target.index, entry: entry?.index, sentAt: world.now))
        let way = world.network.streamDelay(&random)
        let most = world.now < swellUntil ? options.writeBytes * 64 : options.writeBytes
        let bytes = 100 + UInt64.random(in: 0...most, using: &random)
        world.schedule.add(after: way, for: target.hardware) { [self, unowned world] in
            target.postgres.commit(bytes: bytes, write: number) { [self, unowned world] isAcknowledged in
                world.observe(.committed(target, through: entry != nil, acknowledged: isAcknowledged))
                guard isAcknowledged else { return }
                let back = world.network.streamDelay(&random)
                world.schedule.add(after: back, for: nil) { [self, unowned world] in
                    acknowledge(number, from: target, through: entry, epoch: epoch, world)
                }
            }
        }
    }

    private func acknowledge(
        _ number: WriteID, from target: Machine, through entry: Machine?, epoch: Term, _ world: World
    ) {
        if let entry {
            // The proxy cuts sessions when the primary changes; what then happened to the write is unknown.
            guard entry.hardware.isRunning, case .primary(let now, _, _, _) = entry.route, now == epoch,
                !world.network.isCut(target.index, entry.index, .agents)
            else { return }
            while lastThrough.count <= entry.index { lastThrough.append(nil) }
            lastThrough[entry.index] = world.now
        }
        writes[number].fate = .acknowledged
        acknowledged += 1
        if let last = lastAcknowledged { longestGap = max(longestGap, world.now - last) }
        lastAcknowledged = world.now
    }

    /// When a write through this node's port was last acknowledged.
    func lastAcknowledged(through entry: Machine) -> WorldTime? {
        entry.index < lastThrough.count ? lastThrough[entry.index] : nil
    }

    /// Notes acknowledged writes as lost, each once.
    ///
    /// - Returns: how many were not known to be lost.
    func giveUp(_ lost: Set<WriteID>) -> Int {
        for number in lost { writes[number].fate = .givenUp }
        return lost.count
    }

    func isAcknowledged(_ write: WriteID) -> Bool { writes[write].fate == .acknowledged }
}
