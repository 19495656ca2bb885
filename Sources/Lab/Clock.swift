internal import Glibc

/// The laboratory's clock: CLOCK_BOOTTIME, the one that leases run by.
public typealias Moment = ContinuousClock.Instant

extension ContinuousClock.Instant {
    public static var current: Self { ContinuousClock.now }
}

extension Duration {
    public var seconds: Double {
        let (whole, attoseconds) = components
        return Double(whole) + Double(attoseconds) / 1e18
    }

    /// Rounded up, so that a limit that is not over yet never becomes 0 (which poll takes for "do not wait").
    var pollMilliseconds: Int32 {
        let (whole, attoseconds) = components
        if whole < 0 || attoseconds < 0 { return 0 }
        return Int32(clamping: whole * 1000 + (attoseconds + 999_999_999_999_999) / 1_000_000_000_000_000)
    }

    /// "1.23 s" or "35 ms": what fits the size.
    public var forPeople: String {
        seconds < 1 ? "\(Int((seconds * 1000).rounded())) ms" : "\(seconds.rounded(toPlaces: 2)) s"
    }
}

extension Double {
    /// With a fixed number of decimals; there is no `String(format:)` without the whole of Foundation.
    public func rounded(toPlaces places: Int) -> String {
        let scale = (0..<places).reduce(1.0) { value, _ in value * 10 }
        let digits = String(Int64((magnitude * scale).rounded()))
        let padded = String(repeating: "0", count: max(0, places + 1 - digits.count)) + digits
        let text = places == 0 ? padded : "\(padded.dropLast(places)).\(padded.suffix(places))"
        return self < 0 ? "-" + text : text
    }
}

/// Blocks the calling thread; for pacing (a probe's beat, a poll's pause), never in place of a condition.
func pause(_ duration: Duration) {
    let (whole, attoseconds) = duration.components
    if whole < 0 || attoseconds < 0 { return }
    var time = timespec(tv_sec: Int(whole), tv_nsec: Int(attoseconds / 1_000_000_000))
    var left = timespec()
    while nanosleep(&time, &left) == -1, errno == EINTR { time = left }
}
