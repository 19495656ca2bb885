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

    /// Kills every process of this laboratory, deletes its namespaces and its directory.
    func clear() throws {
        let namespaces = Network.namespaces(tagged: tag)
        let inodes = namespaces.compactMap { Processes.inode("/run/netns/\($0)") }
        try Processes.killAll(Processes.Marks(directory: directory, networkNamespaces: inodes))
        Network.remove(namespaces: namespaces)
        try FileManager.default.removeItem(atPath: directory)
    }
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

    /// A new laboratory that belongs to this process. Leftovers of dead owners are cleared first.
    static func claim(_ machine: Machine) throws -> Claim {
        Interrupt.watch()
        sweep()
        let number = state.withLock { state in
            state.made += 1
            return state.made
        }
        let tag = "ml\(String(getpid(), radix: 36))\(String(number, radix: 36))"
        let claim = Claim(directory: "\(Claim.prefix)\(getpid())-\(number)", tag: tag)
        if mkdir(claim.directory, 0o755) != 0 { throw LabError("mkdir \(claim.directory): \(errorText())") }
        chmod(claim.directory, 0o755)
        state.withLock { _ = $0.open.insert(claim) }
        let started = ProcessTable.entry(getpid())?.startTime ?? 0
        try Data("\(getpid()) \(started) \(tag)\n".utf8).write(to: URL(filePath: claim.directory + "/owner"))
        return claim
    }

    static func release(_ claim: Claim) throws {
        try claim.clear()
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

    /// The kept laboratories, for `matriarch-lab stop`.
    public static func stopKept() -> [String] {
        let kept = found().map(\.0).filter(isKept)
        kept.forEach(clear)
        return kept.map(\.directory)
    }

    private static func clear(_ claim: Claim) {
        do {
            try claim.clear()
        } catch {
            complain("matriarch-lab: \(claim.directory) could not be cleared: \(error)")
        }
    }

    private static func isKept(_ claim: Claim) -> Bool {
        FileManager.default.fileExists(atPath: claim.directory + "/kept")
    }

    private struct Owner {
        var pid: Int32
        var started: UInt64
        var isAlive: Bool { ProcessTable.entry(pid)?.startTime == started }
    }

    private static func found() -> [(Claim, Owner)] {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: "/tmp")) ?? []
        let directories = names.map { "/tmp/\($0)" }.filter { $0.hasPrefix(Claim.prefix) }.sorted()
        return directories.compactMap { directory in
            // Another user's laboratory is his to clear.
            guard let owner = try? Files.owner(of: directory), owner.uid == geteuid() else { return nil }
            let words = (readText(directory + "/owner") ?? "").split(whereSeparator: \.isWhitespace)
            guard words.count == 3, let pid = Int32(words[0]), let started = UInt64(words[1]) else {
                return nil
            }
            return (Claim(directory: directory, tag: String(words[2])), Owner(pid: pid, started: started))
        }
    }
}

/// Clears up when a person presses Ctrl-C or something ends us by SIGTERM or SIGHUP.
enum Interrupt {
    private static let signals = [SIGINT, SIGTERM, SIGHUP]
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
        for number in signals { signal(number, handler) }
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
