import Glibc
public import Testing

/// Waits until `condition` holds; fails the test with `what` when it does not within the deadline.
///
/// For tests that watch real processes, sockets and files. The deadline is generous on purpose: it costs
/// nothing when the condition comes true, and a slow machine is no bug.
/// - Returns: whether the condition came true, for tests that cannot go on without it.
@discardableResult
public func waitUntil(
    _ what: String, within deadline: Duration = .seconds(30), every pause: Duration = .milliseconds(20),
    sourceLocation: SourceLocation = #_sourceLocation, _ condition: () throws -> Bool
) rethrows -> Bool {
    let clock = ContinuousClock()
    let start = clock.now
    repeat {
        if try condition() { return true }
        rest(pause)
    } while clock.now - start < deadline
    if try condition() { return true }
    Issue.record("did not happen within \(deadline): \(what)", sourceLocation: sourceLocation)
    return false
}

/// Like `waitUntil`, but waits for a value and throws without one, so the test stops there.
public func waitFor<Value>(
    _ what: String, within deadline: Duration = .seconds(30), every pause: Duration = .milliseconds(20),
    _ value: () throws -> Value?
) throws -> Value {
    let clock = ContinuousClock()
    let start = clock.now
    repeat {
        if let found = try value() { return found }
        rest(pause)
    } while clock.now - start < deadline
    if let found = try value() { return found }
    throw NeverHappened(what: what, deadline: deadline)
}

public struct NeverHappened: Error, CustomStringConvertible {
    public let what: String
    public let deadline: Duration
    public var description: String { "did not happen within \(deadline): \(what)" }
}

func rest(_ pause: Duration) {
    let (seconds, attoseconds) = pause.components
    var time = timespec(tv_sec: Int(seconds), tv_nsec: Int(attoseconds / 1_000_000_000))
    _ = nanosleep(&time, nil)
}
