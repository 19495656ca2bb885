internal import CLinux
internal import Glibc

/// An flock held on a file or directory until `release` or the end of the process.
public final class FileLock: Sendable {
    /// Somebody else holds the lock.
    public struct Held: Error, CustomStringConvertible {
        public let path: String
        /// The holder, when /proc/locks tells (not across PID namespaces).
        public let holder: Int32?
        public var description: String {
            "\(path) is locked by " + (holder.map { "process \($0)" } ?? "another process")
        }
    }

    private let fd: Int32
    public let path: String

    fileprivate init(fd: Int32, path: String) {
        self.fd = fd
        self.path = path
    }

    deinit { close(fd) }

    /// Whether the lock can be had is asked once, without waiting; children do not inherit it.
    static func take(_ path: String, flags: Int32) throws -> FileLock {
        let fd = try system("open", path) { open(path, flags | O_CLOEXEC, 0o600) }
        do {
            try system("flock", path) { flock(fd, LOCK_EX | LOCK_NB) }
        } catch {
            let holder = holder(of: fd)
            close(fd)
            if error.code == EWOULDBLOCK { throw Held(path: path, holder: holder) }
            throw error
        }
        return FileLock(fd: fd, path: path)
    }

    /// The pid in the line of /proc/locks that names the file behind `fd`.
    private static func holder(of fd: Int32) -> Int32? {
        var status = stat()
        guard fstat(fd, &status) == 0, let locks = try? Files.readText("/proc/locks") else { return nil }
        let major = String(clinux_device_major(status.st_dev), radix: 16)
        let minor = String(clinux_device_minor(status.st_dev), radix: 16)
        let file = "\(padded(major)):\(padded(minor)):\(status.st_ino)"
        for line in locks.split(separator: "\n") {
            // "1: FLOCK  ADVISORY  WRITE 1234 fe:00:5678 0 EOF"
            let words = line.split(separator: " ")
            if words.count > 5, words[1] == "FLOCK", words[5] == file { return Int32(words[4]) }
        }
        return nil
    }

    private static func padded(_ hexadecimal: String) -> String {
        hexadecimal.count < 2 ? "0" + hexadecimal : hexadecimal
    }
}

extension Files {
    /// Locks a file, made if need be, for this process alone; does not wait.
    ///
    /// - Throws: `FileLock.Held` naming the holder, or `SystemError`.
    public static func lock(_ path: String) throws -> FileLock {
        try FileLock.take(path, flags: O_RDWR | O_CREAT)
    }

    /// Locks a directory itself, without a file in it; does not wait.
    ///
    /// - Throws: `FileLock.Held` naming the holder, or `SystemError`.
    public static func lockDirectory(_ path: String) throws -> FileLock {
        try FileLock.take(path, flags: O_RDONLY | O_DIRECTORY)
    }
}
