/// Counts what happens within one second after the other.
struct RateLimit {
    private static let window: Int64 = 1_000_000_000

    private var began: Int64?
    private var count = 0

    /// Whether one more may happen in this second.
    mutating func admits(_ limit: Int, at now: Int64) -> Bool {
        if began.map({ now - $0 >= RateLimit.window }) ?? true {
            began = now
            count = 0
        }
        count += 1
        return count <= limit
    }
}
