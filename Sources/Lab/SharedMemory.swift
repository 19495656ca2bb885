internal import FoundationEssentials
internal import Glibc
internal import Platform

/// The shared memory of processes that are about to be killed.
///
/// A Postgres that ends takes its own away; one that is killed leaves it to the next start in the same data
/// directory. Where there is none, it would stay until the machine reboots: a lost machine has lost it too.
struct SharedMemory {
    private static let posixPrefix = "/dev/shm/PostgreSQL."
    private(set) var users: [Processes.Entry] = []
    private var files: Set<String> = []

    /// Remembers living processes, and what they have mapped (POSIX); each is looked at once.
    mutating func note(_ processes: [Processes.Entry]) {
        let new = processes.filter { !users.contains($0) }
        if new.isEmpty { return }
        users += new
        for process in new { files.formUnion(SharedMemory.mapped(by: process)) }
    }

    /// What the noted had mapped (POSIX) or made (System V) and is still there, used by nobody.
    var left: (segments: [Int32], files: [String]) {
        let creators = Set(users.map(\.pid))
        let segments = SharedMemory.systemV().filter { creators.contains($0.creator) && $0.users == 0 }
        return (segments.map(\.id), files.sorted().filter { access($0, F_OK) == 0 })
    }

    /// For when all of the noted are dead.
    func remove() {
        let left = left
        for segment in left.segments { shmctl(segment, IPC_RMID, nil) }
        for file in left.files { unlink(file) }
    }

    /// None for a process that has ended meanwhile: the others of its Postgres have what it had.
    private static func mapped(by process: Processes.Entry) -> [String] {
        let maps = (readText("/proc/\(process.pid)/maps") ?? "").split(separator: "\n")
        // The path is the last of six fields.
        return maps.compactMap { line in
            line.split(separator: " ", maxSplits: 5).last.map { String($0.drop { $0 == " " }) }
        }.filter { $0.hasPrefix(posixPrefix) }
    }

    private struct Segment {
        var id: Int32
        var creator: Int32
        var users: Int
    }

    /// The kernel's table: key, id, permissions, size, creator, last user, number of users…
    private static func systemV() -> [Segment] {
        (readText("/proc/sysvipc/shm") ?? "").split(separator: "\n").dropFirst().compactMap { line in
            let fields = line.split(separator: " ")
            guard fields.count > 6, let id = Int32(fields[1]), let creator = Int32(fields[4]),
                let users = Int(fields[6])
            else { return nil }
            return Segment(id: id, creator: creator, users: users)
        }
    }
}
