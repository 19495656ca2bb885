import Consensus

/// Lets one refusal per address and reason through in a while, so that a misconfigured neighbour who knocks
/// twice a second neither fills the log and the history nor hides the others in them.
struct RefusalLog {
    private struct Entry: Hashable {
        var address: String
        var kind: Int
    }

    /// Beyond it the oldest entry is forgotten, and may be logged anew.
    static let maxEntries = 256
    /// Of all addresses together, in one interval: a crowd must not push everything else out of the history
    /// that the node keeps.
    static let maxPerInterval = 30

    let interval: Duration
    private var all: RateLimit
    private var lastLogged: [Entry: Int64] = [:]
    /// Held back since the last one that was let through.
    private(set) var heldBack: UInt64 = 0

    init(interval: Duration) {
        self.interval = interval
        all = RateLimit(window: interval)
    }

    /// Whether to tell this one; then also how many were held back before it.
    mutating func admits(_ reason: RefusalReason, from address: String, at now: Int64) -> UInt64? {
        let entry = Entry(address: address, kind: reason.kind)
        if let last = lastLogged[entry], now - last < interval.nanoseconds {
            heldBack += 1
            return nil
        }
        guard all.admits(RefusalLog.maxPerInterval, at: now) else {
            heldBack += 1
            return nil
        }
        if lastLogged.count >= RefusalLog.maxEntries, let oldest = lastLogged.min(by: { $0.value < $1.value })
        {
            lastLogged[oldest.key] = nil
        }
        lastLogged[entry] = now
        defer { heldBack = 0 }
        return heldBack
    }
}
