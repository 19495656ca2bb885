import Consensus

/// Counts what happens within one stretch of time after the other.
struct RateLimit {
    private let window: Int64
    private var began: Int64?
    private var count = 0

    init(window: Duration = .seconds(1)) { self.window = window.nanoseconds }

    /// Whether one more may happen in this stretch.
    mutating func admits(_ limit: Int, at now: Int64) -> Bool {
        if began.map({ now - $0 >= window }) ?? true {
            began = now
            count = 0
        }
        count += 1
        return count <= limit
    }
}
