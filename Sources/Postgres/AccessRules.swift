internal import Platform
internal import Supervision

/// Who may connect: our own pg_hba and pg_ident, in place of the data directory's
/// (docs/internals/postgres.md).
struct AccessRules {
    private static let map = "matriarch"

    static func hbaFile(_ site: PostgresSite) -> String { site.data("matriarch_hba.conf") }
    static func identFile(_ site: PostgresSite) -> String { site.data("matriarch_ident.conf") }

    /// Writes both files.
    ///
    /// - Returns: whether one of them changed.
    static func write(_ configuration: ManagedConfiguration, _ site: PostgresSite) throws -> Bool {
        for name in configuration.credentials.roles where name.contains(where: { $0 == "\"" || $0.isNewline })
        {
            throw PostgresError.refused(
                "writing pg_hba", "the role name '\(name)' holds a quote or a line break")
        }
        let hba = try Files.replaceIfDifferent(hbaFile(site), hbaText(configuration))
        let ident = try Files.replaceIfDifferent(identFile(site), identText(configuration.credentials))
        return hba || ident
    }

    /// Passwords over the network by SCRAM only, never by trust: a proxy in front hides where a client comes
    /// from.
    static func hbaText(_ configuration: ManagedConfiguration) -> String {
        let admin = quoted(configuration.credentials.adminRole)
        let replication = quoted(configuration.credentials.replicationRole)
        var lines = [
            "# Written by matriarchd; changes are lost.",
            "# The agent's own role: its system user over the unix socket, nobody over the network.",
            "local  all,replication  \(admin)  peer map=\(map)",
            "local  all  all  scram-sha-256",
            "local  replication  all  reject",
            "host  all,replication  \(admin)  all  reject",
            "# WAL goes to members only; a database connection of the same role serves pg_rewind.",
        ]
        for address in sources(configuration.memberAddresses) {
            lines.append("host  all,replication  \(replication)  \(address)  scram-sha-256")
        }
        lines += [
            "host  all,replication  \(replication)  all  reject",
            "host  replication  all  all  reject",
            "# People and applications.",
            "host  all  all  all  scram-sha-256",
        ]
        return lines.map { $0 + "\n" }.joined()
    }

    static func identText(_ credentials: Credentials) -> String {
        """
        # Written by matriarchd; changes are lost.
        \(map)  \(quoted(OwnUser.name))  \(quoted(credentials.adminRole))

        """
    }

    /// The role that this data directory knows us by; nil before it was ever configured.
    static func adminRole(of site: PostgresSite) -> String? {
        guard let text = try? Files.readText(identFile(site)) else { return nil }
        for line in text.split(separator: "\n") where line.hasPrefix(map) {
            let parts = line.split(separator: "\"")
            if parts.count == 4 { return String(parts[3]) }
        }
        return nil
    }

    /// Members' addresses as pg_hba writes them, in order and each once.
    static func sources(_ addresses: [String]) -> [String] {
        var sources: Set<String> = []
        for address in addresses {
            if address.contains(":") {
                sources.insert("\(address)/128")
            } else if address.split(separator: ".").count == 4,
                address.allSatisfy({ $0.isNumber || $0 == "." })
            {
                sources.insert("\(address)/32")
                // From one loopback address to another the kernel takes 127.0.0.1 as the source.
                if address.hasPrefix("127.") { sources.insert("127.0.0.1/32") }
            } else {
                sources.insert(quoted(address))
            }
        }
        return sources.sorted()
    }

    private static func quoted(_ name: String) -> String { "\"\(name)\"" }
}

extension Credentials {
    var roles: [String] { [operatorRole, adminRole, replicationRole] }
}
