internal import Glibc
internal import Platform

/// A reason not to start at all, which editing, chown or another binary mends (exit status 78).
public struct PreflightFailure: Error, Hashable, Sendable, CustomStringConvertible {
    public let description: String
}

extension PostgresSite {
    /// Looks whether Postgres can run here before anything is begun.
    ///
    /// - Returns: the major version of the programs.
    /// - Throws: with what is wrong and what would be right.
    @discardableResult
    public func preflight() throws(PreflightFailure) -> Int {
        guard OwnUser.uid != 0 else {
            throw PreflightFailure(
                description: "Postgres refuses to run as root: start matriarchd as the user that owns "
                    + "\(dataDirectory), such as postgres")
        }
        try checkPrograms()
        do {
            let version = try DataDirectory.binaryVersion(self)
            guard let major = Int(version), Self.supported.contains(major) else {
                throw PreflightFailure(
                    description: "\(binDirectory) has Postgres \(version): \(Self.supported.lowerBound) to "
                        + "\(Self.supported.upperBound) can be used")
            }
            try DataDirectory.isAbsent(self) ? checkParent() : DataDirectory.check(self)
            return major
        } catch let failure as PreflightFailure {
            throw failure
        } catch {
            throw PreflightFailure(description: "\(error)")
        }
    }

    /// What can be said without being the user that Postgres will run as.
    public func checkPrograms() throws(PreflightFailure) {
        for name in ["postgres", "initdb", "pg_basebackup", "pg_controldata"]
        where !Files.exists(program(name)) {
            throw PreflightFailure(
                description: "\(program(name)) is missing: install PostgreSQL's server, or set "
                    + "postgres_bin_directory to where its programs are")
        }
    }

    /// A new copy is made beside the data directory and moved into its place.
    private func checkParent() throws(PreflightFailure) {
        var parent = Files.directory(of: dataDirectory)
        while access(parent, W_OK | X_OK) != 0 {
            let error = SystemError(call: "access", code: errno)
            if error.code == ENOENT, parent != "/" {
                parent = Files.directory(of: parent)
                continue
            }
            throw PreflightFailure(
                description: "data_directory = '\(dataDirectory)': \(parent): \(error.reason): "
                    + "\(OwnUser.name) must be able to make directories there")
        }
    }

    static let supported = 14...18
}
