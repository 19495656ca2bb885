internal import Platform
internal import Supervision

/// What is behind with the settings of the running Postgres: those that wait for a restart, and those below
/// what the log asks of a standby.
///
/// Looked up when the settings were loaded anew, when replay stops or goes on, and every half a minute, for
/// the control file: the view of all settings costs more than everything else that is asked each second.
final class SettingsWatch {
    /// Known without a look at the settings, from the question of each second.
    struct Occasion: Hashable {
        /// When they were last loaded, as Postgres says it.
        var loaded: String?
        /// Nil on a primary.
        var replay: String?
    }

    struct Finding: Hashable {
        var pending: [String] = []
        /// Below what the log asks for: replay stands still, a promotion would end Postgres.
        var unmet: String?
        /// An operator's wish that this standby stays behind.
        var delayed: String?
    }

    private var last: (occasion: Occasion, at: Int64, finding: Finding)?

    /// The control file is read anew this often.
    private static let interval: Int64 = 30_000_000_000
    /// More would only make `status` long.
    private static let namesShown = 8

    /// Forgets what was found of another postmaster.
    func forget() { last = nil }

    func look(
        _ session: Session, _ occasion: Occasion, required: () -> [String: Int]?, _ deadline: Int64
    ) throws(PostgresError) -> Finding {
        if let last, last.occasion == occasion, BootClock.now() - last.at < Self.interval {
            return last.finding
        }
        let required = occasion.replay == nil ? [:] : required() ?? [:]
        let names = required.keys.sorted() + ["recovery_min_apply_delay"]
        let rows = try session.query(
            """
            select name, setting, pending_restart, current_setting(name) from pg_settings
            where pending_restart or name = any(string_to_array($1, ',')) order by name
            """, [names.joined(separator: ",")], until: deadline)
        let finding = Self.finding(in: rows, required, isStandby: occasion.replay != nil)
        last = (occasion, BootClock.now(), finding)
        return finding
    }

    private static func finding(
        in rows: Session.Rows, _ required: [String: Int], isStandby: Bool
    ) -> Finding {
        var finding = Finding()
        for row in rows.cells {
            guard let name = row[0] else { continue }
            let value = row[1].flatMap { Int($0) } ?? 0
            // What a file says of a setting on our command line never comes into force: no restart brings it.
            if row[2] == "t", !ManagedSettings.argumentNames.contains(name),
                finding.pending.count < namesShown
            {
                finding.pending.append(name)
            }
            if let needed = required[name], value < needed, finding.unmet == nil {
                finding.unmet = "\(name) = \(value) is below the primary's \(needed)"
            }
            if name == "recovery_min_apply_delay", value > 0, isStandby {
                finding.delayed = "its replay is delayed (recovery_min_apply_delay = \(row[3] ?? ""))"
            }
        }
        return finding
    }
}
