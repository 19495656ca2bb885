internal import Synchronization

/// A value that one thread replaces and others read: readers get all of the newest, and hold nobody up.
public final class Published<Value: Sendable>: Sendable {
    private let box: Mutex<Value>

    public init(_ value: Value) { box = Mutex(value) }

    public var value: Value {
        get { box.withLock { $0 } }
        set { box.withLock { $0 = newValue } }
    }
}
