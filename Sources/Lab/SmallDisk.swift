internal import FoundationEssentials
internal import Glibc
internal import Platform

/// A small file system in the place of a directory, which can be filled up and made read-only. For root.
///
/// What the directory held is in it, and its owner stays. It goes with the directory when a laboratory is
/// cleared, and with `remove`.
public struct SmallDisk: Sendable {
    public let path: String

    /// - Parameter kilobytes: enough for what is there now, and little more.
    public init(at path: String, kilobytes: Int) throws {
        self.path = path
        let owner = try Files.owner(of: path)
        let aside = path + ".aside"
        try Tool.run(["cp", "-a", path, aside])
        try Tool.run(["mount", "-t", "tmpfs", "-o", "size=\(kilobytes)k,mode=0755", "small", path])
        for name in try Files.list(aside) { try Tool.run(["cp", "-a", "\(aside)/\(name)", path]) }
        try FileManager.default.removeItem(atPath: aside)
        if chown(path, owner.uid, owner.gid) != 0 { throw LabError("chown \(path): \(errorText())") }
    }

    private var filler: String { path + "/filler" }

    /// Takes all the room that is left.
    public func fill() throws {
        let file = open(filler, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o600)
        if file < 0 { throw LabError("open \(filler): \(errorText())") }
        defer { close(file) }
        let page = [UInt8](repeating: 0, count: 4096)
        while write(file, page, page.count) > 0 {}
        if errno != ENOSPC { throw LabError("write \(filler): \(errorText())") }
    }

    public func makeRoom() throws { try FileManager.default.removeItem(atPath: filler) }

    /// While nobody has a file open for writing there.
    public func makeReadOnly(_ isReadOnly: Bool) throws {
        try Tool.run(["mount", "-o", "remount,\(isReadOnly ? "ro" : "rw")", path])
    }

    /// Takes the file system away; what the directory itself held is there again.
    public func remove() throws { try Tool.run(["umount", "--lazy", path]) }

    /// Everything that is mounted below a directory.
    static func removeAll(below directory: String) throws {
        let mounts = (readText("/proc/self/mounts") ?? "").split(whereSeparator: \.isNewline)
        for line in mounts.reversed() {
            let fields = line.split(separator: " ")
            guard fields.count > 1, fields[1].hasPrefix(directory + "/") else { continue }
            try Tool.run(["umount", "--lazy", String(fields[1])])
        }
    }
}

extension HerdNode {
    /// Takes the agent's right to write its state away, or gives it back.
    public func makeStateReadOnly(_ isReadOnly: Bool) throws {
        for slot in ["state.a", "state.b"] {
            let path = "\(stateDirectory)/\(slot)"
            if chmod(path, isReadOnly ? 0o400 : 0o600) != 0 {
                throw LabError("chmod \(path): \(errorText())")
            }
        }
    }
}
