public import Supervision

/// All that the checks on 5500 are answered from: one immutable value, published by the control thread.
///
/// Every claim carries the time until which it may be made, because the thread that would take it back may
/// be stuck: an agent that hangs reads as not writable the moment its lease is over.
public struct HTTPReport: Sendable {
    /// BootClock time until which this node may call itself the writable primary: lease, open primary and
    /// write probe all taken into account. `.min` on any other node.
    public var writableUntil: Int64
    /// BootClock time until which the rest may be believed without a newer report.
    public var validUntil: Int64
    public var state: MemberState
    public var role: MemberRole
    /// The local Postgres runs and answers.
    public var isRunning: Bool
    /// What the WAL receiver does: `streaming`, `in archive recovery`; nil when it does nothing.
    public var replicationState: String?
    /// How far the local replay is behind the primary; nil when that is not known.
    public var lagBytes: UInt64?
    /// The lag up to which a replica counts as ready (`maximum_lag_on_failover`).
    public var readyLagBytes: UInt64
    /// Tagged `noloadbalance`: never offered as a replica.
    public var isOutOfBalance: Bool
    /// Why the node is as it is, for people; shown with each answer.
    public var reason: String?
    public var status: StatusReport
    /// BootClock time until which `status.writable` may be repeated when it is true.
    public var statusWritableUntil: Int64

    /// A node of which nothing is known yet.
    public init(status: StatusReport) {
        self.status = status
        writableUntil = .min
        validUntil = .min
        statusWritableUntil = .min
        state = .starting
        role = .none
        isRunning = false
        readyLagBytes = 16 << 20
        isOutOfBalance = false
    }

    public func isWritable(at now: Int64) -> Bool { isValid(at: now) && now < writableUntil }
    public func isValid(at now: Int64) -> Bool { now < validUntil }
}
