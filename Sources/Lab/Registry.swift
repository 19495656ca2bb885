internal import FoundationEssentials
internal import Glibc
internal import Platform
internal import Synchronization

/// What one laboratory owns on this machine: a directory, and namespaces whose names begin with its tag.
///
/// All that clearing needs is found by these two, so that anybody can clear what a dead owner left.
public struct Claim: Hashable, Sendable {
    /// /tmp is short enough for unix sockets below it (107 bytes) and open to the Postgres user.
    static let prefix = "/tmp/matriarch-lab-"
    public let directory: String
    /// Interface names are 15 bytes at most, so this is 9 at most.
    public let tag: String

    /// Both names follow from who owns it, so that a directory alone tells what else there is to clear.
    init(pid: Int32, number: Int) {
        directory = "\(Claim.prefix)\(pid)-\(number)"
        tag = "ml\(String(pid, radix: 36))\(String(number, radix: 36))"
    }

    /// Kills every process of this laboratory, deletes its namespaces and its directory.
    func clear() throws {
        let namespaces = Network.namespaces(tagged: tag)
        let inodes = namespaces.compactMap { Processes.inode("/run/netns/\($0)") }
        try Processes.killAll(Processes.Marks(directory: directory, networkNamespaces: inodes))
        Network.remove(namespaces: namespaces)
        try SmallDisk.removeAll(below: directory)
        try removeDirectory()
    }

    /// Again when a file came or went meanwhile: what still ran a moment ago may have made it.
    private func removeDirectory() throws {
        let manager = FileManager.default
        var attempts = 0
        while manager.fileExists(atPath: directory) {
            do { try manager.removeItem(atPath: directory) } catch {
                attempts += 1
                if attempts == Claim.removalAttempts { throw error }
                pause(.milliseconds(10))
            }
        }
    }

    private static let removalAttempts = 20
}

/// Knows every laboratory on this machine by the directories in /tmp, living, kept and left behind.
public enum Registry {
    private struct State {
        var open: Set<Claim> = []
        var made = 0
        /// Set when an interrupt clears up: nothing may be started any more.
        var closing = false
    }

    private static let state = Mutex(State())
    /// One clears at a time: an interrupt may come while the herd is being destroyed anyway.
    private static let clearing = Mutex(())

    /// A new laboratory that belongs to this process. Leftovers of dead owners are cleared first.
    static func claim(_ machine: Machine) throws -> Claim {
        Interrupt.watch()
        sweep()
        let number = state.withLock { state in
            state.made += 1
            return state.made
        }
        let claim = Claim(pid: getpid(), number: number)
        if mkdir(claim.directory, 0o755) != 0 { throw LabError("mkdir \(claim.directory): \(errorText())") }
        chmod(claim.directory, 0o755)
        state.withLock { _ = $0.open.insert(claim) }
        let started = ProcessTable.entry(getpid())?.startTime ?? 0
        let owner = "\(getpid()) \(started) \(claim.tag)\n"
        try Data(owner.utf8).write(to: URL(filePath: claim.directory + "/owner"))
        return claim
    }

    static func release(_ claim: Claim) throws {
        try clearing.withLock { _ in try claim.clear() }
        state.withLock { _ = $0.open.remove(claim) }
    }

    /// Leaves the laboratory running when this process ends; `matriarch-lab stop` clears it later.
    static func keep(_ claim: Claim) throws {
        try Data("kept\n".utf8).write(to: URL(filePath: claim.directory + "/kept"))
        state.withLock { _ = $0.open.remove(claim) }
    }

    /// Runs what starts a process, unless an interrupt is clearing up: nothing may slip in behind it.
    static func whileOpen<Result>(_ body: () throws -> Result) throws -> Result {
        try state.withLock { state in
            if state.closing { throw LabError("interrupted") }
            return try body()
        }
    }

    /// Never returns once an interrupt is clearing up: what the interrupted thread does then is of no use.
    public static func giveWay() {
        while state.withLock({ $0.closing }) { pause(.seconds(1)) }
    }

    /// Clears all that this process owns; what fails is told on stderr.
    static func clearAll() {
        let claims = state.withLock { state in
            state.closing = true
            return state.open
        }
        for claim in claims { clear(claim) }
    }

    /// Clears what dead owners left behind.
    public static func sweep() {
        for (claim, owner) in found() where !owner.isAlive && !isKept(claim) { clear(claim) }
    }

    /// Clears the kept laboratories and what dead owners left behind, for `matriarch-lab stop`.
    public static func stopLeft() -> [String] {
        let left = found().filter { isKept($0) || !$1.isAlive }.map(\.0)
        left.forEach(clear)
        return left.map(\.directory)
    }

    private static func clear(_ claim: Claim) {
        do {
            try clearing.withLock { _ in try claim.clear() }
        } catch {
            complain("matriarch-lab: \(claim.directory) could not be cleared: \(error)")
        }
    }

    private static func isKept(_ claim: Claim) -> Bool {
        FileManager.default.fileExists(atPath: claim.directory + "/kept")
    }

    private struct Owner {
        var pid: Int32
        /// Nil when it was not written down, or is gone already: then the number alone must do.
        var started: UInt64?

        var isAlive: Bool {
            guard let process = ProcessTable.entry(pid) else { return false }
            return started.map { $0 == process.startTime } ?? true
        }
    }

    private static func found() -> [(Claim, Owner)] {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: "/tmp")) ?? []
        let directories = names.map { "/tmp/\($0)" }.filter { $0.hasPrefix(Claim.prefix) }.sorted()
        return directories.compactMap { directory in
            // Another user's laboratory is his to clear.
            guard let owner = try? Files.owner(of: directory), owner.uid == geteuid() else { return nil }
            let numbers = directory.dropFirst(Claim.prefix.count).split(separator: "-")
            guard numbers.count == 2, let pid = Int32(numbers[0]), let number = Int(numbers[1]) else {
                return nil
            }
            let words = (readText(directory + "/owner") ?? "").split(whereSeparator: \.isWhitespace)
            let started = words.count == 3 ? UInt64(words[1]) : nil
            return (Claim(pid: pid, number: number), Owner(pid: pid, started: started))
        }
    }
}

/// Clears up when a person presses Ctrl-C, something ends us by SIGTERM or SIGHUP, or nobody reads any more
/// what we write (SIGPIPE).
enum Interrupt {
    private static let signals = [SIGINT, SIGTERM, SIGHUP, SIGPIPE]
    private static let started = Mutex(false)

    static func watch() {
        let first = started.withLock { started in
            defer { started = true }
            return !started
        }
        guard first else { return }
        var ends: [Int32] = [-1, -1]
        guard pipe(&ends) == 0 else { return complain("matriarch-lab: pipe: \(errorText())") }
        interruptPipe.store(ends[1], ordering: .relaxed)
        let reading = ends[0]
        do {
            try Thread.start(name: "interrupt") { wait(on: reading) }
        } catch {
            return complain("matriarch-lab: no clearing up on Ctrl-C: \(error)")
        }
        for number in signals where !(number == SIGPIPE && isIgnored(number)) { signal(number, handler) }
        // Herds that live as long as the process, such as one shared by tests.
        atexit { Registry.clearAll() }
    }

    private static func wait(on descriptor: Int32) {
        var number: UInt8 = 0
        while read(descriptor, &number, 1) != 1 {}
        complain("matriarch-lab: interrupted, clearing up")
        Registry.clearAll()
        _exit(128 + Int32(number))
    }

    /// A host that handles broken pipes as errors must not die of one.
    private static func isIgnored(_ number: Int32) -> Bool {
        var present = sigaction()
        guard sigaction(number, nil, &present) == 0, let chosen = present.__sigaction_handler.sa_handler
        else { return false }
        return unsafeBitCast(chosen, to: Int.self) == unsafeBitCast(SIG_IGN, to: Int.self)
    }

    /// May only do what is safe in a signal handler: one write to a pipe.
    private static let handler: @convention(c) (Int32) -> Void = { number in
        var byte = UInt8(truncatingIfNeeded: number)
        _ = write(interruptPipe.load(ordering: .relaxed), &byte, 1)
    }
}

private let interruptPipe = Atomic<Int32>(-1)

func complain(_ text: String) {
    let line = text + "\n"
    _ = line.withCString { write(STDERR_FILENO, $0, strlen($0)) }
}
