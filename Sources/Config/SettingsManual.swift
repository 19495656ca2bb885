import Consensus

/// The texts that are made from the table of settings: sample file, manual page, help, check report.
public enum SettingsManual {
    /// The annotated sample, `etc/matriarch.conf` (`matriarchd --describe-config`).
    public static var sampleFile: String {
        let head = """
            # Settings of matriarchd, as matriarchd --describe-config prints them.
            #
            # Syntax as in postgresql.conf: key = 'value', # begins a comment.
            # Units: ms s min h d, kB MB GB TB.
            # A line that begins with # shows the default, or an example where the default is in words.
            # Each key is also an environment variable MATRIARCH_<KEY> and a flag --key;
            # flag goes before environment, environment before file.
            # More files:  include_dir = 'conf.d'   (all *.conf in it, in the order of their names)
            # Check with:  matriarchd --check-config
            """
        let sections = Setting.Section.allCases.map { section in
            "\n# ── \(section.rawValue) ──\n" + settings(in: section).map(sampleEntry).joined()
        }
        return head + "\n" + sections.joined()
    }

    /// `docs/operate/configuration.md`.
    public static var page: String {
        let head = """
            # Settings

            Made from the same table as the parser (`make docs`); do not edit.

            The agent reads `\(ConfigurationSources.standardPath)` (or `--config FILE`) in the syntax of
            postgresql.conf: `key = 'value'`, `#` begins a comment, units are `ms s min h d` and
            `kB MB GB TB`, `include_dir = 'conf.d'` reads all `*.conf` of a directory. Each key is also an
            environment variable `MATRIARCH_<KEY>` and a flag `--key value`. A flag goes before the
            environment, the environment before the file, the file before the default.

            `matriarchd --check-config` checks everything and says what follows from it. A setting that is
            unknown, out of range, or contradicts another one stops the start with exit code 78; the message
            names file, line, key and value and says what would be right.
            """
        let sections = Setting.Section.allCases.map { section in
            "\n## \(section.rawValue)\n" + settings(in: section).map(pageEntry).joined()
        }
        return head + "\n" + sections.joined()
    }

    /// The settings part of `matriarchd --help`.
    public static var flags: String {
        let width = Setting.all.map(\.key.count).max() ?? 0
        return Setting.Section.allCases.map { section in
            let lines = settings(in: section).map { setting in
                let padding = String(repeating: " ", count: width - setting.key.count)
                return "  --\(setting.key)\(padding)  \(setting.defaultText)"
            }
            return section.rawValue + " (setting, default)\n" + lines.joined(separator: "\n")
        }.joined(separator: "\n\n")
    }

    /// What `matriarchd --check-config` prints when everything is right.
    public static func report(on configuration: Configuration, notices: [ConfigurationNotice]) -> String {
        let timings = configuration.timings
        let times = [
            ("lease", timings.lease, "a primary may act this long without a majority"),
            ("heartbeat", timings.heartbeat, "the leader renews its lease this often"),
            (
                "demotion", timings.demoteMargin,
                "before the end of its lease, a primary without a majority stops"
            ),
            ("kill", timings.killMargin, "before the end of its lease, the guard kills what still runs"),
            ("promise", timings.promise, "a voter follows no other leader for this long after a heartbeat"),
            ("round trip budget", timings.roundTripBudget, "the slowest voter must answer within this"),
            (
                "agent restart budget", timings.agentRestartBudget,
                "an agent back in this time keeps its primary"
            ),
        ]
        var lines = [
            "settings are good: node \(configuration.nodeName) of cluster \(configuration.clusterName)"
        ]
        for (name, time, meaning) in times {
            let label = name + String(repeating: " ", count: 22 - name.count)
            let value = Quantity.text(time)
            lines.append(
                "  \(label)\(value)\(String(repeating: " ", count: max(1, 9 - value.count)))\(meaning)")
        }
        lines.append(contentsOf: notices.map { "note: \($0)" })
        return lines.map { $0 + "\n" }.joined()
    }

    private static func settings(in section: Setting.Section) -> [Setting] {
        Setting.all.filter { $0.section == section }
    }

    private static func sampleEntry(_ setting: Setting) -> String {
        let facts = "Default: \(setting.defaultText). Allowed: \(setting.allowed). \(changeWords(setting))"
        let comments = wrapped(help(setting), at: 98) + wrapped(facts, at: 98)
        let lines = comments.map { "# " + $0 } + ["#" + setting.sampleLine]
        return "\n" + lines.map { $0 + "\n" }.joined()
    }

    private static func pageEntry(_ setting: Setting) -> String {
        var facts = ["Default: \(setting.defaultText)"]
        facts.append("Allowed: \(setting.allowed)")
        facts.append(changeWords(setting))
        if let example = setting.example { facts.append("Example: `\(setting.key) = '\(example)'`") }
        let list = facts.map { "- " + $0 }.joined(separator: "\n")
        return "\n### `\(setting.key)`\n\n" + wrapped(help(setting), at: 100).joined(separator: "\n")
            + "\n\n\(list)\n"
    }

    private static func help(_ setting: Setting) -> String {
        setting.help + (setting.awaits.map { " Without effect until \($0) is built." } ?? "")
    }

    private static func changeWords(_ setting: Setting) -> String {
        switch setting.change {
        case .reload: "A new value is taken over by SIGHUP."
        case .restart: "A new value needs a restart of matriarchd."
        case .creation:
            "Cluster-wide: counts when the cluster is created, later the cluster's own value rules."
        }
    }

    private static func wrapped(_ text: String, at width: Int) -> [String] {
        var lines: [String] = []
        var line = ""
        for word in text.split(separator: " ") {
            if !line.isEmpty, line.count + 1 + word.count > width {
                lines.append(line)
                line = ""
            }
            line += (line.isEmpty ? "" : " ") + word
        }
        return lines + [line]
    }
}
