internal import Consensus
internal import Glibc
internal import Platform
internal import Supervision

/// Stopping within a bound (docs/internals/postgres.md: Stopping).
extension OrderRun {
    /// What the guard needs for a kill after its bound.
    static let killPatience = Duration.seconds(5)

    func stop(_ bound: Duration) throws {
        if let pid = try door.state().postmaster {
            let milliseconds = UInt32(clamping: max(0, bound.milliseconds))
            let begun = BootClock.now()
            _ = try door.ask(.stop(.fast, boundMilliseconds: milliseconds))
            var stragglers = Stragglers(site: site, postmaster: pid)
            try awaitEnd(until: Deadline.after(bound + Self.killPatience)) {
                for text in stragglers.hurry() { note(text) }
            }
            if BootClock.now() - begun >= bound.nanoseconds, !stragglers.left.isEmpty {
                let names = stragglers.left.joined(separator: ", ")
                note("Postgres did not stop within \(milliseconds) ms and was ended; left were: \(names)")
            }
        }
        try gate.close()
    }

    private func awaitEnd(until deadline: Int64, _ meanwhile: () -> Void) throws {
        var nextLook = Deadline.after(Stragglers.patience)
        while try door.state().postmaster != nil {
            guard !Deadline.isPast(deadline) else {
                throw PostgresError(.timedOut, "stopping Postgres", "processes are left that can't be ended")
            }
            if Deadline.isPast(nextLook) {
                meanwhile()
                nextLook = Deadline.after(Stragglers.interval)
            }
            Deadline.pause(.milliseconds(5))
        }
    }
}

/// Those whom a stop waits for though nothing depends on them any more.
///
/// A fast stop waits for the archiver, and for every walsender until its standby has confirmed all. Once the
/// shutdown checkpoint is on disk, an archive command that hangs and a standby that is frozen only keep the
/// others from going on.
struct Stragglers {
    let site: PostgresSite
    let postmaster: Int32
    /// Who was there at the last look, as Postgres calls them.
    private(set) var left: [String] = []
    private var isWritten = false
    private var titles: [Int32: (title: String, since: Int64)] = [:]
    /// Who was asked to end, and when.
    private var hurried: [Int32: Int64] = [:]

    init(site: PostgresSite, postmaster: Int32) {
        self.site = site
        self.postmaster = postmaster
    }

    /// A stop that takes less is left alone.
    static let patience = Duration.seconds(1)
    static let interval = Duration.milliseconds(250)
    /// How long a walsender may send nothing, and then not end.
    private static let stall: Int64 = 1_000_000_000

    /// Ends who holds the stop up for nothing.
    ///
    /// - Returns: what was done, for people.
    mutating func hurry() -> [String] {
        guard let children = try? ProcessTable.children(of: postmaster) else { return [] }
        let named = children.map { ($0, role($0)) }
        left = named.map(\.1)
        if !isWritten { isWritten = hasShutdownCheckpoint }
        guard isWritten else { return [] }
        let senders = named.filter { $0.1.hasPrefix("walsender") }
        var words = named.filter { $0.1.hasPrefix("archiver") }.compactMap { hurryArchiver($0.0) }
        words += senders.compactMap { hurryWalsender($0.0, $0.1) }
        // One that can't even say farewell, because nobody reads, does not obey. Killing it ends the others.
        if senders.allSatisfy({ isDeaf($0.0) }) { for (sender, _) in senders { send(SIGKILL, to: sender) } }
        return words
    }

    private var hasShutdownCheckpoint: Bool {
        guard let control = try? ControlData.read(site) else { return false }
        return control.state == .shutDown || control.state == .shutDownInRecovery
    }

    /// "walsender repluser 10.0.0.2(5555) streaming 0/5000148", without what comes before it in the title.
    private func role(_ child: ProcessTable.Entry) -> String {
        var title = ProcessTable.title(of: child.pid)
        for prefix in ["postgres: ", "\(site.clusterName): "] where title.hasPrefix(prefix) {
            title.removeFirst(prefix.count)
        }
        return title.split(separator: " ").joined(separator: " ")
    }

    /// The command is ended, not the archiver: it keeps the file for after the next start.
    private mutating func hurryArchiver(_ archiver: ProcessTable.Entry) -> String? {
        let commands = (try? ProcessTable.children(of: archiver.pid)) ?? []
        var isFirst = false
        for command in commands {
            let number = hurried[command.pid] == nil ? SIGTERM : SIGKILL
            isFirst = isFirst || number == SIGTERM
            hurried[command.pid] = BootClock.now()
            send(number, to: command)
        }
        return isFirst ? "archive_command hangs and is ended, so that Postgres can stop" : nil
    }

    private mutating func hurryWalsender(_ sender: ProcessTable.Entry, _ role: String) -> String? {
        let now = BootClock.now()
        guard let known = titles[sender.pid], known.title == role else {
            titles[sender.pid] = (role, now)
            return nil
        }
        guard now - known.since >= Self.stall, hurried[sender.pid] == nil else { return nil }
        hurried[sender.pid] = now
        send(SIGTERM, to: sender)
        return "the standby of \(role) confirms nothing: it is not waited for"
    }

    private func isDeaf(_ sender: ProcessTable.Entry) -> Bool {
        hurried[sender.pid].map { BootClock.now() - $0 >= Self.stall } ?? false
    }

    private func send(_ number: Int32, to process: ProcessTable.Entry) {
        do { try ProcessHandle(process)?.signal(number) } catch {
            Log.warning("a process that holds up the stop can't be ended", [("reason", error.description)])
        }
    }
}
