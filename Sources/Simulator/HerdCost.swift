import Supervision

/// What a quiet herd costs its leader, by the number of members: three voters, and learners that follow.
public struct HerdCost: Hashable, Sendable {
    public let members: Int
    /// By the leader, to everyone.
    public let messagesSent: Double
    public let messagesReceived: Double
    /// Time in the leader's own steps, and in those of the member that has the most of them else.
    public let leader: Duration
    public let follower: Duration

    private static let settling = Duration.seconds(10)

    /// Everything per second of simulated time, measured over `span` seconds of it; `clock` tells the time
    /// that this thread has worked.
    ///
    /// - Returns: nil when the herd does not become whole.
    public static func measure(
        members: Int, over span: Int64 = 60, clock: @escaping () -> Duration
    ) -> HerdCost? {
        let herd = Herd(3)
        guard herd.run(within: .seconds(60), until: { $0.isWhole }) != nil else { return nil }
        for number in 3..<max(3, members) { herd.join(World.names[number], region: "north") }
        let isGrown = herd.run(within: .seconds(600)) { herd in
            herd.document?.members.count == members && herd.isWhole
        }
        guard isGrown != nil, let leader = herd.primary else { return nil }
        herd.run(for: settling)
        let world = herd.world
        let place = herd.machine(leader).index
        world.meter = Meter(clock: clock)
        herd.run(for: .seconds(span))
        guard let meter = world.meter, herd.violation == nil, herd.primary == leader else { return nil }
        let others = meter.spent.indices.filter { $0 != place }.map { meter.spent[$0] }
        return HerdCost(
            members: members, messagesSent: Double(meter.sent[place]) / Double(span),
            messagesReceived: Double(meter.received[place]) / Double(span),
            leader: meter.spent[place] / span, follower: (others.max() ?? .zero) / span)
    }
}

/// Counts messages and working time by machine.
struct Meter {
    let clock: () -> Duration
    var sent = [Int](repeating: 0, count: Network.capacity)
    var received = [Int](repeating: 0, count: Network.capacity)
    var spent = [Duration](repeating: .zero, count: Network.capacity)
}
