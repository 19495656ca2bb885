import FoundationEssentials
import Supervision
import Testing

@testable import HTTP

/// The keys of the manual, which scripts rely on.
private let clusterKeys = [
    "cluster", "system_identifier", "primary_region", "term", "timeline", "leader", "primary", "writable",
    "paused", "synchronous", "members",
]
private let memberKeys = [
    "name", "state", "role", "region", "voter", "address", "checks", "timeline", "lsn", "lag_bytes",
    "lag_seconds", "version", "agent_version", "reachable", "created", "updated", "reason",
    "pending_restart", "pending_settings", "tags",
]

@Test("Every key of the status is there, null where nothing is known")
func statusHasEveryKey() throws {
    var report = StatusReport(cluster: "main", node: "pg1")
    let checks = StatusReport.Checks(total: 3, passing: 0)
    report.members = [
        .init(
            name: "pg1", state: .starting, role: .none, region: "iad", voter: true, address: "10.0.0.1",
            checks: checks, reachable: false, createdSeconds: 0)
    ]
    let text = String(decoding: Endpoints.encode(report), as: UTF8.self)
    for key in clusterKeys + memberKeys {
        #expect(text.contains("\"\(key)\":"), "\(key) is missing in \(text)")
    }
    for key in ["primary", "leader", "lag_seconds", "lsn", "updated"] {
        #expect(text.contains("\"\(key)\":null"), "\(key) is not null in \(text)")
    }
}

@Test("A status reads back as what was written")
func statusReadsBack() throws {
    var report = StatusReport(cluster: "main", node: "pg1")
    report.timeline = 5
    report.leader = "pg1"
    report.leaseLeftMilliseconds = 1200
    var line = StatusReport.Line(
        name: "pg1", state: .started, role: .primary, region: "iad", voter: true, address: "10.0.0.1",
        checks: .init(total: 3, passing: 3), reachable: true, createdSeconds: 7)
    line.lsn = LSN("0/5000148")
    line.lagSeconds = 0.25
    line.reason = "none"
    report.members = [line]
    let bytes = Endpoints.encode(report)
    #expect(try JSONDecoder().decode(StatusReport.self, from: Data(bytes)) == report)
    #expect(String(decoding: bytes, as: UTF8.self).contains("\"lsn\":\"0/5000148\""))
}
