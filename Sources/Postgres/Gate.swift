internal import Platform
internal import Supervision

/// The gate through which WAL comes in (protocol: Freeze).
///
/// Postgres always connects upstream by the name of a libpq service, and libpq reads the service's file anew
/// at each connect. Without the file no walreceiver can connect, whatever the startup process still believes.
struct Gate {
    static let service = "matriarch_upstream"

    let site: PostgresSite

    var serviceFile: String { site.runtimeDirectory + "/upstream.conf" }
    /// Included by the managed settings.
    var settingsFile: String { site.data("matriarch_upstream.conf") }

    /// For the postmaster's environment.
    var environment: [String: String] { ["PGSERVICEFILE": serviceFile] }

    var hasService: Bool { Files.exists(serviceFile) }

    /// From here on nothing new can connect; what is connected must be ended besides, and the settings say so
    /// too once `closeSettings` is done.
    func shut() throws(SystemError) { try Files.removeDurably(serviceFile) }

    /// Spares Postgres the attempts to connect.
    func closeSettings() throws(SystemError) {
        guard Files.isDirectory(site.dataDirectory) else { return }
        try write(conninfo: "", slot: "")
    }

    func close() throws(SystemError) {
        try shut()
        try closeSettings()
    }

    func open(to upstream: Upstream) throws {
        let lines = [
            "[\(Self.service)]", "host=\(upstream.address)", "port=\(upstream.port)", "user=\(upstream.role)",
            "password=\(upstream.password)", "application_name=\(upstream.applicationName)",
            "gssencmode=disable", "keepalives_idle=5", "keepalives_interval=2", "keepalives_count=3",
        ]
        if let line = lines.first(where: { $0.contains(where: \.isNewline) }) {
            let key = line.prefix { $0 != "=" }
            throw PostgresError.refused("opening the gate", "the upstream's \(key) holds a line break")
        }
        try Files.replaceDurably(serviceFile, Array((lines.joined(separator: "\n") + "\n").utf8))
        try write(conninfo: "service=\(Self.service)", slot: upstream.slot)
    }

    /// WAL comes by streaming only: an archive could bring back a dead branch.
    private func write(conninfo: String, slot: String) throws(SystemError) {
        let text = """
            # Written by matriarchd; changes are lost.
            primary_conninfo = '\(conninfo)'
            primary_slot_name = '\(slot)'
            restore_command = ''

            """
        try Files.replaceIfDifferent(settingsFile, text)
    }
}
