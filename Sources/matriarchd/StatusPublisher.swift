import Consensus
import HTTP
import Platform
import Supervision

/// Turns the node's view into the one immutable report that checks, `status` and the page are answered from.
final class StatusPublisher {
    /// So many parts of a lease may pass before news that change no answer are published.
    private static let partsOfLease: Int64 = 10

    let published: Published<HTTPReport>
    private let readyLag: UInt64
    private var last: Int64 = 0
    private var lastOutline: Outline?
    private var lastNotice = ""
    var credentials: CredentialFiles

    init(initial: StatusReport, readyLag: UInt64, credentials: CredentialFiles) {
        published = Published(HTTPReport(status: initial))
        self.readyLag = readyLag
        self.credentials = credentials
    }

    func publish(_ node: Node, at now: Instant) {
        let lease = node.document?.lease ?? node.settings.lease
        let outline = Outline(node)
        let interval = (lease / StatusPublisher.partsOfLease).nanoseconds
        guard outline != lastOutline || now.nanoseconds - last >= interval else { return }
        last = now.nanoseconds
        lastOutline = outline
        let status = node.status(at: now)
        published.value = report(node, status, now)
        if let document = node.document { credentials.follow(document.credentials) }
        tell(status)
    }

    /// What is published at once when it changes: cheap to ask for after each step.
    private struct Outline: Hashable {
        var primary: MemberID?
        var isWritable: Bool
        var leader: MemberID?
        var term: Term
        var version: Version?
        var decision: Decision
        var isStreaming: Bool

        init(_ node: Node) {
            primary = node.openPrimary
            isWritable = node.writableUntil != nil
            leader = node.leader
            term = node.term
            version = node.hard.committed?.version
            decision = node.decision
            isStreaming = node.isStreaming
        }
    }

    private func report(_ node: Node, _ status: StatusReport, _ now: Instant) -> HTTPReport {
        var report = HTTPReport(status: StatusPublisher.dated(status))
        let mine = status.members.first { $0.name == status.node }
        let lease = node.document?.lease ?? node.settings.lease
        report.writableUntil = node.writableUntil?.nanoseconds ?? .min
        report.validUntil = (now + lease).nanoseconds
        report.statusWritableUntil = status.writable ? (node.writableUntil ?? now + lease).nanoseconds : .min
        report.state = mine?.state ?? .starting
        report.role = mine?.role ?? .none
        report.isRunning = mine?.state == .started || mine?.state == .joining || mine?.state == .fenced
        report.replicationState = node.isStreaming ? "streaming" : nil
        report.lagBytes = mine?.lagBytes
        report.readyLagBytes = node.document?.maximumLagOnFailover ?? readyLag
        report.isOutOfBalance = node.settings.member.tags.contains("noloadbalance")
        report.reason = status.reason
        return report
    }

    /// What `systemctl status` shows.
    private func tell(_ status: StatusReport) {
        let role = status.members.first { $0.name == status.node }?.role.rawValue ?? "none"
        let text = "STATUS=\(role), primary \(status.primary ?? "none"), term \(status.term)"
        guard text != lastNotice else { return }
        lastNotice = text
        _ = Systemd.notify(text)
    }

    /// Ages become dates: the node itself knows no calendar.
    static func dated(_ status: StatusReport) -> StatusReport {
        var status = status
        let now = WallClock.now()
        for index in status.members.indices {
            let line = status.members[index]
            if line.createdSeconds > 0 {
                status.members[index].created = date((line.createdSeconds, 0))
            }
            if let age = line.ageMilliseconds {
                status.members[index].updated = date((now.seconds - age / 1000, 0))
            }
            if !line.reachable {
                let since = status.members[index].updated.map { "unreachable since \($0)" }
                let before = line.reason.map { "; it last said: \($0)" } ?? ""
                status.members[index].reason = (since ?? "not heard since this node started") + before
            }
        }
        return status
    }

    /// Whole seconds: `2026-11-21T02:00:00Z`.
    private static func date(_ time: (seconds: Int64, nanoseconds: Int64)) -> String {
        WallClock.iso8601(time).split(separator: ".").first.map { $0 + "Z" } ?? ""
    }
}
