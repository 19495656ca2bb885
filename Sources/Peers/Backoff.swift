/// How long to wait before the next attempt: twice as long after each failure, up to a limit, never in step
/// with others who failed at the same moment.
struct Backoff: Equatable {
    let first: Duration
    let limit: Duration
    private var failures = 0

    init(first: Duration, limit: Duration) {
        self.first = first
        self.limit = limit
    }

    /// The wait after one more failure: between half and all of the doubled time.
    mutating func next(using random: inout some RandomNumberGenerator) -> Duration {
        // 2^16 times `first` is beyond any limit in use; the bound keeps the multiplication from overflowing.
        let full = min(first * (1 << min(failures, 16)), limit)
        failures += 1
        return full * Double.random(in: 0.5...1, using: &random)
    }

    mutating func reset() { failures = 0 }
}
