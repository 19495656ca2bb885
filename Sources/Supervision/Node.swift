public import Consensus

/// One member of the herd, whole: election, the document, and the rules, as a value.
///
/// The daemon feeds it the real world, the simulator a hostile one; both run this very code.
public struct Node: Sendable {
    public let settings: NodeSettings

    /// `sameBoot` tells that `promise` was read from this boot's tmpfs (or that its absence there is proven).
    public init(
        settings: NodeSettings, durable: DurableState, promise: Promise?, sameBoot: Bool, nonce: BootNonce,
        seed: UInt64, now: Instant
    ) {
        self.settings = settings
    }

    public mutating func step(_ event: NodeEvent, at now: Instant) -> [NodeEffect] { [] }

    /// When `.tick` is due.
    public var nextWake: Instant { .zero }

    /// The cluster as this node sees it.
    public func status(at now: Instant) -> StatusReport {
        StatusReport(cluster: settings.clusterName, node: settings.member.id.name)
    }
}
