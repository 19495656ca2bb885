import Glibc
import Platform
import Synchronization
import TestSupport
import Testing

/// A guard with a data directory of its own, both of an ordinary user (postgres when the tests run as root).
///
/// Everything is gone with the last reference: the guard, Postgres and the files.
final class GuardedPostgres {
    static let binaries = "/usr/lib/postgresql/15/bin"
    static let seconds: Int64 = 1_000_000_000

    let directory: TemporaryDirectory
    let program: GuardProgram
    private(set) var process: ChildProcess

    /// An initialized data directory, made once: initdb is slow.
    private static let template = Mutex<TemporaryDirectory?>(nil)

    /// - Parameters:
    ///   - standby: whether standby.signal is put into the data directory.
    ///   - realTime: permits the guard what its systemd unit does (real-time scheduling); needs root.
    init(standby: Bool, extraArguments: [String] = [], realTime: Bool = false) throws {
        directory = try TemporaryDirectory("guard", owner: geteuid() == 0 ? "postgres" : nil)
        program = GuardProgram(
            executable: Self.guardExecutable, runtimeDirectory: directory.path,
            dataDirectory: directory.file("data"), postgres: Self.binaries + "/postgres",
            logFile: directory.file("postgres.log"))
        try Self.runAsOwner("/bin/cp", ["-a", try Self.initialized(), directory.file("data")])
        if standby { try Self.runAsOwner("/usr/bin/touch", [directory.file("data/standby.signal")]) }
        process = try Self.launch(program, extraArguments, realTime: realTime)
        waitUntil("the guard listens") {
            (try? GuardClient(socketPath: program.socketPath, session: nil)) != nil
        }
    }

    deinit {
        // Told to quit, a Postgres that still runs takes its shared memory away; killed, it would leave it.
        TemporaryPostgres.quit(inDirectory: program.dataDirectory)
        try? process.signal(SIGKILL)
        _ = process.wait(until: inSeconds(20))
        _ = try? ProcessTable.killAll(
            inDirectory: program.dataDirectory, uid: Files.owner(of: program.dataDirectory).uid,
            until: inSeconds(20))
    }

    /// A guard that has ended is started anew.
    func relaunch() throws {
        process = try Self.launch(program, [])
        waitUntil("the guard listens") {
            (try? GuardClient(socketPath: program.socketPath, session: nil)) != nil
        }
    }

    func client(session: Int64? = 1) throws -> GuardClient {
        try GuardClient(socketPath: program.socketPath, session: session)
    }

    /// Postgres on a socket in our directory, without network, and quick at the cost of a power cut.
    func start(standby: Bool) -> GuardRequest {
        let settings = [
            "listen_addresses=", "unix_socket_directories=\(directory.path)", "port=5439", "fsync=off",
            "log_checkpoints=off", "restart_after_crash=off",
        ]
        return .start(
            standby: standby, arguments: settings.flatMap { ["-c", $0] }, environment: ["MARK": "guarded"])
    }

    /// Starts Postgres and waits until it takes connections.
    ///
    /// - Parameter deadline: arms epoch 1 until then first, and starts a primary; nil starts a standby.
    @discardableResult
    func run(_ client: GuardClient, primaryUntil deadline: Int64?) throws -> GuardState {
        if let deadline { try client.expectDone(.arm(epoch: 1, deadline: deadline)) }
        let state = try client.expectDone(start(standby: deadline == nil))
        try waitForConnections()
        return state
    }

    func waitForConnections() throws {
        let log = { try Files.readText(self.directory.file("postgres.log")) }
        guard waitUntil("Postgres takes connections", { (try? query("SELECT 1")) == "1" }) else {
            throw SystemError(call: "start", code: ECONNREFUSED, detail: try log())
        }
    }

    /// The answer of Postgres, unaligned.
    func query(_ sql: String, seconds: Double = 20) throws -> String {
        let result = try ChildProcess.run(
            Self.binaries + "/psql", connection + ["-XAtqc", sql], until: inSeconds(seconds))
        guard result.exit.isSuccess else { throw SystemError(call: "psql", code: EIO, detail: result.error) }
        return String(result.output.dropLast())
    }

    /// Sessions that insert and commit in an endless loop inside the server, where no client can hold them
    /// up.
    func startBusySessions(_ count: Int) throws -> ChildProcess {
        _ = try query("CREATE TABLE writes (at timestamptz)")
        let loop =
            "DO $$ BEGIN LOOP INSERT INTO writes VALUES (clock_timestamp()); COMMIT; END LOOP; END $$;\n"
        let script = try directory.write(loop, to: "busy.sql")
        let busy = try ChildProcess.spawn(
            executable: Self.binaries + "/pgbench",
            arguments: connection + ["-n", "-f", script, "-c", "\(count)", "-T", "600", "postgres"],
            standardOutput: .discard, standardError: .discard)
        let active = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'DO %' AND state = 'active'"
        waitUntil("\(count) sessions are busy") { (try? query(active)) == "\(count)" }
        return busy
    }

    var processes: [ProcessTable.Entry] {
        get throws { try ProcessTable.processes(inDirectory: program.dataDirectory) }
    }

    /// Runs a Postgres that the guard has not started.
    func startForeignPostgres() throws -> ChildProcess {
        try Self.spawnAsOwner(
            program.postgres,
            [
                "-D", program.dataDirectory, "-c", "listen_addresses=", "-c",
                "unix_socket_directories=\(directory.path)",
            ])
    }

    private var connection: [String] { ["-h", directory.path, "-p", "5439", "-U", "postgres"] }

    private static func launch(
        _ program: GuardProgram, _ extra: [String], realTime: Bool = false
    ) throws -> ChildProcess {
        try spawnAsOwner(program.executable, program.arguments + extra, realTime: realTime)
    }

    /// The guard of this very build, beside the test bundle.
    static var guardExecutable: String {
        var path = [CChar](repeating: 0, count: 4096)
        let length = max(0, readlink("/proc/self/exe", &path, path.count))
        let own = String(decoding: path[..<length].map(UInt8.init(bitPattern:)), as: UTF8.self)
        return SourceTree.directory(of: own) + "/matriarch-guard"
    }

    static func spawnAsOwner(
        _ executable: String, _ arguments: [String], realTime: Bool = false
    ) throws -> ChildProcess {
        var command = [executable] + arguments
        if geteuid() == 0 {
            // setpriv execs: the process is the program itself.
            let permit = realTime ? ["--inh-caps=+sys_nice", "--ambient-caps=+sys_nice"] : []
            let drop = ["/usr/bin/setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
            command = drop + permit + command
        }
        return try ChildProcess.spawn(
            executable: command[0], arguments: Array(command.dropFirst()), standardOutput: .discard,
            standardError: .discard)
    }

    static func runAsOwner(_ executable: String, _ arguments: [String]) throws {
        let exit = try spawnAsOwner(executable, arguments).wait(until: inSeconds(60))
        guard exit == .status(0) else {
            throw SystemError(
                call: executable, code: EIO, detail: "\(arguments): \(exit.map { "\($0)" } ?? "hangs")")
        }
    }

    private static func initialized() throws -> String {
        try template.withLock { template in
            if let template { return template.file("data") }
            let made = try TemporaryDirectory("initdb", owner: geteuid() == 0 ? "postgres" : nil)
            try runAsOwner(
                binaries + "/initdb", ["-D", made.file("data"), "-U", "postgres", "-A", "trust", "-N"])
            template = made
            // What is static is never released otherwise.
            atexit { GuardedPostgres.template.withLock { $0 = nil } }
            return made.file("data")
        }
    }
}

extension GuardClient {
    /// Asks for what must be consented to.
    @discardableResult
    func expectDone(
        _ request: GuardRequest, sourceLocation: SourceLocation = #_sourceLocation
    ) throws -> GuardState {
        let answer = try self.request(request, timeoutNanoseconds: 20 * GuardedPostgres.seconds)
        if case .done = answer { return answer.state }
        Issue.record("\(request): \(answer)", sourceLocation: sourceLocation)
        return answer.state
    }

    /// Asks for what must be refused for `reason`.
    func expectRefused(
        _ request: GuardRequest, _ reason: String, sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
        let answer = try self.request(request, timeoutNanoseconds: 20 * GuardedPostgres.seconds)
        if case .refused(_, reason, _) = answer { return }
        Issue.record("\(request): \(answer), not refused as \(reason)", sourceLocation: sourceLocation)
    }

    func expectEvent(
        _ kind: GuardEvent.Kind, sourceLocation: SourceLocation = #_sourceLocation
    ) throws -> GuardState {
        let event = try nextEvent(timeoutNanoseconds: 30 * GuardedPostgres.seconds)
        let found = try #require(event, "no event, waited for \(kind)", sourceLocation: sourceLocation)
        #expect(found.kind == kind, sourceLocation: sourceLocation)
        return found.state
    }
}
