internal import Consensus
internal import Platform
internal import Supervision

/// Questions to the data directory itself, whether Postgres runs or not.
enum DataDirectory {
    /// No directory, or one with nothing in it.
    static func isAbsent(_ site: PostgresSite) -> Bool {
        guard let names = try? Files.list(site.dataDirectory) else {
            return !Files.exists(site.dataDirectory)
        }
        return names.allSatisfy { $0 == "lost+found" }
    }

    /// - Throws: why this Postgres can't run on it, in words for the operator.
    static func check(_ site: PostgresSite) throws {
        let directory = site.dataDirectory
        let owner = try Files.owner(of: directory).uid
        guard owner == OwnUser.uid else {
            throw PostgresError.refused(
                directory,
                "it belongs to \(OwnUser.name(of: owner)), Postgres would run as \(OwnUser.name): "
                    + "chown -R \(OwnUser.name) \(directory)")
        }
        guard Files.exists(site.data("PG_VERSION")) else {
            throw PostgresError.refused(
                directory, "it is not empty and no Postgres data directory: PG_VERSION is missing")
        }
        let version = try Files.readText(site.data("PG_VERSION"), limit: 64).filter { !$0.isWhitespace }
        let binaries = try binaryVersion(site)
        guard version == binaries else {
            throw PostgresError.refused(
                directory,
                "it was made by Postgres \(version), but \(site.binDirectory) has Postgres \(binaries): set "
                    + "postgres_bin_directory to version \(version)'s, or upgrade with pg_upgrade")
        }
        guard Files.exists(site.data("global/pg_control")) else {
            throw PostgresError.refused(directory, "its control file global/pg_control is missing")
        }
    }

    /// Also refuses what nobody may start, whatever the state file says.
    static func checkForStart(_ site: PostgresSite) throws {
        try check(site)
        if Files.exists(site.tornMarker) {
            throw PostgresError.refused(
                site.dataDirectory, "a rewind of it was interrupted: it must be copied anew")
        }
    }

    /// "15", from "postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)".
    static func binaryVersion(_ site: PostgresSite) throws -> String {
        let text = try site.run("postgres", ["--version"], limit: 10)
        guard let match = text.firstMatch(of: #/\(PostgreSQL\) (\d+)/#) else {
            throw PostgresError.refused("postgres --version", "it says '\(text)'")
        }
        return String(match.1)
    }

    static func foundingMarker(_ site: PostgresSite) -> Term? {
        guard let text = try? Files.readText(site.foundingMarker, limit: 64) else { return nil }
        return Term(text.filter { !$0.isWhitespace })
    }

    /// Removes the directory that a copy has replaced, once the copy has proven itself.
    static func releasePrevious(_ site: PostgresSite) {
        guard Files.exists(site.previousDirectory) else { return }
        do {
            try Tablespace.discard(
                of: site.previousDirectory, staying: site.dataDirectory, version: binaryVersion(site))
            try Files.removeTree(site.previousDirectory)
            Log.notice("the copy is valid: the old data directory is removed")
        } catch {
            Log.warning("the old data directory can't be removed", [("error", "\(error)")])
        }
    }
}
