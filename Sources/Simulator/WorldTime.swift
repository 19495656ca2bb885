import Consensus

/// A moment of the simulated world's true time, which no member can read; zero is the start of the run.
public struct WorldTime: Hashable, Comparable, Sendable, CustomStringConvertible {
    public var nanoseconds: Int64

    public init(nanoseconds: Int64) { self.nanoseconds = nanoseconds }

    public static let zero = WorldTime(nanoseconds: 0)
    public static let never = WorldTime(nanoseconds: .max)

    public static func < (left: WorldTime, right: WorldTime) -> Bool { left.nanoseconds < right.nanoseconds }

    public static func + (left: WorldTime, right: Duration) -> WorldTime {
        WorldTime(nanoseconds: left.nanoseconds + right.nanoseconds)
    }

    public static func - (left: WorldTime, right: WorldTime) -> Duration {
        .nanoseconds(left.nanoseconds - right.nanoseconds)
    }

    /// Seconds with six decimals, as in the trace.
    public var description: String {
        let micros = nanoseconds / 1000
        let fraction = String(micros % 1_000_000)
        return "\(micros / 1_000_000)." + String(repeating: "0", count: 6 - fraction.count) + fraction
    }
}

/// One machine's CLOCK_BOOTTIME: starts anew with each boot, runs a little fast or slow, never goes back.
struct SimulatedClock {
    /// How fast it runs: 1000 is 0.1 % fast, the most that the protocol bears.
    private let partsPerMillion: Int64
    private var anchor: (world: WorldTime, local: Instant)
    private var stopped = false

    init(partsPerMillion: Int64, bootedAt world: WorldTime) {
        self.partsPerMillion = partsPerMillion
        anchor = (world, SimulatedClock.firstInstant)
    }

    /// Wakes a little late rather than a little early, for whoever is woken early asks to be woken again at
    /// once.
    private static let rounding: Int64 = 1000

    /// What the clock shows when the first process starts.
    static let firstInstant = Instant(nanoseconds: 2_000_000_000)

    func instant(at world: WorldTime) -> Instant {
        if stopped { return anchor.local }
        let passed = world.nanoseconds - anchor.world.nanoseconds
        return Instant(
            nanoseconds: anchor.local.nanoseconds + passed + passed * partsPerMillion / 1_000_000)
    }

    /// The first moment at which the clock shows at least `instant`.
    func moment(of instant: Instant) -> WorldTime {
        if instant == .distantFuture { return .never }
        let ahead = instant.nanoseconds - anchor.local.nanoseconds
        guard ahead > 0 else { return anchor.world }
        let passed = ahead - ahead * partsPerMillion / (1_000_000 + partsPerMillion)
        return WorldTime(nanoseconds: anchor.world.nanoseconds + passed + SimulatedClock.rounding)
    }

    /// A hypervisor that stops the machine's clock with the machine: the one thing that no local clock can
    /// tell.
    mutating func stop(at world: WorldTime) {
        anchor = (world, instant(at: world))
        stopped = true
    }

    mutating func resume(at world: WorldTime) {
        guard stopped else { return }
        anchor.world = world
        stopped = false
    }

    mutating func jump(by ahead: Duration, at world: WorldTime) {
        anchor = (world, instant(at: world) + ahead)
    }
}
