internal import FoundationEssentials
internal import Glibc
public import Platform

/// Finds and signals processes by what they are (namespace, directory, ancestry), never by name.
public enum Processes {
    public typealias Entry = ProcessTable.Entry

    /// What makes a process part of one node.
    public struct Marks: Sendable {
        /// Working directory, arguments or marker variable name a path below it.
        public var directory: String
        /// The inodes of network namespaces whose every process counts.
        public var networkNamespaces: [UInt64]

        public init(directory: String, networkNamespaces: [UInt64] = []) {
            self.directory = directory
            self.networkNamespaces = networkNamespaces
        }
    }

    /// Given to every program of a node, so that what it starts is known as its own.
    public static let marker = "HERD_LABORATORY_NODE"

    /// Every living process of a node, descendants included, this process never.
    public static func belonging(to marks: Marks) -> [Entry] {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? []
        let everyone = names.compactMap { Int32($0) }.sorted().filter { $0 != getpid() }
            .compactMap(ProcessTable.entry).filter { $0.state != "Z" }
        var chosen = Set(everyone.map(\.pid).filter { matches($0, marks) })
        var grown = true
        while grown {
            let children = everyone.map { ($0.pid, $0.parent) }
                .filter { chosen.contains($0.1) && !chosen.contains($0.0) }
            chosen.formUnion(children.map(\.0))
            grown = !children.isEmpty
        }
        return everyone.filter { chosen.contains($0.pid) }
    }

    /// Whether that very process is still there (dead ones that nobody has reaped are not).
    public static func isAlive(_ process: Entry) -> Bool {
        guard let now = ProcessTable.entry(process.pid) else { return false }
        return now.startTime == process.startTime && now.state != "Z"
    }

    /// Signals a process that was seen before, unless it has ended since.
    public static func signal(_ number: Int32, _ process: Entry) {
        if isAlive(process) { kill(process.pid, number) }
    }

    /// SIGKILLs everything that belongs to the node until nothing does; its shared memory goes too.
    ///
    /// - Throws: when something outlives the limit (a process in an uninterruptible wait).
    public static func killAll(_ marks: Marks, within limit: Duration = .seconds(20)) throws {
        let deadline = Moment.current + limit
        var memory = SharedMemory()
        while true {
            // One that is ending has no environment any more, by which it was known, but still its memory.
            let left = belonging(to: marks) + memory.users.filter(isAlive)
            if left.isEmpty { return memory.remove() }
            memory.note(left)
            if .current > deadline {
                throw LabError("processes of \(marks.directory) outlive SIGKILL: \(left.map(describe))")
            }
            left.forEach { signal(SIGKILL, $0) }
            pause(.milliseconds(5))
        }
    }

    public static func arguments(_ pid: Int32) -> [String] {
        (readText("/proc/\(pid)/cmdline") ?? "").split(separator: "\0").map(String.init)
    }

    static func describe(_ process: Entry) -> String {
        "\(process.pid) [\(process.state)] \(arguments(process.pid).joined(separator: " "))"
    }

    private static func matches(_ pid: Int32, _ marks: Marks) -> Bool {
        if !marks.networkNamespaces.isEmpty, let inode = inode("/proc/\(pid)/ns/net"),
            marks.networkNamespaces.contains(inode)
        {
            return true
        }
        let below = marks.directory + "/"
        if (link("/proc/\(pid)/cwd") + "/").hasPrefix(below) { return true }
        if (readText("/proc/\(pid)/environ") ?? "").contains("\(marker)=\(below)") { return true }
        // Our own programs carry the node's paths in their arguments; anybody's editor may do so too.
        let executable = link("/proc/\(pid)/exe")
        return executable.hasPrefix(Claim.prefix) && arguments(pid).contains { $0.contains(below) }
    }

    /// The program that a process runs, as a path.
    static func executable(_ pid: Int32) -> String { link("/proc/\(pid)/exe") }

    private static func link(_ path: String) -> String {
        (try? FileManager.default.destinationOfSymbolicLink(atPath: path)) ?? ""
    }

    static func inode(_ path: String) -> UInt64? {
        var status = stat()
        return stat(path, &status) == 0 ? UInt64(status.st_ino) : nil
    }
}
