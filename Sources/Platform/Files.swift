internal import CLinux
internal import Glibc

/// Files and directories by path. What is written here to last is on the disk when the call returns.
public enum Files {
    /// A whole small file.
    ///
    /// - Parameter limit: the most bytes that make sense; a longer file is refused (EFBIG), not cut.
    public static func readAll(_ path: String, limit: Int) throws(SystemError) -> [UInt8] {
        let fd = try system("open", path) { open(path, O_RDONLY | O_CLOEXEC) }
        defer { close(fd) }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: min(limit + 1, 64 * 1024))
        while true {
            let count = try system("read", path) { read(fd, &chunk, chunk.count) }
            if count == 0 { return bytes }
            bytes.append(contentsOf: chunk[..<count])
            if bytes.count > limit {
                throw SystemError(
                    call: "read", code: EFBIG, detail: "\(path): at most \(limit) bytes are expected")
            }
        }
    }

    /// A whole small text file; bytes that are no UTF-8 are replaced.
    public static func readText(_ path: String, limit: Int = 1 << 20) throws(SystemError) -> String {
        String(decoding: try readAll(path, limit: limit), as: UTF8.self)
    }

    /// Replaces a file in one step that survives a power cut: either the old content is there, or all of the
    /// new.
    ///
    /// A temporary file in the same directory is written, flushed and renamed, and the directory is flushed.
    /// When it throws, the old content still stands, or (only if flushing the directory failed) either may.
    public static func replaceDurably(
        _ path: String, _ bytes: [UInt8], mode: UInt32 = 0o600
    ) throws(SystemError) {
        let temporary = "\(path).new"
        do {
            try write(bytes, to: temporary, mode: mode)
            try system("rename", "\(temporary) to \(path)") { rename(temporary, path) }
        } catch {
            unlink(temporary)
            throw error
        }
        try syncDirectory(directory(of: path))
    }

    /// Writes over the beginning of a file, making it where it is not there; not flushed.
    ///
    /// All at once for every process of this boot, as long as it is less than a page: a kill waits for the
    /// end of the one `pwrite`.
    public static func overwrite(
        _ path: String, _ bytes: [UInt8], mode: UInt32 = 0o600
    ) throws(SystemError) {
        let fd = try system("open", path) { open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, mode) }
        defer { Glibc.close(fd) }
        let written = try system("pwrite", path) { pwrite(fd, bytes, bytes.count, 0) }
        guard written == bytes.count else { throw SystemError(call: "pwrite", code: EIO, detail: path) }
    }

    /// Adds to the end of a file, making it where it is not there; not flushed.
    ///
    /// - Returns: how long the file is now, in bytes.
    public static func append(_ path: String, _ bytes: [UInt8], mode: UInt32 = 0o600) throws(SystemError)
        -> Int
    {
        let flags = O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW
        let fd = try system("open", path) { open(path, flags, mode) }
        defer { Glibc.close(fd) }
        try writeFully(bytes, to: fd, path)
        return Int(try system("lseek", path) { lseek(fd, 0, SEEK_END) })
    }

    /// Renames, over what may be there.
    public static func move(_ path: String, to target: String) throws(SystemError) {
        try system("rename", "\(path) to \(target)") { rename(path, target) }
    }

    /// Removes a file for good. A file that is not there is no error.
    public static func removeDurably(_ path: String) throws(SystemError) {
        do {
            try system("unlink", path) { unlink(path) }
        } catch {
            // Gone by an earlier call that may not have come to flush the directory.
            if error.code != ENOENT { throw error }
        }
        try syncDirectory(directory(of: path))
    }

    /// Flushes a directory's entries: creations, renames and removals in it.
    public static func syncDirectory(_ path: String) throws(SystemError) {
        let fd = try system("open", path) { open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) }
        defer { close(fd) }
        try system("fsync", path) { fsync(fd) }
    }

    /// Makes one directory; the parent must be there. One that exists is left as it is, mode included.
    public static func makeDirectory(_ path: String, mode: UInt32 = 0o700) throws(SystemError) {
        do {
            try system("mkdir", path) { mkdir(path, mode) }
        } catch {
            if error.code == EEXIST, isDirectory(path) { return }
            throw error
        }
        // mkdir obeys the umask; the mode asked for is the one that is meant.
        try system("chmod", path) { chmod(path, mode) }
    }

    /// True when something of that name is there, of any kind. Also false when it cannot be looked at.
    public static func exists(_ path: String) -> Bool {
        var status = stat()
        return lstat(path, &status) == 0
    }

    public static func isDirectory(_ path: String) -> Bool {
        var status = stat()
        return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
    }

    /// The names in a directory, sorted, without "." and "..".
    public static func list(_ path: String) throws(SystemError) -> [String] {
        guard let stream = opendir(path) else {
            throw SystemError(call: "opendir", code: errno, detail: path)
        }
        defer { closedir(stream) }
        var names: [String] = []
        while true {
            errno = 0
            guard let entry = readdir(stream) else { break }
            let name = withUnsafePointer(to: &entry.pointee.d_name) { pointer in
                pointer.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name != ".", name != ".." { names.append(name) }
        }
        if errno != 0 { throw SystemError(call: "readdir", code: errno, detail: path) }
        return names.sorted()
    }

    /// The owner of a file or directory.
    public static func owner(of path: String) throws(SystemError) -> (uid: UInt32, gid: UInt32) {
        var status = stat()
        try system("stat", path) { stat(path, &status) }
        return (status.st_uid, status.st_gid)
    }

    /// Bytes that an ordinary user may still write in the file system of `path`.
    public static func freeBytes(at path: String) throws(SystemError) -> UInt64 {
        var status = statvfs()
        try system("statvfs", path) { statvfs(path, &status) }
        return UInt64(status.f_bavail) * UInt64(status.f_frsize)
    }

    /// The directory that holds `path`: "." when there is no slash.
    public static func directory(of path: String) -> String {
        guard let slash = path.lastIndex(of: "/") else { return "." }
        return slash == path.startIndex ? "/" : String(path[..<slash])
    }

    /// Writes and flushes a file of exactly this mode.
    private static func write(_ bytes: [UInt8], to path: String, mode: UInt32) throws(SystemError) {
        let flags = O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW
        let fd = try system("open", path) { open(path, flags, mode) }
        defer { close(fd) }
        try system("fchmod", path) { fchmod(fd, mode) }
        try writeFully(bytes, to: fd, path)
        try system("fsync", path) { fsync(fd) }
    }

    /// Writes everything or throws; `path` is for the error.
    static func writeFully(_ bytes: [UInt8], to fd: Int32, _ path: String) throws(SystemError) {
        var written = 0
        while written < bytes.count {
            written += try system("write", path) {
                bytes.withUnsafeBytes { buffer in
                    Glibc.write(fd, buffer.baseAddress.map { $0 + written }, buffer.count - written)
                }
            }
        }
    }
}
