import Glibc
import Platform
import TestSupport
import Testing

@testable import Proxy

/// Real clients and a real server at the two ends.
@Suite(.requiresPostgres, .serialized)
struct RealPostgresTests {
    @Test func psqlAndPgbenchWorkThroughItAndFiftyMegabytesArriveUnchanged() throws {
        let postgres = try RealPostgres()
        let proxy = try RunningProxy()
        try proxy.route(address: postgres.address)
        for mode in ["disable", "prefer"] {
            #expect(try postgres.psql("select 40 + 2", through: proxy.port, sslmode: mode) == "42\n")
        }
        // 50 MB there and back: psql's COPY in both directions.
        let file = postgres.directory.file("in.txt")
        try postgres.shell("head -c 38000000 /dev/urandom | base64 > \(file)")
        try postgres.psql("create table big (line text)", through: proxy.port)
        try postgres.psql("\\copy big from '\(file)'", through: proxy.port)
        try postgres.psql("\\copy big to '\(file).out'", through: proxy.port)
        let sums = try postgres.shell("md5sum < \(file); md5sum < \(file).out").split(separator: "\n")
        #expect(sums.count == 2)
        #expect(sums.first == sums.last)
        #expect(try proxy.state().bytesToServer > 50_000_000)

        let port = ["-h", "127.0.0.1", "-p", "\(proxy.port)", "-U", "postgres", "postgres"]
        try postgres.run("pgbench", ["-i", "-q", "-s", "1"] + port)
        let report = try postgres.run(
            "pgbench", ["-S", "-M", "prepared", "-c", "8", "-j", "2", "-t", "500"] + port)
        #expect(report.contains("number of failed transactions: 0"))
    }

    @Test func aCancelReachesItsBackend() throws {
        let postgres = try RealPostgres()
        let proxy = try RunningProxy()
        try proxy.route(address: postgres.address)
        let psql = try postgres.start("psql", postgres.psqlArguments("select pg_sleep(60)", proxy.port))
        try waitUntil("the query runs") {
            try postgres.psql("select count(*) from pg_stat_activity where wait_event = 'PgSleep'") == "1\n"
        }
        try psql.signal(SIGINT)
        let exit = psql.wait(until: BootClock.now() + 10_000_000_000)
        #expect(exit == .status(1))
        #expect(psql.captured(.error).contains("canceling statement due to user request"))
    }

    @Test func psqlShowsWhyItWasTurnedAway() throws {
        let postgres = try RealPostgres()
        let proxy = try RunningProxy(holdSeconds: 0.2)
        try proxy.say("hold reason=an election is running")
        let psql = try postgres.start("psql", postgres.psqlArguments("select 1", proxy.port))
        #expect(psql.wait(until: BootClock.now() + 10_000_000_000) == .status(2))
        #expect(psql.captured(.error).contains("no writable primary at the moment: an election is running"))
    }
}

/// A Postgres of its own on loopback without passwords; stopped and removed with its owner.
final class RealPostgres {
    private static let bin = "/usr/lib/postgresql/15/bin/"
    /// Becomes the program, so that signals reach it.
    private static let asPostgres = [
        "/usr/bin/setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", "--",
    ]

    let directory: TemporaryDirectory
    let address: SocketAddress

    init() throws {
        directory = try TemporaryDirectory("postgres", owner: geteuid() == 0 ? "postgres" : nil)
        // A port that was free a moment ago, on an address that only these tests use.
        let probe = try Backend(host: "127.77.1.1")
        probe.close()
        guard let address = SocketAddress(host: probe.host, port: probe.port) else {
            throw Wire.Failure(description: "address")
        }
        self.address = address
        let data = directory.file("data")
        try run("initdb", ["-D", data, "-A", "trust", "-U", "postgres", "--no-sync"])
        let options = "-h \(probe.host) -p \(probe.port) -k \(directory.path) -c fsync=off"
        try run("pg_ctl", ["-D", data, "-w", "-l", directory.file("log"), "-o", options, "start"])
    }

    deinit {
        _ = try? run("pg_ctl", ["-D", directory.file("data"), "-w", "-m", "immediate", "stop"])
    }

    @discardableResult
    func psql(_ text: String, through port: UInt16? = nil, sslmode: String = "prefer") throws -> String {
        try run("psql", psqlArguments(text, port, sslmode: sslmode))
    }

    /// Through the proxy on `port`, or directly.
    func psqlArguments(_ text: String, _ port: UInt16?, sslmode: String = "prefer") -> [String] {
        let host = port == nil ? address.host : "127.0.0.1"
        let target = "host=\(host) port=\(port ?? address.port ?? 0) user=postgres dbname=postgres"
        return ["-XAtq", "-v", "ON_ERROR_STOP=1", "-d", "\(target) sslmode=\(sslmode)", "-c", text]
    }

    /// Runs one of Postgres' programs as a user who may be a server.
    @discardableResult
    func run(_ program: String, _ arguments: [String]) throws -> String {
        let process = try start(program, arguments)
        guard let exit = process.wait(until: BootClock.now() + 60_000_000_000), exit.isSuccess else {
            throw Wire.Failure(description: "\(program): \(process.captured(.error))")
        }
        return process.captured(.output)
    }

    @discardableResult
    func shell(_ text: String) throws -> String { try run("/bin/sh", ["-c", text]) }

    func start(_ program: String, _ arguments: [String]) throws -> ChildProcess {
        let path = program.hasPrefix("/") ? program : Self.bin + program
        var command = [path] + arguments
        if geteuid() == 0 { command = Self.asPostgres + command }
        return try ChildProcess.spawn(
            executable: command[0], arguments: Array(command.dropFirst()), workingDirectory: "/tmp",
            standardOutput: .capture(limit: 64 * 1024), standardError: .capture(limit: 64 * 1024))
    }
}
