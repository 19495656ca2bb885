import Glibc
import Platform
import TestSupport
import Testing

/// Keeps one process from running and from dying, through a cgroup of its own (version 1): as a process is
/// that hangs in the kernel on a bad disk.
final class Freezer {
    private static let root = "/sys/fs/cgroup/freezer"
    static var isAvailable: Bool { Files.exists(root + "/cgroup.procs") }

    private let group: String

    init(_ pid: Int32) throws {
        group = "\(Self.root)/matriarch-test-\(getpid())"
        try Files.makeDirectory(group, mode: 0o755)
        try Self.put("\(pid)", into: group + "/cgroup.procs")
        try Self.put("FROZEN", into: group + "/freezer.state")
        waitUntil("process \(pid) is frozen") {
            (try? Files.readText(group + "/freezer.state")) == "FROZEN\n"
        }
    }

    deinit {
        try? thaw()
        waitUntil("the cgroup is empty") { rmdir(group) == 0 || errno == ENOENT }
    }

    func thaw() throws { try Self.put("THAWED", into: group + "/freezer.state") }

    private static func put(_ text: String, into path: String) throws(SystemError) {
        let fd = try system("open", path) { open(path, O_WRONLY | O_CLOEXEC) }
        defer { close(fd) }
        try system("write", path) { write(fd, text, text.utf8.count) }
    }
}
