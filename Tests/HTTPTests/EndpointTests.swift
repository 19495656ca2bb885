import Platform
import Supervision
import Testing

@testable import HTTP

/// The answers by themselves, without a socket.
struct EndpointTests {
    /// States of a node, as columns of the table below.
    enum Node: String, CaseIterable {
        case primary, primaryWithoutLease, primaryOfStuckAgent, replica, replicaCatchingUp, outOfBalance,
            stopped
        case witness, unknown

        var report: HTTPReport {
            switch self {
            case .primary: return .healthy(.primary)
            case .primaryWithoutLease:
                var report = HTTPReport.healthy(.primary)
                report.writableUntil = BootClock.now() - 1_000_000_000
                report.statusWritableUntil = report.writableUntil
                return report
            case .primaryOfStuckAgent:
                var report = HTTPReport.healthy(.primary)
                report.validUntil = BootClock.now() - 1_000_000_000
                return report
            case .replica: return .healthy(.replica)
            case .replicaCatchingUp:
                var report = HTTPReport.healthy(.replica)
                report.replicationState = "in archive recovery"
                report.lagBytes = 100 << 20
                return report
            case .outOfBalance:
                var report = HTTPReport.healthy(.replica)
                report.isOutOfBalance = true
                return report
            case .stopped:
                var report = HTTPReport.healthy(.none)
                report.state = .stopped
                report.isRunning = false
                return report
            case .witness: return .healthy(.witness)
            case .unknown: return HTTPReport(status: StatusReport(cluster: "main", node: "pg1"))
            }
        }
    }

    private static func ask(_ node: Node, _ path: String, _ arguments: [(String, String)] = [])
        -> HTTPResponse?
    {
        let pairs = arguments.map { (name: $0.0, value: $0.1) }
        let request = HTTPRequest(path: path, arguments: pairs, now: BootClock.now())
        return Endpoints.find(path)?.answer(node.report, request)
    }

    /// Which nodes answer 200; all others 503.
    static let table: [(path: String, arguments: [(String, String)], passing: Set<Node>)] = [
        ("/", [], [.primary]),
        ("/primary", [], [.primary]),
        ("/read-write", [], [.primary]),
        ("/master", [], [.primary]),
        ("/leader", [], [.primary]),
        ("/replica", [], [.replica, .replicaCatchingUp]),
        ("/replica", [("lag", "1MB")], [.replica]),
        ("/replica", [("lag", "999")], []),
        ("/replica", [("lag", "1GB")], [.replica, .replicaCatchingUp]),
        ("/replica", [("lag", "much")], []),
        ("/replica", [("replication_state", "streaming")], [.replica]),
        ("/health", [], [.primary, .primaryWithoutLease, .replica, .replicaCatchingUp, .outOfBalance]),
        (
            "/liveness", [],
            [.primary, .primaryWithoutLease, .replica, .replicaCatchingUp, .outOfBalance, .stopped, .witness]
        ),
        ("/readiness", [], [.primary, .replica, .outOfBalance]),
        ("/readiness", [("lag", "10")], [.primary]),
    ]

    @Test(arguments: table.indices)
    func eachCheckPassesForExactlyItsNodes(row: Int) {
        let (path, arguments, passing) = Self.table[row]
        for node in Node.allCases {
            let status = Self.ask(node, path, arguments)?.status
            #expect(status == (passing.contains(node) ? 200 : 503), "\(path) \(arguments) of \(node)")
        }
    }

    @Test(arguments: [
        (Node.primary, UInt32(200), "primary"), (.primaryWithoutLease, 500, "zombie"),
        (.primaryOfStuckAgent, 500, "unknown"), (.replica, 200, "replica"), (.witness, 200, "witness"),
        (.stopped, 500, "unknown"), (.unknown, 500, "unknown"),
    ])
    func flyReadsTheRoleInOneWord(node: Node, status: UInt32, word: String) {
        #expect(Self.ask(node, "/flycheck/role") == .text(status, word))
    }

    @Test(arguments: [(Node.primary, true), (.primaryWithoutLease, false), (.primaryOfStuckAgent, false)])
    func statusSaysWritableOnlyWhileTheLeaseLasts(node: Node, writable: Bool) throws {
        let response = try #require(Self.ask(node, "/status"))
        let text = String(decoding: response.body, as: UTF8.self)
        #expect(response.status == 200)
        #expect(text.contains("\"writable\":\(writable)"))
        #expect(text.contains("\"cluster\":\"main\""))
    }

    @Test func positionsAreWrittenAsPostgresDoes() throws {
        var report = HTTPReport.healthy(.replica)
        var line = StatusReport.Line(
            name: "pg1", state: .started, role: .replica, region: "iad", voter: true, address: "10.0.0.1",
            checks: .init(total: 3, passing: 3), reachable: true, createdSeconds: 0)
        line.lsn = LSN(0x5_000148)
        report.status.members = [line]
        let request = HTTPRequest(path: "/status", now: BootClock.now())
        let body = try #require(Endpoints.find("/status")?.answer(report, request).body)
        #expect(String(decoding: body, as: UTF8.self).contains("\"lsn\":\"0/5000148\""))
    }

    @Test(arguments: [
        ("0", UInt64(0)), ("1048576", 1 << 20), ("16MB", 16 << 20), ("1 GB", 1 << 30), ("2kb", 2048),
        ("7B", 7),
    ])
    func sizesAreReadAsInPostgresqlConf(text: String, bytes: UInt64) {
        #expect(Endpoints.bytes(text) == bytes)
    }

    @Test(arguments: ["", "MB", "-1", "1.5MB", "1XB", "99999999999999999999", "99999999999TB", "１"])
    func whatIsNoSizeIsNone(text: String) {
        #expect(Endpoints.bytes(text) == nil)
    }
}
