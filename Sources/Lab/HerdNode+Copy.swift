internal import FoundationEssentials

/// What benchmarks compare a node's copy with.
extension HerdNode {
    /// A copy of another node's data by pg_basebackup alone, from here, as the agent would ask for it.
    ///
    /// - Returns: how long it took. The copy is removed.
    public func copyPlainly(_ source: HerdNode, within limit: Duration) throws -> Duration {
        let target = directory + "/plain-copy"
        defer { try? FileManager.default.removeItem(atPath: target) }
        let connection =
            "host=\(source.address) port=5433 user=repluser password=\(HerdSecrets.replicationPassword)"
        let start = Moment.current
        try Tool.run(
            place.prefix + installation.machine.asPostgres
                + [
                    "\(postgresBin)/pg_basebackup", "-D", target, "-d", connection, "-X", "stream", "-c",
                    "fast",
                ],
            within: limit)
        return Moment.current - start
    }

    /// Takes the data away, and nothing of what the node remembers.
    public func eraseData() throws {
        if FileManager.default.fileExists(atPath: dataDirectory) {
            try FileManager.default.removeItem(atPath: dataDirectory)
        }
    }
}
