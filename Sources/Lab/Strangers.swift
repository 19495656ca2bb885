internal import FoundationEssentials

/// Nodes that should not be let in.
extension HerdNode {
    /// Fills the data directory with a database that nobody knows.
    ///
    /// - Returns: its system identifier.
    public func makeForeignDatabase() throws -> String {
        let machine = installation.machine
        try Tool.run(
            machine.asPostgres + [
                "\(postgresBin)/initdb", "-D", dataDirectory, "-U", "postgres", "--auth=peer", "--no-sync",
            ])
        return try systemIdentifier()
    }

    /// Of the database in the data directory, as Postgres' own tool reads it.
    public func systemIdentifier() throws -> String {
        let told = try Tool.run(
            installation.machine.asPostgres + ["\(postgresBin)/pg_controldata", "-D", dataDirectory])
        let label = "Database system identifier:"
        let line = told.split(whereSeparator: \.isNewline).first { $0.hasPrefix(label) }
        guard let value = line?.dropFirst(label.count).split(separator: " ").first else {
            throw LabError("pg_controldata tells no system identifier: \(told)")
        }
        return String(value)
    }

    /// Has this node believe that the Postgres installed here is another major version: programs that say so,
    /// and are the real ones otherwise.
    public func pretendPostgres(major: Int) throws {
        let machine = installation.machine
        let directory = "\(directory)/postgres-\(major)"
        try machine.makeDirectory(directory, mode: 0o755)
        for program in ["initdb", "pg_basebackup", "pg_controldata", "pg_rewind", "pg_ctl"] {
            try FileManager.default.createSymbolicLink(
                atPath: "\(directory)/\(program)", withDestinationPath: "\(postgresBin)/\(program)")
        }
        try machine.write(
            """
            #!/bin/sh
            [ "$1" = --version ] && echo 'postgres (PostgreSQL) \(major).1' && exit
            exec \(postgresBin)/postgres "$@"

            """, to: "\(directory)/postgres", mode: 0o755)
        try configure(["postgres_bin_directory": directory])
    }

    /// Makes a secret of this node's own and names it in the configuration.
    public func useAnotherSecret() throws {
        let path = directory + "/another.secret"
        if !FileManager.default.fileExists(atPath: path) {
            try HerdSecrets.create(path, installation.programs, installation.machine)
        }
        try configure(["cluster_secret_file": path])
    }

    public func useSecret(of other: HerdNode) throws {
        try configure(["cluster_secret_file": try other.setting("cluster_secret_file")])
    }

    /// A setting as the configuration file has it.
    public func setting(_ key: String) throws -> String {
        let start = "\(key) = '"
        let lines = (readText(configurationPath) ?? "").split(whereSeparator: \.isNewline)
        guard let line = lines.first(where: { $0.hasPrefix(start) }) else {
            throw LabError("\(configurationPath) has no \(key)")
        }
        return String(line.dropFirst(start.count).dropLast())
    }
}
