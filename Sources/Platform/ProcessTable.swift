internal import CLinux
internal import Glibc

/// The machine's processes as /proc shows them: our own way to find and end a Postgres when the guard is
/// gone.
///
/// A process of Postgres is known by its working directory, the data directory, which a number read from
/// postmaster.pid cannot prove.
public enum ProcessTable {
    public struct Entry: Equatable, Sendable {
        public let pid: Int32
        public let uid: UInt32
        public let parent: Int32
        /// Clock ticks since boot; with the pid it names a process for ever.
        public let startTime: UInt64
        /// The state letter: R, S, D (uninterruptible), Z (dead, not yet waited for), T…
        public let state: Character
        public let command: String

        /// What names the process for ever.
        public struct Name: Hashable, Sendable {
            public let pid: Int32
            public let startTime: UInt64
        }

        public var name: Name { Name(pid: pid, startTime: startTime) }
    }

    /// Processes survive `killAll`: they sit in the kernel (state D) or are not ours to end.
    public struct Survivors: Error, CustomStringConvertible {
        public let directory: String
        public let processes: [Entry]
        public var description: String {
            let list = processes.map { "\($0.pid) (\($0.command), state \($0.state), uid \($0.uid))" }
            return "processes in \(directory) cannot be ended: \(list.joined(separator: ", "))"
        }
    }

    /// One process; nil when there is none of that number.
    public static func entry(_ pid: Int32) -> Entry? {
        guard let text = try? Files.readText("/proc/\(pid)/stat", limit: 4096) else { return nil }
        guard let owner = try? Files.owner(of: "/proc/\(pid)") else { return nil }
        // "pid (command) state ppid …": the command may hold blanks and parentheses, so it ends at the last
        // one.
        guard let open = text.firstIndex(of: "("), let close = text.lastIndex(of: ")"), open < close else {
            return nil
        }
        let fields = text[text.index(after: close)...].split(separator: " ")
        guard fields.count > 19, let state = fields[0].first, let parent = Int32(fields[1]),
            let start = UInt64(fields[19])
        else { return nil }
        let command = String(text[text.index(after: open)..<close])
        return Entry(
            pid: pid, uid: owner.uid, parent: parent, startTime: start, state: state, command: command)
    }

    /// All living processes whose working directory is `directory`; the dead that nobody has waited for are
    /// left out.
    ///
    /// Others' working directories are hidden from an ordinary user: it sees its own processes only.
    public static func processes(inDirectory directory: String) throws(SystemError) -> [Entry] {
        var wanted = stat()
        try system("stat", directory) { stat(directory, &wanted) }
        var found: [Entry] = []
        for name in try Files.list("/proc") {
            guard let pid = Int32(name) else { continue }
            var working = stat()
            guard stat("/proc/\(pid)/cwd", &working) == 0 else { continue }
            guard working.st_dev == wanted.st_dev, working.st_ino == wanted.st_ino else { continue }
            if let entry = entry(pid), entry.state != "Z" { found.append(entry) }
        }
        return found
    }

    /// Ends every process of user `uid` in `directory` and returns when none is left: the proof that Postgres
    /// is dead.
    ///
    /// All are stopped first, so that none commits or forks while the others are ended. Looks again until a
    /// whole pass finds nothing. Must not be called by a process that has this working directory itself.
    ///
    /// - Parameter deadline: of `BootClock`.
    /// - Returns: how many were signalled.
    /// - Throws: `Survivors` when some are left at the deadline; Postgres must then be taken for alive.
    @discardableResult
    public static func killAll(inDirectory directory: String, uid: UInt32, until deadline: Int64) throws
        -> Int
    {
        var signalled: Set<Int32> = []
        while true {
            let alive = try processes(inDirectory: directory).filter { $0.pid != getpid() }
            let ours = alive.filter { $0.uid == uid }
            if ours.isEmpty { return signalled.count }
            if BootClock.now() >= deadline { throw Survivors(directory: directory, processes: ours) }
            for signal in [SIGSTOP, SIGKILL] {
                for entry in ours { try send(signal, to: entry) }
            }
            signalled.formUnion(ours.map(\.pid))
            usleep(1000)
        }
    }

    /// Signals that very process, not another that got its number.
    private static func send(_ signal: Int32, to entry: Entry) throws(SystemError) {
        let pidfd = clinux_pidfd_open(entry.pid)
        if pidfd < 0, errno == ESRCH { return }
        try system("pidfd_open", "process \(entry.pid)") { pidfd }
        defer { close(pidfd) }
        guard self.entry(entry.pid)?.startTime == entry.startTime else { return }
        do {
            try system("pidfd_send_signal", "process \(entry.pid)") {
                clinux_pidfd_send_signal(pidfd, signal)
            }
        } catch {
            if error.code != ESRCH { throw error }
        }
    }
}
