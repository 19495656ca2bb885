internal import Glibc
internal import Platform

extension Files {
    /// Writes a text file durably unless it holds this text already.
    ///
    /// - Returns: whether it was written.
    @discardableResult
    static func replaceIfDifferent(_ path: String, _ text: String) throws(SystemError) -> Bool {
        if let old = try? readText(path), old == text { return false }
        try replaceDurably(path, Array(text.utf8))
        return true
    }

    /// Some bytes in the middle of a file; fewer where it ends before.
    static func read(_ path: String, at offset: UInt64, count: Int) throws(SystemError) -> [UInt8] {
        let fd = try system("open", path) { open(path, O_RDONLY | O_CLOEXEC) }
        defer { close(fd) }
        var bytes = [UInt8](repeating: 0, count: count)
        let got = try system("pread", path) { pread(fd, &bytes, count, off_t(offset)) }
        return Array(bytes[..<got])
    }

    /// Copies a file, flushed when this returns; the new name is not.
    static func copyDurably(_ source: String, to target: String) throws(SystemError) {
        let from = try system("open", source) { open(source, O_RDONLY | O_CLOEXEC) }
        defer { close(from) }
        let to = try system("open", target) { open(target, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600) }
        defer { close(to) }
        var buffer = [UInt8](repeating: 0, count: 1 << 20)
        while true {
            let count = try system("read", source) { Glibc.read(from, &buffer, buffer.count) }
            if count == 0 { break }
            var written = 0
            while written < count {
                written += try system("write", target) {
                    buffer.withUnsafeBytes { bytes in
                        write(to, bytes.baseAddress.map { $0 + written }, count - written)
                    }
                }
            }
        }
        try system("fsync", target) { fsync(to) }
    }

    /// A second name for a file.
    static func link(_ path: String, to name: String) throws(SystemError) {
        try system("link", "\(path) to \(name)") { Glibc.link(path, name) }
    }

    /// Moves a directory beside itself, for good.
    static func renameDurably(_ old: String, to new: String) throws(SystemError) {
        try system("rename", "\(old) to \(new)") { rename(old, new) }
        try syncDirectory(directory(of: new))
    }

    /// Removes a directory with all that is in it. One that is not there is no error.
    static func removeTree(_ path: String) throws {
        if !exists(path) { return }
        // An hour is enough for any number of files; a hung disk must not hold the worker for ever.
        let (exit, _, error) = try ChildProcess.run(
            "/bin/rm", ["-rf", "--one-file-system", path], until: Deadline.after(.seconds(3600)))
        guard exit.isSuccess else { throw PostgresError.refused("removing \(path)", "\(exit): \(error)") }
        try syncDirectory(directory(of: path))
    }

    /// What tells whether a file was replaced or changed since it was last looked at.
    struct Stamp: Hashable, Sendable {
        var inode: UInt
        var seconds: Int
        var nanoseconds: Int
    }

    static func stamp(_ path: String) -> Stamp? {
        var status = stat()
        guard stat(path, &status) == 0 else { return nil }
        return Stamp(
            inode: status.st_ino, seconds: status.st_mtim.tv_sec, nanoseconds: status.st_mtim.tv_nsec)
    }
}

/// The system user that we, and so Postgres, run as.
enum OwnUser {
    static var uid: UInt32 { geteuid() }

    static var name: String {
        var entry = passwd()
        var buffer = [CChar](repeating: 0, count: 16 * 1024)
        var found: UnsafeMutablePointer<passwd>?
        guard getpwuid_r(geteuid(), &entry, &buffer, buffer.count, &found) == 0, found != nil else {
            return String(geteuid())
        }
        return String(cString: entry.pw_name)
    }

    static func name(of uid: UInt32) -> String {
        guard let entry = getpwuid(uid) else { return "user \(uid)" }
        return String(cString: entry.pointee.pw_name)
    }
}
