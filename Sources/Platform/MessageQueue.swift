internal import CLinux
internal import Glibc
internal import Synchronization

/// A bounded queue between threads. Producers never wait: a full queue refuses.
public final class MessageQueue<Element: Sendable>: Sendable {
    private struct State {
        var waiting: [Element] = []
        var closed = false
    }

    private let capacity: Int
    private let state = Mutex(State())
    /// Counts up while something waits or the queue is closed, so that consumers can sleep on it.
    private let bell: Int32

    public init(capacity: Int) throws(SystemError) {
        self.capacity = capacity
        bell = try system("eventfd") { eventfd(0, Int32(EFD_CLOEXEC) | Int32(EFD_NONBLOCK)) }
    }

    deinit { close(bell) }

    public var count: Int { state.withLock { $0.waiting.count } }

    /// Adds an element.
    ///
    /// - Returns: false when the queue is full or closed; the element is then dropped.
    public func push(_ element: Element) -> Bool {
        let accepted = state.withLock { state in
            if state.closed || state.waiting.count >= capacity { return false }
            state.waiting.append(element)
            return true
        }
        if accepted { _ = eventfd_write(bell, 1) }
        return accepted
    }

    /// Waits for elements and takes all of them, in order. Empty only when the queue is closed and used up.
    public func takeAll() -> [Element] {
        while true {
            let (taken, closed) = state.withLock { state in
                let taken = state.waiting
                state.waiting = []
                return (taken, state.closed)
            }
            if !taken.isEmpty || closed { return taken }
            waitForBell()
        }
    }

    /// Like `takeAll`, but for a while at most. Empty when nothing came, or the queue is closed and used up.
    public func takeAll(withinNanoseconds wait: Int64) -> [Element] {
        let taken = takeWaiting()
        if !taken.isEmpty { return taken }
        waitForBell(milliseconds: Int32(clamping: (max(0, wait) + 999_999) / 1_000_000))
        return takeWaiting()
    }

    private func takeWaiting() -> [Element] {
        state.withLock { state in
            let taken = state.waiting
            state.waiting = []
            return taken
        }
    }

    /// Refuses further elements and lets `takeAll` come to its end.
    public func close() {
        state.withLock { $0.closed = true }
        _ = eventfd_write(bell, 1)
    }

    private func waitForBell(milliseconds: Int32 = -1) {
        var wait = pollfd(fd: bell, events: Int16(POLLIN), revents: 0)
        _ = poll(&wait, 1, milliseconds)
        var counter: UInt64 = 0
        // Another consumer may have been faster; the state is looked at again in any case.
        _ = read(bell, &counter, 8)
    }

    private func close(_ fd: Int32) { _ = Glibc.close(fd) }
}
