import Supervision

/// Tells a hand-over in the steps that people know from `fly postgres failover` and repmgr, from one status
/// after another.
struct FailoverStory {
    private enum Stage: Int {
        case stopping, promoting, following, healing, complete
    }

    let old: String
    let target: String
    private let siblings: [String]
    private let addresses: [String: String]
    private let before: StatusReport
    private var stage = Stage.stopping
    private var healthy: Set<String> = []
    private var sawIntent = false
    private(set) var winner: String?

    /// - Parameter before: the status when the command was given.
    init(before: StatusReport, target: String) {
        self.before = before
        self.target = target
        old = before.primary ?? before.leader ?? "none"
        siblings = before.members.map(\.name).filter { $0 != target && $0 != before.primary }
        addresses = Dictionary(
            before.members.map { ($0.name, $0.address) }, uniquingKeysWith: { first, _ in first })
    }

    var isComplete: Bool { stage == .complete }

    func opening() -> [String] {
        [
            "Performing a failover", "Connecting to \(address(old))... complete",
            "Stopping current leader...  \(old)",
        ]
    }

    /// The old primary writes on and nobody speaks of a switchover any more.
    func wasAbandoned(_ report: StatusReport) -> Bool {
        stage == .stopping && sawIntent && report.switchoverTo == nil && report.primary == old
            && report.term == before.term
    }

    /// What a newer status adds to the story; nothing when it is no news.
    mutating func see(_ report: StatusReport) -> [String] {
        var lines: [String] = []
        if report.switchoverTo != nil { sawIntent = true }
        if stage == .stopping, report.term > before.term || report.primary == nil {
            stage = .promoting
            lines += [
                "Starting new leader", "Promoting new leader...  \(target)",
                "Connecting to \(address(target))... complete",
                "NOTICE: promoting standby to primary",
                "DETAIL: promoting server \"\(address(target))\" (ID: \(target)) using pg_promote()",
                "NOTICE: waiting up to 60 seconds (parameter \"promote_check_timeout\") "
                    + "for promotion to complete",
            ]
        }
        if stage == .promoting, report.term > before.term, report.writable, let primary = report.primary {
            stage = .following
            winner = primary
            if primary != target {
                lines.append("NOTICE: \(primary) had fresher data and was promoted instead of \(target)")
            }
            lines += [
                "NOTICE: STANDBY PROMOTE successful",
                "DETAIL: server \"\(address(primary))\" (ID: \(primary)) was successfully "
                    + "promoted to primary",
                "NOTICE: executing STANDBY FOLLOW on \(reachable(report).count) of "
                    + "\(siblings.count) siblings",
            ]
        }
        if stage == .following, reachable(report).allSatisfy({ isHealthy($0, report) }) {
            stage = .healing
            lines += [
                "INFO: STANDBY FOLLOW successfully executed on all reachable sibling nodes",
                "Restarting old leader... \(old)", "Waiting for leadership to swap to \(winner ?? target)...",
            ]
        }
        if stage == .healing { lines += heal(report) }
        return lines
    }

    private mutating func heal(_ report: StatusReport) -> [String] {
        var lines: [String] = []
        for member in report.members where !healthy.contains(member.name) && isHealthy(member.name, report) {
            healthy.insert(member.name)
            lines.append("  \(member.name) is healthy (\(member.state.rawValue), \(member.checks.passing)/3)")
        }
        let awaited = report.members.filter { $0.reachable || $0.name == winner }
        if awaited.allSatisfy({ healthy.contains($0.name) }) {
            stage = .complete
            lines.append("Failover complete")
        }
        return lines
    }

    private func reachable(_ report: StatusReport) -> [String] {
        siblings.filter { name in report.members.contains { $0.name == name && $0.reachable } }
    }

    private func isHealthy(_ name: String, _ report: StatusReport) -> Bool {
        report.members.contains {
            $0.name == name && $0.state == .started && $0.checks.passing == $0.checks.total
        }
    }

    private func address(_ name: String) -> String { addresses[name] ?? name }
}
