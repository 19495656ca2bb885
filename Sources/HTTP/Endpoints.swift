internal import FoundationEssentials
internal import Supervision

/// Everything that can be asked on 5500. Nothing here changes anything.
///
/// Names and meanings of the Patroni rows are Patroni's, stricter where its answers promise too much: 200 on
/// `/primary` is a promise that a write will work now.
enum Endpoints {
    static let all: [HTTPEndpoint] = [
        HTTPEndpoint(
            "/", "/primary", "/read-write", "/master", "/leader", summary: "200 on the writable primary",
            answer: { report, request in check(report, request, report.isWritable(at: request.now)) }),
        HTTPEndpoint(
            "/replica", summary: "200 on a running standby; lag=SIZE, replication_state=WORD narrow it",
            answer: { report, request in check(report, request, isReplica(report, request)) }),
        HTTPEndpoint(
            "/health", summary: "200 while the local Postgres runs",
            answer: { report, request in check(report, request, isRunning(report, request)) }),
        HTTPEndpoint(
            "/liveness", summary: "200 while the agent works, whatever Postgres does",
            answer: { report, request in check(report, request, report.isValid(at: request.now)) }),
        HTTPEndpoint(
            "/readiness", summary: "200 on the writable primary and on a standby that streams; lag=SIZE",
            answer: { report, request in check(report, request, isReady(report, request)) }),
        HTTPEndpoint("/flycheck/role", summary: "the role in one word", answer: flyRole),
        HTTPEndpoint("/status", summary: "the cluster as this node sees it", answer: status),
    ]

    /// The row for a path. Paths are matched whole: a monitor that asks for something else must not get a
    /// 200.
    static func find(_ path: String) -> HTTPEndpoint? { all.first { $0.paths.contains(path) } }

    // MARK: Checks

    private static func isRunning(_ report: HTTPReport, _ request: HTTPRequest) -> Bool {
        report.isValid(at: request.now) && report.isRunning
    }

    private static func isReplica(_ report: HTTPReport, _ request: HTTPRequest) -> Bool {
        guard isRunning(report, request), report.role == .replica, !report.isOutOfBalance else {
            return false
        }
        if let wanted = request["replication_state"], wanted != report.replicationState { return false }
        guard let text = request["lag"] else { return true }
        // A limit that nobody can read, or a lag that nobody knows, is no promise.
        guard let limit = bytes(text), let lag = report.lagBytes else { return false }
        return lag <= limit
    }

    private static func isReady(_ report: HTTPReport, _ request: HTTPRequest) -> Bool {
        if report.isWritable(at: request.now) { return true }
        guard isRunning(report, request), report.role == .replica, report.replicationState == "streaming",
            let lag = report.lagBytes, let limit = request["lag"].map(bytes) ?? report.readyLagBytes
        else { return false }
        return lag <= limit
    }

    /// "1048576", "16MB", "1 GB": the units of postgresql.conf.
    static func bytes(_ text: String) -> UInt64? {
        let digits = text.prefix { $0.isASCII && $0.isNumber }
        guard let number = UInt64(digits) else { return nil }
        let units: [String: UInt64] = [
            "": 1, "b": 1, "kb": 1 << 10, "mb": 1 << 20, "gb": 1 << 30, "tb": 1 << 40,
        ]
        let unit = text[digits.endIndex...].filter { $0 != " " }.lowercased()
        guard let factor = units[unit] else { return nil }
        let (product, overflow) = number.multipliedReportingOverflow(by: factor)
        return overflow ? nil : product
    }

    // MARK: Answers

    private struct CheckBody: Encodable {
        let state: String
        let role: String
        let writable: Bool
        let timeline: UInt32?
        let lagBytes: UInt64?
        let replicationState: String?
        let reason: String?

        enum CodingKeys: String, CodingKey {
            case state, role, writable, timeline, reason
            case lagBytes = "lag_bytes"
            case replicationState = "replication_state"
        }
    }

    private static func check(_ report: HTTPReport, _ request: HTTPRequest, _ passes: Bool) -> HTTPResponse {
        let body = CheckBody(
            state: report.state.rawValue, role: roleNow(report, request),
            writable: report.isWritable(at: request.now),
            timeline: report.status.timeline, lagBytes: report.lagBytes,
            replicationState: report.replicationState, reason: reasonNow(report, request))
        return .json(passes ? 200 : 503, encode(body))
    }

    /// A primary whose lease is over is none, whatever the last report said.
    private static func roleNow(_ report: HTTPReport, _ request: HTTPRequest) -> String {
        if !report.isValid(at: request.now) { return "unknown" }
        return report.role.rawValue
    }

    private static func reasonNow(_ report: HTTPReport, _ request: HTTPRequest) -> String? {
        if !report.isValid(at: request.now) { return "the agent has not reported in time" }
        if report.role == .primary, !report.isWritable(at: request.now) {
            return report.reason ?? "the primary may not write: its lease is over, or it is not open yet"
        }
        return report.reason
    }

    /// The bare word that Fly's machinery reads. 500 for a role that is not certain.
    private static func flyRole(_ report: HTTPReport, _ request: HTTPRequest) -> HTTPResponse {
        guard report.isValid(at: request.now) else { return .text(500, "unknown") }
        switch report.role {
        case .primary where report.isWritable(at: request.now): return .text(200, "primary")
        case .primary: return .text(500, "zombie")
        case .replica: return .text(200, "replica")
        case .witness: return .text(200, "witness")
        case .none: return .text(500, "unknown")
        }
    }

    private static func status(_ report: HTTPReport, _ request: HTTPRequest) -> HTTPResponse {
        var status = report.status
        status.writable = status.writable && request.now < min(report.validUntil, report.statusWritableUntil)
        return .json(200, encode(status))
    }

    static func notFound() -> HTTPResponse {
        struct Row: Encodable {
            let paths: [String]
            let summary: String
        }
        struct Body: Encodable {
            let error: String
            let endpoints: [Row]
        }
        let rows = all.map { Row(paths: $0.paths, summary: $0.summary) }
        return .json(404, encode(Body(error: "there is nothing here", endpoints: rows)))
    }

    static func encode(_ value: some Encodable) -> [UInt8] {
        let encoder = JSONEncoder()
        // Positions such as 0/5000148 are to be read by people and simple scripts too.
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        do {
            return Array(try encoder.encode(value)) + [UInt8(ascii: "\n")]
        } catch {
            // Only an infinite number in a report could do that.
            return Array("{\"error\":\"the report cannot be written as JSON\"}\n".utf8)
        }
    }
}
