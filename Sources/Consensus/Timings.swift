/// Every time limit of the protocol, derived from the lease (protocol: Times).
public struct Timings: Hashable, Sendable {
    /// The greatest error of a clock's rate that the protocol bears: 0.1 %.
    public static let clockRateError = 0.001

    public let lease: Duration
    public let heartbeat: Duration
    /// How long a voter keeps its word after it acknowledged a heartbeat.
    public let promise: Duration
    /// Before the lease ends by this much, the guard starts to kill: covers wake-up, kill and reaping.
    public let killMargin: Duration
    /// Before the lease ends by this much, a leader without a majority starts a fast stop.
    public let demoteMargin: Duration
    /// Candidates spread their first attempt over this.
    public let electionSpread: Duration
    /// A candidate waits this much for each member that is fresher than itself.
    public let rankStep: Duration
    public let freezeTimeout: Duration
    /// In asynchronous mode: how long a new leader waits for members beyond the majority to freeze.
    public let freezeGrace: Duration
    public let promoteTimeout: Duration
    public let switchoverTimeout: Duration

    public init(lease: Duration, heartbeat: Duration? = nil) {
        self.lease = lease
        self.heartbeat = heartbeat ?? lease.scaled(by: 0.1)
        promise = Timings.promise(of: lease)
        killMargin = lease.scaled(by: 0.15).clamped(to: .milliseconds(300)...(.milliseconds(750)))
        demoteMargin = lease.scaled(by: 0.4).clamped(to: (killMargin + .milliseconds(250))...(.seconds(2)))
        electionSpread = lease.scaled(by: 0.2)
        rankStep = lease.scaled(by: 0.04)
        freezeTimeout = .seconds(2)
        freezeGrace = .milliseconds(300)
        promoteTimeout = .seconds(60)
        switchoverTimeout = .seconds(30)
    }

    /// How long a promise must last to outlive a lease on a leader's clock, whichever of the two runs fast.
    public static func promise(of lease: Duration) -> Duration {
        lease.scaled(by: 1 + 2 * clockRateError) + .milliseconds(20)
    }

    /// After a start without a remembered promise, no vote is given for this long.
    public var bootWait: Duration { promise }

    /// The slowest round trip to a voter at which three lost heartbeats still do not end a lease.
    public var roundTripBudget: Duration { lease - demoteMargin - heartbeat * 3 }

    /// An agent that is back within this, less four round trips and two syncs, keeps its primary running.
    public var agentRestartBudget: Duration { lease - killMargin - heartbeat }
}
