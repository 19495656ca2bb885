public import Platform

/// The primary as one promotion made it: another epoch or another address is another target.
public struct ProxyTarget: Hashable, Sendable {
    public let epoch: UInt64
    public let address: SocketAddress

    public init(epoch: UInt64, address: SocketAddress) {
        self.epoch = epoch
        self.address = address
    }
}

/// Where sessions go, and for how long that may be believed without hearing from the agent again.
public struct ProxyRoute: Hashable, Sendable {
    public let target: ProxyTarget
    /// Time of `BootClock` until which new sessions may be opened to the target.
    public let validUntil: Int64
    /// How long after `validUntil` established sessions are left alone, in nanoseconds.
    public let cutAfter: Int64

    public init(target: ProxyTarget, validUntil: Int64, cutAfter: Int64) {
        self.target = target
        self.validUntil = validUntil
        self.cutAfter = cutAfter
    }

    /// When established sessions are cut unless the route is renewed.
    public var cutAt: Int64 {
        let (sum, overflow) = validUntil.addingReportingOverflow(cutAfter)
        return overflow ? .max : sum
    }
}

/// What the agent wants done with clients. The newest order replaces all earlier ones.
public enum ProxyOrder: Hashable, Sendable {
    case route(ProxyRoute)
    /// There is no primary to send anybody to. The reason is shown to clients that are turned away.
    case hold(reason: String)

    public var target: ProxyTarget? {
        if case .route(let route) = self { route.target } else { nil }
    }

    /// Where a session that is opened at `now` goes; nil when it has to wait.
    func target(forNewSessionsAt now: Int64) -> ProxyTarget? {
        if case .route(let route) = self, now < route.validUntil { route.target } else { nil }
    }

    /// Why a client is kept waiting at `now`.
    func holdReason(at now: Int64) -> String {
        switch self {
        case .hold(let reason): reason
        case .route(let route) where now >= route.validUntil:
            "this node has not heard from the primary's epoch \(route.target.epoch) in time"
        case .route(let route): "the primary at \(route.target.address) does not accept connections"
        }
    }
}

/// Decides which orders count: those of the newest agent, and never an epoch older than one already seen.
///
/// An agent that was paused, or that replays what it knew before a crash, must not bring clients back to a
/// primary that has been replaced.
struct OrderBook: Equatable {
    enum Verdict: Equatable {
        case accepted
        case stale(highestEpoch: UInt64)
    }

    private(set) var order = ProxyOrder.hold(reason: "the agent of this node has not spoken yet")
    private(set) var highestEpoch: UInt64 = 0
    private(set) var session: UInt64 = 0
    private var cluster = ""

    /// An agent introduces itself. `session` grows with every start of an agent.
    ///
    /// Epochs are comparable within one cluster only, so that another cluster begins at none.
    ///
    /// - Returns: false when a newer agent has spoken before; this one's orders must not be taken.
    mutating func welcome(session: UInt64, cluster: String) -> Bool {
        if session < self.session { return false }
        self.session = session
        if cluster != self.cluster {
            self.cluster = cluster
            highestEpoch = 0
            order = .hold(reason: "the agent of this node has not named a primary yet")
        }
        return true
    }

    mutating func take(_ order: ProxyOrder) -> Verdict {
        if let epoch = order.target?.epoch {
            if epoch < highestEpoch { return .stale(highestEpoch: highestEpoch) }
            highestEpoch = epoch
        }
        self.order = order
        return .accepted
    }
}
