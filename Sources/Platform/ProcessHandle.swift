internal import CLinux
internal import Glibc

/// One particular process, held by a pidfd: a signal can never reach another that got its number.
public final class ProcessHandle {
    public let pid: Int32
    private let pidfd: Int32

    /// - Returns: nil when there is no such process any more.
    /// - Parameter expected: what was seen under this number; another start time means that it is gone.
    public init?(_ expected: ProcessTable.Entry) throws(SystemError) {
        pid = expected.pid
        let fd = clinux_pidfd_open(expected.pid)
        if fd < 0, errno == ESRCH { return nil }
        pidfd = try system("pidfd_open", "process \(expected.pid)") { fd }
        // Looked at after the pidfd was opened: if it is still the same one now, the pidfd is its.
        if ProcessTable.entry(pid)?.startTime != expected.startTime { return nil }
    }

    deinit { close(pidfd) }

    /// Sends a signal. A process that has ended is no error.
    public func signal(_ number: Int32) throws(SystemError) {
        do {
            try system("pidfd_send_signal", "process \(pid)") { clinux_pidfd_send_signal(pidfd, number) }
        } catch {
            if error.code != ESRCH { throw error }
        }
    }

    /// Whether the process has ended (a zombie has).
    public var hasEnded: Bool {
        var look = pollfd(fd: pidfd, events: Int16(POLLIN), revents: 0)
        return poll(&look, 1, 0) > 0
    }

    /// Waits for the end of the process (a zombie has ended).
    ///
    /// - Parameter deadline: of `BootClock`.
    /// - Returns: false when it still runs then.
    public func waitUntilGone(until deadline: Int64) -> Bool {
        while true {
            let left = max(0, (deadline - BootClock.now() + 999_999) / 1_000_000)
            var wait = pollfd(fd: pidfd, events: Int16(POLLIN), revents: 0)
            if poll(&wait, 1, Int32(clamping: left)) > 0 { return true }
            if BootClock.now() >= deadline { return false }
        }
    }
}

extension ProcessTable {
    /// The living children of a process.
    public static func children(of parent: Int32) throws(SystemError) -> [Entry] {
        var found: [Entry] = []
        for name in try Files.list("/proc") {
            guard let pid = Int32(name), let entry = entry(pid) else { continue }
            if entry.parent == parent, entry.state != "Z" { found.append(entry) }
        }
        return found
    }

    /// What a process says of itself in its command line; Postgres writes its role there. Empty when it is
    /// gone.
    public static func title(of pid: Int32) -> String {
        guard let bytes = try? Files.readAll("/proc/\(pid)/cmdline", limit: 1 << 20) else { return "" }
        let words = bytes.split(separator: 0).map { String(decoding: $0, as: UTF8.self) }
        return words.joined(separator: " ")
    }

    /// Whether the process works in `directory` now.
    public static func isIn(_ directory: String, _ pid: Int32) -> Bool {
        var wanted = stat()
        var working = stat()
        return stat(directory, &wanted) == 0 && stat("/proc/\(pid)/cwd", &working) == 0
            && wanted.st_dev == working.st_dev && wanted.st_ino == working.st_ino
    }
}
