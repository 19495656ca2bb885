import COpenSSL
import Glibc
import Platform

/// What makes an agent a member: 256 random bits that every node of a cluster holds in a file.
///
/// Whoever can read the file can join, and claim any name. Hence the strictness about its mode and owner.
public struct ClusterSecret: Sendable {
    /// The first line of the file. A file of another kind must be refused by name, not as a bad secret.
    static let header = "# Matriarch cluster secret, version 1. The same on every node; mode 0600."
    static let headerStart = "# Matriarch cluster secret, version "
    static let byteCount = 32
    private static let maxFileBytes = 4096

    private let bytes: [UInt8]

    /// Names the secret without giving it away. It travels in clear text, so that a listener can tell another
    /// secret from no secret.
    let keyIdentity: String

    /// The first letters of `keyIdentity`: enough to see by eye whether two nodes hold one secret.
    public var fingerprint: String { String(keyIdentity.prefix(8)) }

    init(bytes: [UInt8]) {
        self.bytes = bytes
        keyIdentity = ClusterSecret.hex(
            ClusterSecret.derive(from: bytes, for: "matriarch key identity 1", count: 16))
    }

    /// Reads a secret from its file.
    ///
    /// - Throws: `SecretError`, which says what would be right, when the file is missing, may be read or
    ///   changed by others than this user and root, or holds anything but a secret.
    public static func load(_ path: String) throws(SecretError) -> ClusterSecret {
        let text: String
        do {
            let file = try system("open", path) { open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK) }
            defer { close(file) }
            try checkAccess(of: file, path)
            text = try read(file, path)
        } catch let error as SecretError {
            throw error
        } catch let error as SystemError {
            throw SecretError(
                path: path, problem: error.code == ENOENT ? .missing : .unreadable(error.reason))
        } catch {
            throw SecretError(path: path, problem: .unreadable("\(error)"))
        }
        return ClusterSecret(bytes: try parse(text, path))
    }

    /// Draws a new secret and writes it to a file that must not exist yet. The file is on the disk on return.
    @discardableResult
    public static func create(_ path: String) throws(SecretError) -> ClusterSecret {
        let secret = ClusterSecret(bytes: SecureRandom.bytes(byteCount))
        let content = Array("\(header)\n\(hex(secret.bytes))\n".utf8)
        do {
            let flags = O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC
            let file = try system("open", path) { open(path, flags, mode_t(0o600)) }
            defer { close(file) }
            do {
                // The umask may have taken bits away from the mode.
                try system("fchmod", path) { fchmod(file, mode_t(0o600)) }
                let written = try system("write", path) { write(file, content, content.count) }
                guard written == content.count else {
                    throw SystemError(call: "write", code: ENOSPC, detail: path)
                }
                try system("fsync", path) { fsync(file) }
                try Files.syncDirectory(Files.directory(of: path))
            } catch {
                unlink(path)
                throw error
            }
        } catch let error as SystemError {
            throw SecretError(path: path, problem: .ofWriting(error))
        } catch {
            throw SecretError(path: path, problem: .unwritable("\(error)"))
        }
        return secret
    }

    /// Lends the key of the TLS links; the copy is gone when `body` returns.
    func withTLSKey<Result>(_ body: (UnsafeBufferPointer<UInt8>) -> Result) -> Result {
        ClusterSecret.derive(from: bytes, for: "matriarch tls psk 1", count: Int(PSK_TLS_KEY_BYTES))
            .withUnsafeBufferPointer(body)
    }

    // MARK: The file

    private static func checkAccess(of file: Int32, _ path: String) throws {
        var status = stat()
        try system("fstat", path) { fstat(file, &status) }
        guard status.st_mode & S_IFMT == S_IFREG else { throw SecretError(path: path, problem: .notAFile) }
        guard status.st_uid == geteuid() || status.st_uid == 0 else {
            throw SecretError(path: path, problem: .owner(status.st_uid, rightful: geteuid()))
        }
        guard status.st_mode & 0o077 == 0 else {
            throw SecretError(path: path, problem: .mode(status.st_mode & 0o7777))
        }
    }

    private static func read(_ file: Int32, _ path: String) throws -> String {
        var buffer = [UInt8](repeating: 0, count: maxFileBytes)
        var filled = 0
        while filled < buffer.count {
            let count = try system("read", path) {
                buffer.withUnsafeMutableBytes {
                    Glibc.read(file, $0.baseAddress.map { $0 + filled }, $0.count - filled)
                }
            }
            if count == 0 { break }
            filled += count
        }
        return String(decoding: buffer[..<filled], as: UTF8.self)
    }

    private static func parse(_ text: String, _ path: String) throws(SecretError) -> [UInt8] {
        let lines = text.split(whereSeparator: \.isNewline)
        guard let first = lines.first, first.hasPrefix(headerStart) else {
            throw SecretError(path: path, problem: .noHeader)
        }
        guard first.dropFirst(headerStart.count).hasPrefix("1.") else {
            throw SecretError(path: path, problem: .version(String(first)))
        }
        let digits = lines.dropFirst().joined().utf8.compactMap { hexValue($0) }
        let given = lines.dropFirst().joined().utf8.count
        guard digits.count == given else { throw SecretError(path: path, problem: .notHexadecimal) }
        guard given == byteCount * 2 else { throw SecretError(path: path, problem: .length(given)) }
        return stride(from: 0, to: digits.count, by: 2).map { digits[$0] << 4 | digits[$0 + 1] }
    }

    private static func hexValue(_ character: UInt8) -> UInt8? {
        switch character {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): character - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): character - UInt8(ascii: "a") + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): character - UInt8(ascii: "A") + 10
        default: nil
        }
    }

    private static func hex(_ bytes: [UInt8]) -> String {
        let digits = Array("0123456789abcdef".utf8)
        return String(
            decoding: bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
    }

    /// HKDF: each purpose gets bytes of its own, from which neither the secret nor another purpose's bytes
    /// follow.
    private static func derive(from secret: [UInt8], for purpose: String, count: Int) -> [UInt8] {
        var derived = [UInt8](repeating: 0, count: count)
        guard psk_hkdf(secret, secret.count, purpose, &derived, count) == 1 else {
            fatalError("OpenSSL has no HKDF with SHA-256: its default provider is missing or disabled")
        }
        return derived
    }
}

/// Why a file cannot serve as the cluster's secret, and what would be right.
public struct SecretError: Error, Equatable, Sendable, CustomStringConvertible {
    public enum Problem: Equatable, Sendable {
        case missing, exists, notAFile, noHeader, notHexadecimal
        case unreadable(String)
        case unwritable(String)
        /// This user may not write there.
        case notPermitted(String)
        case owner(UInt32, rightful: UInt32)
        case mode(UInt32)
        case version(String)
        /// The number of hexadecimal digits found.
        case length(Int)

        static func ofWriting(_ error: SystemError) -> Problem {
            switch error.code {
            case EEXIST: .exists
            case EACCES, EPERM, EROFS: .notPermitted(error.reason)
            default: .unwritable(error.reason)
            }
        }
    }

    public let path: String
    public let problem: Problem

    public var description: String { "cluster secret \(path): \(explanation)" }

    private var explanation: String {
        switch problem {
        case .missing:
            "no such file; make one with `matriarch secret create`, or copy it from another node"
        case .exists:
            "exists already and is left as it is; a cluster has one secret, the same on every node"
        case .notAFile: "is not a regular file"
        case .noHeader: "must begin with the line \"\(ClusterSecret.header)\"; is this the right file?"
        case .notHexadecimal: "must hold only hexadecimal digits after its first line"
        case .unreadable(let reason): "cannot be read: \(reason); must be readable by the user of the agent"
        case .notPermitted(let reason):
            "may not be written by this user: \(reason); run it as root, or name another file with --output"
        case .unwritable(let reason): "cannot be written: \(reason)"
        case .owner(let owner, let rightful):
            "belongs to user \(owner); must belong to user \(rightful), who runs this, or to root"
        case .mode(let mode):
            "has mode 0\(String(mode, radix: 8)); group and others must have no access: chmod 0600"
        case .version(let line): "says \"\(line)\"; this agent reads version 1"
        case .length(let digits):
            "holds \(digits) hexadecimal digits; must be \(ClusterSecret.byteCount * 2)"
        }
    }
}
