internal import Glibc
internal import Platform

/// The guard as a worker sees it: one short connection per request, under the agent's own session.
public struct GuardDoor: Sendable {
    public let socketPath: String
    /// The session that the agent's control thread has said hello with: the guard obeys the newest one only.
    public let session: Int64

    public init(socketPath: String, session: Int64) {
        self.socketPath = socketPath
        self.session = session
    }

    func state() throws -> GuardState { try ask(.state).state }

    func ask(_ request: GuardRequest) throws -> GuardAnswer {
        try GuardClient(socketPath: socketPath, session: session).request(request)
    }

    /// - Returns: the state after the start.
    func start(standby: Bool, _ arguments: [String], _ environment: [String: String]) throws -> GuardState {
        let answer = try ask(.start(standby: standby, arguments: arguments, environment: environment))
        if case .refused(let state, let reason, let explanation) = answer {
            if reason == "running" { return state }
            throw PostgresError.refused("starting Postgres", explanation)
        }
        return answer.state
    }

    /// - Returns: whether nothing of Postgres was left by the deadline.
    func awaitDeath(until deadline: Int64) throws -> Bool {
        while true {
            if try state().postmaster == nil { return true }
            if Deadline.isPast(deadline) { return false }
            Deadline.pause(.milliseconds(5))
        }
    }
}

/// The running postmaster, proven to be the one of our data directory.
struct Postmaster {
    let site: PostgresSite
    let entry: ProcessTable.Entry

    /// By postmaster.pid, which alone proves nothing: the number may have passed to another process.
    static func find(_ site: PostgresSite) -> Postmaster? {
        guard let text = try? Files.readText(site.data("postmaster.pid"), limit: 4096),
            let first = text.split(separator: "\n").first, let pid = Int32(first)
        else { return nil }
        return Postmaster(site, pid: pid)
    }

    /// - Returns: nil when the process does not run, or not in our data directory.
    init?(_ site: PostgresSite, pid: Int32) {
        guard let entry = ProcessTable.entry(pid), entry.state != "Z",
            ProcessTable.isIn(site.dataDirectory, pid)
        else { return nil }
        self.site = site
        self.entry = entry
    }

    var isRunning: Bool { ProcessTable.entry(entry.pid)?.startTime == entry.startTime }

    func signal(_ number: Int32) throws(SystemError) { try ProcessHandle(entry)?.signal(number) }

    /// Processes that receive WAL, or are about to.
    func walReceivers() throws(SystemError) -> [ProcessTable.Entry] {
        let titles = ["postgres: walreceiver", "postgres: \(site.clusterName): walreceiver"]
        return try ProcessTable.children(of: entry.pid).filter { child in
            let title = ProcessTable.title(of: child.pid)
            return titles.contains { title.hasPrefix($0) }
        }
    }

    /// How long a walreceiver may take to end by itself; one in the middle of an fsync takes its time.
    private static let patience = Duration.seconds(1)
    /// One forked a moment before shows its title only after this.
    private static let secondLook = Duration.milliseconds(20)

    /// Ends every walreceiver and waits until it is gone.
    ///
    /// One that does not obey is killed; Postgres then ends as a whole, and is started again by its agent.
    ///
    /// - Parameter meanwhile: done while the first ones end.
    func endWALReceivers(meanwhile: () throws -> Void = {}) throws {
        let lookAgain = Deadline.after(Self.secondLook)
        let first = try askToEnd()
        try meanwhile()
        try awaitEnd(first)
        Deadline.pause(.nanoseconds(max(0, lookAgain - BootClock.now())))
        try awaitEnd(try askToEnd())
    }

    private func askToEnd() throws -> [ProcessHandle] {
        let handles = try walReceivers().compactMap { try ProcessHandle($0) }
        for handle in handles { try handle.signal(SIGTERM) }
        return handles
    }

    private func awaitEnd(_ receivers: [ProcessHandle]) throws {
        for handle in receivers where !handle.waitUntilGone(until: Deadline.after(Self.patience)) {
            Log.warning("the walreceiver does not end: killing it", [("pid", String(handle.pid))])
            try handle.signal(SIGKILL)
            guard handle.waitUntilGone(until: Deadline.after(Self.patience)) else {
                throw PostgresError.refused(
                    "ending the walreceiver", "process \(handle.pid) can't be killed")
            }
        }
    }
}
