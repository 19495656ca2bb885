import Consensus
import Glibc
import Platform
import Supervision
import TestSupport
import Testing

@testable import Postgres

/// The whole of a test on real Postgres. It runs in a process of its own (`processExitsWith`), where it
/// becomes a user that Postgres accepts.
func onRealPostgres(_ scenario: () throws -> Void) {
    do {
        try becomePostgresUser()
        try scenario()
    } catch {
        // An error that leaves the process would only show as its crash.
        Issue.record("\(error)")
    }
}

private func becomePostgresUser() throws {
    _ = Programs.guardExecutable
    guard geteuid() == 0, let entry = getpwnam("postgres") else { return }
    let (uid, gid) = (entry.pointee.pw_uid, entry.pointee.pw_gid)
    guard setgroups(0, nil) == 0, setgid(gid) == 0, setuid(uid) == 0 else {
        throw SystemError(call: "setuid", code: errno, detail: "postgres")
    }
}

enum Programs {
    static let binaries = "/usr/lib/postgresql/15/bin"

    /// The guard of this very build, beside the test bundle.
    static let guardExecutable: String = {
        var path = [CChar](repeating: 0, count: 4096)
        let length = max(0, readlink("/proc/self/exe", &path, path.count))
        let own = String(decoding: path[..<length].map(UInt8.init(bitPattern:)), as: UTF8.self)
        return SourceTree.directory(of: own) + "/matriarch-guard"
    }()

    /// A port of 127.0.0.1 that nobody has now.
    static func freePort() throws -> Int {
        let fd = try system("socket") { socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0) }
        defer { close(fd) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        try withUnsafeMutablePointer(to: &address) { pointer in
            try pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { generic in
                try system("bind") { bind(fd, generic, length) }
                try system("getsockname") { getsockname(fd, generic, &length) }
            }
        }
        return Int(UInt16(bigEndian: address.sin_port))
    }
}

/// One node's Postgres: directories, a real guard, and orders carried out on the spot.
///
/// Gone with the last reference: the guard, Postgres and the files.
final class Instance {
    static let credentials = Credentials(
        operatorRole: "postgres", operatorPassword: "op:er\\ator'1", adminRole: "matriarch_admin",
        replicationRole: "repluser", replicationPassword: "re:pl\\ica'2")
    static let session: Int64 = 1

    let directory: TemporaryDirectory
    let member: Member
    let site: PostgresSite
    let door: GuardDoor
    private let process: ChildProcess
    let verified = VerifiedCredentials()
    var synchronousStandbys = ManagedConfiguration.SynchronousStandbys.none
    var memberAddresses = ["127.0.0.1"]
    var slots: [String] = []
    private var epoch: UInt64 = 0

    init(_ name: String) throws {
        directory = try TemporaryDirectory("pg-\(name)")
        let port = try Programs.freePort()
        member = Member(
            id: MemberID(name), instance: name, address: "127.0.0.1", postgresPort: port, region: "here")
        site = PostgresSite(
            dataDirectory: directory.file("data"), binDirectory: Programs.binaries,
            runtimeDirectory: directory.path, socketDirectory: directory.path, port: port,
            listenAddresses: "127.0.0.1", clusterName: "herd", adminRole: "matriarch_admin")
        let program = GuardProgram(
            executable: Programs.guardExecutable, runtimeDirectory: directory.path,
            dataDirectory: site.dataDirectory, postgres: site.program("postgres"),
            logFile: directory.file("postgres.log"))
        process = try ChildProcess.spawn(
            executable: program.executable, arguments: program.arguments, standardOutput: .discard,
            standardError: .discard, deathSignal: SIGKILL)
        door = GuardDoor(socketPath: program.socketPath, session: Self.session)
        let door = self.door
        _ = try waitFor("the guard listens") { try? door.state() }
    }

    deinit {
        // Told to quit, a Postgres that still runs takes its shared memory away; killed, it would leave it.
        TemporaryPostgres.quit(inDirectory: site.dataDirectory)
        try? process.signal(SIGKILL)
        _ = process.wait(until: Deadline.after(.seconds(20)))
        _ = try? ProcessTable.killAll(
            inDirectory: site.dataDirectory, uid: geteuid(), until: Deadline.after(.seconds(20)))
    }

    // MARK: orders

    func configuration(asPrimary: Bool, timeline: Timeline? = nil) -> ManagedConfiguration {
        ManagedConfiguration(
            synchronousStandbys: asPrimary ? synchronousStandbys : .placeholder,
            memberAddresses: memberAddresses, slots: slots, credentials: Self.credentials,
            lease: .seconds(5), isPrimary: asPrimary, timeline: timeline)
    }

    func upstream(_ source: Instance, timeline: Timeline, valid: Bool = true) -> Upstream {
        Upstream(
            member: source.member.id, address: "127.0.0.1", port: source.site.port,
            applicationName: valid ? member.synchronousName : member.joiningName, slot: member.slotName,
            role: Self.credentials.replicationRole, password: Self.credentials.replicationPassword,
            timeline: timeline)
    }

    var run: OrderRun { run(Cancellation()) { _ in } }

    func run(_ cancellation: Cancellation, _ tell: @escaping @Sendable (OrderWord) -> Void) -> OrderRun {
        OrderRun(
            site: site, door: door, verified: verified, cancellation: cancellation, tell: tell,
            survey: Survey(site))
    }

    /// As an agent that was started a moment ago.
    static func freshRun(of instance: Instance) throws -> OrderRun {
        OrderRun(
            site: instance.site, door: instance.door, verified: VerifiedCredentials(),
            cancellation: Cancellation(), tell: { _ in }, survey: Survey(instance.site))
    }

    func attempt(_ order: PostgresOrder) -> PostgresOutcome { run.outcome(of: order) }

    /// Carries an order out that must succeed.
    @discardableResult
    func perform(_ order: PostgresOrder) throws -> PostgresReport {
        let outcome = attempt(order)
        if case .failed(let reason) = outcome.result {
            throw OrderFailed(node: member.id.name, reason: reason)
        }
        return outcome.report
    }

    /// A promotion that must succeed: which timeline it became, and where that begins.
    func promote(_ plan: PromotionPlan) throws -> (timeline: Timeline, switchLSN: LSN) {
        let outcome = attempt(.promote(plan))
        guard case .promoted(let timeline, let start) = outcome.result else {
            throw OrderFailed(node: member.id.name, reason: outcome.reason ?? "no promotion")
        }
        return (timeline, start)
    }

    /// A session that sees table t as it is now, and keeps seeing it.
    func openReader(as application: String = "reader") throws -> Session {
        _ = try waitFor("the table is there") { try? sql("select count(*) from t") }
        let reader = try openRemote(
            "postgres", Self.credentials.operatorPassword, ["application_name": application])
        _ = try reader.query("begin isolation level repeatable read", until: Deadline.after(.seconds(5)))
        _ = try reader.query("select count(*) from t", until: Deadline.after(.seconds(5)))
        return reader
    }

    func arm() throws {
        epoch += 1
        let answer = try door.ask(.arm(epoch: epoch, deadline: Deadline.after(.seconds(600))))
        if case .refused(_, _, let why) = answer { throw OrderFailed(node: "\(member.id)", reason: why) }
    }

    /// Ends Postgres as its guard would.
    func kill() throws { _ = try door.ask(.kill) }

    var report: PostgresReport { OrderRun.report(by: Survey(site)) }

    /// The cluster's first database, running as primary with its roles.
    func found() throws {
        try perform(.initialize(attempt: 1, Self.credentials))
        try arm()
        try perform(.startPrimary(configuration(asPrimary: true)))
        try perform(.configure(configuration(asPrimary: true)))
    }

    /// A copy of `source` that streams from it under a valid member's name.
    func join(_ source: Instance, timeline: Timeline = 1) throws {
        source.slots.append(member.slotName)
        try source.perform(.configure(source.configuration(asPrimary: true)))
        let system = try #require(source.report.systemIdentifier)
        let plan = ClonePlan(
            member: member.id, source: upstream(source, timeline: timeline, valid: false),
            systemIdentifier: system,
            configuration: configuration(asPrimary: false, timeline: timeline))
        try perform(.clone(plan))
        try perform(.startStandby(plan.configuration))
        try perform(.follow(upstream(source, timeline: timeline)))
        try awaitStreaming()
    }

    func awaitStreaming() throws {
        _ = try waitFor("\(member.id) streams") { report.streaming ? true : nil }
    }

    func awaitSettled() throws -> Position { try waitFor("\(member.id) settles") { report.settled } }

    // MARK: questions

    /// One statement as the agent's role.
    @discardableResult
    func sql(_ statement: String) throws -> String? {
        try open().query(statement, until: Deadline.after(.seconds(30))).value
    }

    func open(_ changes: [String: String] = [:]) throws -> Session {
        let parameters = site.localParameters.merging(changes) { $1 }
        return try Session.open(parameters, until: Deadline.after(.seconds(10)))
    }

    /// As a role with a password over TCP.
    func openRemote(_ role: String, _ password: String, _ changes: [String: String] = [:]) throws -> Session {
        let remote = ["host": "127.0.0.1", "user": role, "password": password]
        return try open(remote.merging(changes) { $1 })
    }

    var position: LSN {
        get throws { try #require(try sql("select pg_current_wal_flush_lsn()").flatMap { LSN($0) }) }
    }

    /// Waits until this standby has received what `source` has written by now.
    func catchUp(with source: Instance) throws {
        let target = try source.position
        _ = try waitFor("\(member.id) catches up") { (report.position?.lsn ?? .zero) >= target ? true : nil }
    }

    /// Flushes what `settled` shall not contain.
    @discardableResult
    func write(_ value: Int) throws -> LSN {
        try sql("create table if not exists mark (value int)")
        try sql("insert into mark values (\(value))")
        // The agent's own sessions do not wait for the flush.
        try sql("select pg_switch_wal()")
        return try position
    }
}

extension PostgresOutcome {
    /// Why it failed; nil when it did not.
    var reason: String? { if case .failed(let reason) = result { reason } else { nil } }
}

struct OrderFailed: Error, CustomStringConvertible {
    let node: String
    let reason: String
    var description: String { "\(node): \(reason)" }
}
