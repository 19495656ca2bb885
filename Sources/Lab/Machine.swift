internal import FoundationEssentials
internal import Glibc
internal import Platform

/// What the laboratory finds on the machine it runs on.
public struct Machine: Sendable {
    /// The user that Postgres runs as; nil when we are an ordinary user and everything runs as ourselves.
    public struct User: Sendable {
        public var name: String
        public var uid: UInt32
        public var gid: UInt32
    }

    public var postgresUser: User?
    /// initdb, postgres and pg_ctl.
    public var postgresBin: String

    public static var isRoot: Bool { geteuid() == 0 }

    public init() throws {
        postgresBin = try Machine.newestPostgres()
        guard Machine.isRoot else { return }
        guard let entry = getpwnam("postgres") else {
            throw LabError("root runs Postgres as user 'postgres', which does not exist here; run: make deps")
        }
        postgresUser = User(name: "postgres", uid: entry.pointee.pw_uid, gid: entry.pointee.pw_gid)
    }

    /// The user name that a local database superuser has by default.
    public var userName: String {
        if let postgresUser { return postgresUser.name }
        return getpwuid(geteuid()).map { String(cString: $0.pointee.pw_name) } ?? "postgres"
    }

    /// The words before a command line that make it run as the Postgres user.
    public var asPostgres: [String] {
        guard let user = postgresUser else { return [] }
        return ["setpriv", "--reuid=\(user.uid)", "--regid=\(user.gid)", "--init-groups", "--"]
    }

    /// Makes a directory and, as root, gives it to the Postgres user.
    public func makeDirectory(_ path: String, mode: UInt32 = 0o700) throws {
        // Nothing is made anew behind an interrupt that removes it.
        try Registry.whileOpen {
            try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
            if chmod(path, mode) != 0 { throw LabError("chmod \(path): \(errorText())") }
            try give(path)
        }
    }

    /// Writes a file that belongs to the Postgres user.
    public func write(_ text: String, to path: String, mode: UInt32 = 0o600) throws {
        try Data(text.utf8).write(to: URL(filePath: path))
        if chmod(path, mode) != 0 { throw LabError("chmod \(path): \(errorText())") }
        try give(path)
    }

    private func give(_ path: String) throws {
        guard let user = postgresUser else { return }
        if chown(path, user.uid, user.gid) != 0 { throw LabError("chown \(path): \(errorText())") }
    }

    private static func newestPostgres() throws -> String {
        let base = "/usr/lib/postgresql"
        let versions = (try? FileManager.default.contentsOfDirectory(atPath: base)) ?? []
        let found = versions.compactMap(Int.init).sorted(by: >).map { "\(base)/\($0)/bin" }
            .first { FileManager.default.isExecutableFile(atPath: $0 + "/postgres") }
        guard let found else { throw LabError("no Postgres in \(base)/*/bin; run: make deps") }
        return found
    }
}

/// The system's words for the current errno.
func errorText() -> String { String(cString: strerror(errno)) }

/// A whole file as text, of /proc too, where sizes are not known before the end; nil when it can't be read.
func readText(_ path: String) -> String? { try? Files.readText(path, limit: mostText) }

/// Far above the longest log that a laboratory writes.
private let mostText = 256 << 20
