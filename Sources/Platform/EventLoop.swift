internal import CLinux
internal import Glibc
internal import Synchronization

/// Names a timer of one `EventLoop`, so that it can be cancelled.
public struct TimerID: Hashable, Sendable {
    fileprivate let number: UInt64
}

/// What to wait for on a descriptor.
public struct Interest: OptionSet, Sendable {
    public let rawValue: UInt8
    public init(rawValue: UInt8) { self.rawValue = rawValue }
    public static let read = Interest(rawValue: 1)
    public static let write = Interest(rawValue: 2)
}

/// What a descriptor is ready for. `hangup` (the peer is gone or the descriptor is in error) always comes
/// together with what was waited for, so that reading or writing brings the reason to light.
public struct Readiness: OptionSet, Sendable {
    public let rawValue: UInt8
    public init(rawValue: UInt8) { self.rawValue = rawValue }
    public static let read = Readiness(rawValue: 1)
    public static let write = Readiness(rawValue: 2)
    public static let hangup = Readiness(rawValue: 4)
}

/// One thread that waits for descriptors, times and posted work, and runs their handlers one after the other.
///
/// Level-triggered: a handler is called again until it has read or written what was ready. Everything but
/// `post` and `stop` MUST be called on the loop's own thread (or before `run`); handlers may therefore share
/// plain state. A handler MUST NOT block. A system call that can only fail by a bug of the caller (a closed
/// descriptor is watched) ends the process: a loop that goes on half deaf is worse than one that is started
/// again.
///
/// `@unchecked Sendable`: `mailbox` is behind its lock, the descriptors never change; all else is only
/// touched by the loop's thread, which `assertOnLoop` checks at run time.
public final class EventLoop: @unchecked Sendable {
    /// Work that other threads may have waiting here; more means that the loop is stuck, and is fatal.
    public static let mailboxLimit = 65_536
    private static let batchLimit = 128
    private static let timerToken: UInt64 = 0
    private static let mailboxToken: UInt64 = 1

    private struct Registration {
        let fd: Int32
        var interest: Interest
        let handler: (Readiness) -> Void
    }

    private struct Mailbox {
        var work: [@Sendable () -> Void] = []
        var stopped = false
        var owner: pid_t = 0
    }

    private let epoll: Int32
    private let timer: Int32
    private let wake: Int32
    private let mailbox = Mutex(Mailbox())
    private var registrations: [UInt64: Registration] = [:]
    private var tokens: [Int32: UInt64] = [:]
    private var nextToken: UInt64 = 2
    private var timers = TimerHeap()
    private var armedFor: Int64 = .max

    public init() throws(SystemError) {
        epoll = try system("epoll_create1") { epoll_create1(Int32(EPOLL_CLOEXEC)) }
        timer = try system("timerfd_create") {
            timerfd_create(CLOCK_BOOTTIME, Int32(TFD_NONBLOCK) | Int32(TFD_CLOEXEC))
        }
        wake = try system("eventfd") { eventfd(0, Int32(EFD_NONBLOCK) | Int32(EFD_CLOEXEC)) }
        control(EPOLL_CTL_ADD, timer, .read, Self.timerToken)
        control(EPOLL_CTL_ADD, wake, .read, Self.mailboxToken)
    }

    deinit {
        for fd in [epoll, timer, wake] { close(fd) }
    }

    // MARK: Descriptors

    /// Calls `handler` whenever `fd` is ready. A descriptor can be watched once; it must be unwatched before
    /// it is closed.
    public func watch(
        _ fd: Int32, _ interest: Interest, _ handler: @escaping (Readiness) -> Void
    ) throws(SystemError) {
        assertOnLoop()
        let token = nextToken
        var event = Self.event(interest, token)
        try system("epoll_ctl", "descriptor \(fd)") { epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) }
        nextToken += 1
        tokens[fd] = token
        registrations[token] = Registration(fd: fd, interest: interest, handler: handler)
    }

    /// Changes what a watched descriptor waits for; an empty interest only reports a hangup.
    public func change(_ fd: Int32, _ interest: Interest) {
        assertOnLoop()
        guard let token = tokens[fd], let current = registrations[token] else {
            fatalError("event loop: descriptor \(fd) is not watched, its interest cannot change")
        }
        if current.interest == interest { return }
        registrations[token]?.interest = interest
        control(EPOLL_CTL_MOD, fd, interest, token)
    }

    /// Forgets a descriptor; its handler is not called again, not even for what was already reported.
    public func unwatch(_ fd: Int32) {
        assertOnLoop()
        guard let token = tokens.removeValue(forKey: fd) else { return }
        registrations[token] = nil
        control(EPOLL_CTL_DEL, fd, [], token)
    }

    // MARK: Times

    /// Calls `handler` once, at `boottimeNanoseconds` of `BootClock` or as soon after as the loop gets to it.
    @discardableResult
    public func at(_ boottimeNanoseconds: Int64, _ handler: @escaping () -> Void) -> TimerID {
        assertOnLoop()
        let number = timers.insert(boottimeNanoseconds, handler)
        armTimer()
        return TimerID(number: number)
    }

    /// Forgets a timer; one that has fired or was cancelled before is no error.
    public func cancel(_ timer: TimerID) {
        assertOnLoop()
        timers.remove(timer.number)
    }

    // MARK: Other threads

    /// Runs `work` on the loop's thread, in the order of posting. May be called from any thread, also before
    /// `run`.
    public func post(_ work: @escaping @Sendable () -> Void) {
        let first = mailbox.withLock { mailbox in
            if mailbox.work.count >= Self.mailboxLimit {
                fatalError("event loop: \(Self.mailboxLimit) posted jobs wait; its thread must be stuck")
            }
            mailbox.work.append(work)
            return mailbox.work.count == 1
        }
        if first { ring() }
    }

    /// Makes `run` return after the handler that runs now. May be called from any thread.
    public func stop() {
        mailbox.withLock { $0.stopped = true }
        ring()
    }

    /// True on the loop's thread, and on every thread as long as the loop does not run.
    public var isCurrent: Bool {
        let owner = mailbox.withLock { $0.owner }
        return owner == 0 || owner == clinux_thread_id()
    }

    // MARK: Running

    /// Runs handlers on the calling thread until `stop`. May be run again afterwards.
    public func run() {
        mailbox.withLock { $0.owner = clinux_thread_id() }
        defer {
            mailbox.withLock {
                $0.owner = 0
                $0.stopped = false
            }
        }
        var events = [epoll_event](repeating: epoll_event(), count: Self.batchLimit)
        while !isStopped {
            let count = epoll_wait(epoll, &events, Int32(events.count), -1)
            if count < 0, errno != EINTR { fatalError("event loop: epoll_wait failed with errno \(errno)") }
            for event in events.prefix(max(0, Int(count))) {
                if isStopped { return }
                dispatch(event)
            }
        }
    }

    private var isStopped: Bool { mailbox.withLock { $0.stopped } }

    private func dispatch(_ event: epoll_event) {
        switch event.data.u64 {
        case Self.timerToken: fireTimers()
        case Self.mailboxToken: runPosted()
        case let token:
            // An earlier handler of this batch may have unwatched it.
            guard let registration = registrations[token] else { return }
            registration.handler(Self.readiness(event.events, registration.interest))
        }
    }

    private func runPosted() {
        drain(wake)
        let work = mailbox.withLock { mailbox in
            let work = mailbox.work
            mailbox.work = []
            return work
        }
        for job in work { job() }
    }

    private func fireTimers() {
        drain(timer)
        armedFor = .max
        // Only what was due when we came here: a handler that sets a timer in the past must not starve the
        // rest.
        let now = BootClock.now()
        for number in timers.takeDue(at: now) { timers.takeHandler(number)?() }
        armTimer()
    }

    /// Sets the one timerfd to the earliest timer.
    private func armTimer() {
        guard let earliest = timers.earliest, earliest < armedFor else { return }
        armedFor = earliest
        // Zero would disarm it; the past fires at once.
        let time = max(1, earliest)
        var setting = itimerspec()
        setting.it_value.tv_sec = Int(time / 1_000_000_000)
        setting.it_value.tv_nsec = Int(time % 1_000_000_000)
        if timerfd_settime(timer, Int32(TFD_TIMER_ABSTIME), &setting, nil) != 0 {
            fatalError("event loop: timerfd_settime failed with errno \(errno)")
        }
    }

    private func ring() {
        // Only EAGAIN is possible, when the counter is full: then it rings already.
        _ = eventfd_write(wake, 1)
    }

    private func drain(_ fd: Int32) {
        var counter: UInt64 = 0
        // Nothing to read is fine: the event was for an earlier ring.
        _ = read(fd, &counter, 8)
    }

    private func control(_ operation: Int32, _ fd: Int32, _ interest: Interest, _ token: UInt64) {
        var event = Self.event(interest, token)
        if epoll_ctl(epoll, operation, fd, &event) != 0 {
            fatalError("event loop: epoll_ctl \(operation) of descriptor \(fd) failed with errno \(errno)")
        }
    }

    private func assertOnLoop() {
        if !isCurrent { fatalError("event loop: called from another thread; use post") }
    }

    private static func event(_ interest: Interest, _ token: UInt64) -> epoll_event {
        var event = epoll_event()
        if interest.contains(.read) { event.events |= EPOLLIN.rawValue | EPOLLRDHUP.rawValue }
        if interest.contains(.write) { event.events |= EPOLLOUT.rawValue }
        event.data.u64 = token
        return event
    }

    private static func readiness(_ events: UInt32, _ interest: Interest) -> Readiness {
        var ready: Readiness = []
        if events & (EPOLLIN.rawValue | EPOLLRDHUP.rawValue) != 0 { ready.insert(.read) }
        if events & EPOLLOUT.rawValue != 0 { ready.insert(.write) }
        if events & (EPOLLHUP.rawValue | EPOLLERR.rawValue) != 0 {
            ready.insert(.hangup)
            ready.formUnion(Readiness(rawValue: interest.rawValue))
        }
        return ready
    }
}
