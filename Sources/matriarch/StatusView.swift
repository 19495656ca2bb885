import Supervision

/// `matriarch status` for people: the cluster in three lines, then one line per member.
struct StatusView {
    let report: StatusReport
    let colours: Bool
    /// The terminal's width; longer lines are cut there.
    let width: Int?

    private static let columns = [
        "ID", "STATE", "ROLE", "REGION", "CHECKS", "LAG", "TIMELINE", "VERSION", "CREATED", "UPDATED",
    ]

    var text: String { (summary + [""] + table).map(cut).joined(separator: "\n") + "\n" }

    private var summary: [String] {
        var lines = ["Cluster \(report.cluster), primary region \(report.primaryRegion ?? "not known yet")"]
        let primary = report.primary ?? "none"
        let writable = report.writable ? paint("writable", .good) : paint("not writable", .bad)
        var second = "Primary \(primary) (\(writable)), term \(report.term)"
        if let timeline = report.timeline { second += ", timeline \(timeline)" }
        if let left = report.leaseLeftMilliseconds { second += ", lease left \(seconds(left))" }
        lines.append(second)
        lines.append("Synchronous mode \(report.synchronous.mode)" + (report.paused ? ", " + paused : ""))
        if let target = report.switchoverTo { lines.append("Switchover to \(target) under way") }
        if let reason = report.reason { lines.append("\(report.node) waits: \(reason) [\(report.rule)]") }
        return lines + warnings
    }

    private var paused: String {
        let left =
            report.pausedMillisecondsLeft.map { ", \(seconds($0)) left" } ?? " until `matriarch resume`"
        return paint("PAUSED", .bad) + left + ": nobody is promoted"
    }

    private var warnings: [String] {
        let able = report.members.filter(\.voter)
        guard !report.members.isEmpty, able.count < 3 else { return [] }
        return [
            paint("No automatic failover:", .bad)
                + " \(able.count) voter\(able.count == 1 ? "" : "s") in the primary region, three are needed"
        ]
    }

    private var table: [String] {
        let lines = TextTable.lines([StatusView.columns] + report.members.map(cells))
        let painted = zip(lines.dropFirst(), report.members).map { line, member in
            member.reachable && member.checks.passing == member.checks.total ? line : paint(line, .bad)
        }
        let reasons = report.members.compactMap { member in
            member.reason.map { "  \(member.name): \($0)" }
        }
        let pending = report.members.filter(\.pendingRestart).map { member in
            "  \(member.name): \(member.pendingSettings.joined(separator: ", ")) "
                + "wait\(member.pendingSettings.count == 1 ? "s" : "") for `matriarch restart \(member.name)`"
        }
        return [lines[0]] + painted + reasons + pending
    }

    private func cells(_ member: StatusReport.Line) -> [String] {
        let lag = member.lagBytes.map { $0 == 0 ? "0" : bytes($0) } ?? "-"
        return [
            member.name, member.state.rawValue, member.role.rawValue, member.region,
            "\(member.checks.total) total, \(member.checks.passing) passing", lag,
            member.timeline.map(String.init) ?? "-", member.version ?? "-", member.created ?? "-",
            updated(member),
        ]
    }

    private func updated(_ member: StatusReport.Line) -> String {
        guard let age = member.ageMilliseconds else { return "never" }
        guard !member.reachable else { return member.updated ?? "-" }
        return "last seen \(seconds(age)) ago"
    }

    private func seconds(_ milliseconds: Int64) -> String {
        "\(milliseconds / 1000).\(milliseconds % 1000 / 100) s"
    }

    private func bytes(_ count: UInt64) -> String {
        if count < 1 << 13 { return "\(count) B" }
        if count < 1 << 23 { return "\(count >> 10) kB" }
        return "\(count >> 20) MB"
    }

    // MARK: the terminal

    private enum Colour: String {
        case good = "\u{1B}[32m"
        case bad = "\u{1B}[31m"
    }

    private func paint(_ text: String, _ colour: Colour) -> String {
        colours ? colour.rawValue + text + "\u{1B}[0m" : text
    }

    /// Escapes take no room, so painted lines are left whole.
    private func cut(_ line: String) -> String {
        guard let width, line.count > width, !line.contains("\u{1B}") else { return line }
        return String(line.prefix(width - 1)) + "…"
    }
}
