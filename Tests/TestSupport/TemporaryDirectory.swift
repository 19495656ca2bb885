import FoundationEssentials
import Glibc

/// A fresh directory that goes away with its owner.
///
/// Keep it in a `let` that lives as long as the test needs the files; `deinit` removes the whole tree.
public final class TemporaryDirectory: Sendable {
    public let path: String

    /// - Parameter owner: the system user who shall own it (`postgres` for a data directory); needs root.
    public init(_ name: String = "test", owner: String? = nil) throws {
        var template = Array("/tmp/matriarch-\(name)-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else {
            throw TemporaryDirectoryError(what: "mkdtemp for '\(name)'", code: errno)
        }
        path = String(decoding: template.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
        if let owner { try Self.give(path, to: owner) }
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    /// The path of a name inside.
    public func file(_ name: String) -> String { path + "/" + name }

    /// Writes a file inside and returns its path.
    @discardableResult
    public func write(_ text: String, to name: String) throws -> String {
        try SourceTree.write(text, to: file(name))
        return file(name)
    }

    /// The text of a file inside.
    public func read(_ name: String) throws -> String { try SourceTree.read(file(name)) }

    private static func give(_ path: String, to owner: String) throws {
        guard let entry = getpwnam(owner) else {
            throw TemporaryDirectoryError(what: "no system user '\(owner)'", code: ENOENT)
        }
        if chown(path, entry.pointee.pw_uid, entry.pointee.pw_gid) != 0 {
            throw TemporaryDirectoryError(what: "chown \(path) to \(owner)", code: errno)
        }
    }
}

public struct TemporaryDirectoryError: Error, CustomStringConvertible {
    public let what: String
    public let code: Int32
    public var description: String { "\(what): \(String(cString: strerror(code)))" }
}
