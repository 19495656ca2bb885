internal import CLinux
internal import Glibc

/// Signals as events of the loop, through a signalfd.
public final class SignalWatch {
    private let fd: Int32
    private let loop: EventLoop

    /// Blocks `signals` in the calling thread and in all that it starts, and ignores SIGPIPE.
    ///
    /// MUST be called on the main thread before any other is made; a signal that some thread has not blocked
    /// is taken by that thread, and ends the process.
    public static func block(_ signals: [Int32]) {
        var set = Self.set(signals)
        pthread_sigmask(SIG_BLOCK, &set, nil)
        signal(SIGPIPE, SIG_IGN)
    }

    /// Calls `handler` on the loop with the number of each signal that comes. Several of one kind that come
    /// before the loop looks are one.
    public init(
        _ signals: [Int32], on loop: EventLoop, _ handler: @escaping (Int32) -> Void
    ) throws(SystemError) {
        Self.block(signals)
        var set = Self.set(signals)
        let fd = try system("signalfd") { signalfd(-1, &set, Int32(SFD_NONBLOCK) | Int32(SFD_CLOEXEC)) }
        self.fd = fd
        self.loop = loop
        do {
            try loop.watch(fd, .read) { _ in
                var info = signalfd_siginfo()
                let size = MemoryLayout<signalfd_siginfo>.size
                while read(fd, &info, size) == size { handler(Int32(info.ssi_signo)) }
            }
        } catch {
            close(fd)
            throw error
        }
    }

    /// Stops listening; the signals stay blocked.
    public func stop() {
        loop.unwatch(fd)
        close(fd)
    }

    private static func set(_ signals: [Int32]) -> sigset_t {
        var set = sigset_t()
        sigemptyset(&set)
        for signal in signals { sigaddset(&set, signal) }
        return set
    }
}
