internal import CLinux
internal import Glibc

/// A plain thread with a name. All signals are blocked in it: they belong to `SignalWatch`.
///
/// Its body is `@Sendable`: a closure written in main.swift's top-level code would be tied to the main actor
/// and trap here at run time, so threads are started from functions.
public struct Thread: Sendable {
    /// Enough for everything here; memory is only taken as the stack is used (unless it is locked).
    public static let standardStackBytes = 1 << 20
    /// Above every ordinary process, below what the kernel and the guard need.
    public static let realtimePriority: Int32 = 10

    private let handle: pthread_t

    private final class Start: Sendable {
        let name: String
        let realtime: Bool
        let body: @Sendable () -> Void
        init(name: String, realtime: Bool, body: @escaping @Sendable () -> Void) {
            self.name = name
            self.realtime = realtime
            self.body = body
        }
    }

    /// Starts a thread. One that is neither joined nor detached keeps its stack after its end.
    ///
    /// - Parameters:
    ///   - name: shown by ps and gdb; 15 bytes at most.
    ///   - realtime: asks for SCHED_RR; where that is not permitted the thread runs with normal scheduling.
    /// - Throws: when the system has no room for another thread.
    @discardableResult
    public static func start(
        name: String, realtime: Bool = false, stackBytes: Int = standardStackBytes,
        _ body: @escaping @Sendable () -> Void
    ) throws(SystemError) -> Thread {
        let start = Unmanaged.passRetained(Start(name: name, realtime: realtime, body: body))
        var handle = pthread_t()
        let error = clinux_start_thread(&handle, stackBytes, Self.enter, start.toOpaque())
        if error != 0 {
            start.release()
            throw SystemError(call: "pthread_create", code: error, detail: name)
        }
        return Thread(handle: handle)
    }

    private static let enter: @convention(c) (UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? = {
        argument in
        guard let argument else { return nil }
        let start = Unmanaged<Start>.fromOpaque(argument).takeRetainedValue()
        clinux_name_thread(start.name)
        if start.realtime { _ = becomeRealtime() }
        start.body()
        return nil
    }

    /// Asks for SCHED_RR for the calling thread (not for its children).
    ///
    /// - Returns: false where that is not permitted; lateness of tens of milliseconds under load is then
    ///   normal.
    public static func becomeRealtime() -> Bool { clinux_realtime_thread(realtimePriority) == 0 }

    /// Waits for the end of the thread. Of `join` and `detach`, one must be called, once.
    public func join() { pthread_join(handle, nil) }

    /// Lets the thread free itself at its end; nobody waits for it.
    public func detach() { pthread_detach(handle) }
}
