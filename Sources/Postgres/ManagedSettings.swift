internal import Consensus
internal import Platform
internal import Supervision

/// The settings that the herd depends on (docs/internals/postgres.md). They live in a file of their own that
/// postgresql.conf includes last; what must hold before that is read is on the postmaster's command line.
struct ManagedSettings {
    let site: PostgresSite

    static let fileName = "matriarch.conf"
    private static let includeLine = "include 'matriarch.conf'  # matriarchd's settings; keep this line last"

    var file: String { site.data(Self.fileName) }

    /// The same on all members: a standby must not have fewer than its primary.
    static let walSenders = 20
    static let slots = 20
    /// The agent keeps one session and opens up to three more at a time.
    static let reservedConnections = 6

    static let placeholderName = "matriarch/none"
    static let placeholderRule = "ANY 1 (\"\(placeholderName)\")"

    static func rule(_ standbys: ManagedConfiguration.SynchronousStandbys) -> String {
        switch standbys {
        case .none: ""
        case .placeholder: placeholderRule
        }
    }

    /// What a restart is needed for, and what no file may override: arguments of the postmaster.
    var arguments: [String] { Self.asArguments(fixed) }

    static func asArguments(_ settings: [(String, String)]) -> [String] {
        settings.flatMap { ["-c", "\($0.0)=\($0.1)"] }
    }

    private var fixed: [(String, String)] {
        [
            ("port", String(site.port)),
            ("listen_addresses", site.listenAddresses),
            ("unix_socket_directories", site.socketDirectory),
            ("hba_file", AccessRules.hbaFile(site)),
            ("ident_file", AccessRules.identFile(site)),
            ("cluster_name", site.clusterName),
            ("wal_level", "replica"),
            ("wal_log_hints", "on"),
            ("hot_standby", "on"),
            ("restart_after_crash", "off"),
            ("fsync", "on"),
            ("full_page_writes", "on"),
            ("max_wal_senders", String(Self.walSenders)),
            ("max_replication_slots", String(Self.slots)),
            ("superuser_reserved_connections", String(Self.reservedConnections)),
            ("recovery_target_timeline", "latest"),
        ]
    }

    /// Settings in our file, which a reload brings into force.
    func reloadable(_ configuration: ManagedConfiguration) throws -> [(String, String)] {
        let timeout = configuration.lease.clamped(to: .seconds(3) ... .seconds(10)).milliseconds
        return [
            ("synchronous_standby_names", Self.rule(configuration.synchronousStandbys)),
            ("wal_retrieve_retry_interval", "100ms"),
            ("wal_sender_timeout", "\(timeout)ms"),
            ("wal_receiver_timeout", "\(timeout)ms"),
            ("wal_receiver_status_interval", "1s"),
            ("wal_keep_size", "256MB"),
            ("max_slot_wal_keep_size", "\(try slotLimitMegabytes())MB"),
            ("password_encryption", "scram-sha-256"),
        ]
    }

    /// A quarter of the free space rounded down to a power of two, between 1 and 64 GB, so that a standby
    /// that stays away can't fill the disk and the value seldom changes.
    private func slotLimitMegabytes() throws -> UInt64 {
        let quarter = (try Files.freeBytes(at: site.dataDirectory) / 4) >> 20
        var limit: UInt64 = 1024
        while limit * 2 <= min(quarter, 65536) { limit *= 2 }
        return limit
    }

    /// Keys that are on the command line, where no file reaches them.
    static let argumentNames: Set<String> = [
        "port", "listen_addresses", "unix_socket_directories", "hba_file", "ident_file", "cluster_name",
        "wal_level", "wal_log_hints", "hot_standby", "restart_after_crash", "fsync", "full_page_writes",
        "max_wal_senders", "max_replication_slots", "superuser_reserved_connections",
        "recovery_target_timeline",
    ]

    /// Keys that only this file and the command line may set.
    static let managedKeys: Set<String> = argumentNames.union([
        "synchronous_standby_names", "wal_retrieve_retry_interval", "wal_sender_timeout",
        "wal_receiver_timeout",
        "wal_receiver_status_interval", "wal_keep_size", "max_slot_wal_keep_size", "password_encryption",
        "primary_conninfo", "primary_slot_name", "restore_command",
    ])

    /// Writes our file, its line in postgresql.conf, and pg_hba.
    ///
    /// - Returns: whether anything changed.
    func write(_ configuration: ManagedConfiguration) throws -> Bool {
        var text = "# Written by matriarchd; changes are lost.\n"
        for (key, value) in try reloadable(configuration) { text += "\(key) = '\(value)'\n" }
        text += "include_if_exists 'matriarch_upstream.conf'\n"
        let own = try Files.replaceIfDifferent(file, text)
        let included = try include()
        let access = try AccessRules.write(configuration, site)
        return own || included || access
    }

    /// Puts our line at the end of postgresql.conf, where it wins over all before it.
    private func include() throws(SystemError) -> Bool {
        let path = site.data("postgresql.conf")
        let ours = Array(Self.includeLine.utf8)
        var lines = try Self.lines(of: path)
        while lines.last?.isEmpty == true { lines.removeLast() }
        if lines.last == ours[...] { return false }
        lines.removeAll { $0 == ours[...] }
        lines.append(ours[...])
        try Files.replaceDurably(path, Array(lines.joined(separator: [Self.newline])) + [Self.newline])
        return true
    }

    private static let newline = UInt8(ascii: "\n")
    /// Of a file of Postgres's settings; far above what people write.
    private static let mostBytes = 16 << 20

    /// The lines of somebody else's file, as bytes: what is no UTF-8 in it goes back as it came.
    private static func lines(of path: String) throws(SystemError) -> [ArraySlice<UInt8>] {
        try Files.readAll(path, limit: mostBytes).split(separator: newline, omittingEmptySubsequences: false)
    }

    /// Removes managed keys from postgresql.auto.conf, which would win over our file. For a stopped Postgres.
    ///
    /// - Returns: the keys that were there.
    func cleanAutomaticFile() throws(SystemError) -> [String] {
        let path = site.data("postgresql.auto.conf")
        guard Files.exists(path) else { return [] }
        var removed: [String] = []
        let kept = try Self.lines(of: path).filter { line in
            guard let key = Self.key(ofLine: line), Self.managedKeys.contains(key) else { return true }
            removed.append(key)
            return false
        }
        if !removed.isEmpty {
            try Files.replaceDurably(path, Array(kept.joined(separator: [Self.newline])))
        }
        return removed
    }

    private static func key(ofLine line: ArraySlice<UInt8>) -> String? {
        let text = String(decoding: line, as: UTF8.self)
        let key = text.drop { $0 == " " || $0 == "\t" }.prefix { $0.isLetter || $0 == "_" || $0 == "." }
        return key.isEmpty ? nil : key.lowercased()
    }
}
