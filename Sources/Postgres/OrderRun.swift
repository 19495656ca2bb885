internal import Consensus
internal import Glibc
internal import Platform
internal import Supervision
internal import Synchronization

/// What a running order says of itself.
public enum OrderWord: Hashable, Sendable {
    /// How far it is; the next word replaces it.
    case progress(String)
    /// What it did, to be kept.
    case note(String)
}

/// One order while it is carried out, on a worker thread.
struct OrderRun {
    let site: PostgresSite
    let door: GuardDoor
    let verified: VerifiedCredentials
    let cancellation: Cancellation
    let tell: @Sendable (OrderWord) -> Void
    /// The lane's own, with a session that may serve the next order too.
    let survey: Survey

    var gate: Gate { Gate(site: site) }
    var settings: ManagedSettings { ManagedSettings(site: site) }
    var wal: WALDirectory { WALDirectory(site.dataDirectory) }

    func outcome(of order: PostgresOrder) -> PostgresOutcome {
        let result: PostgresOutcome.Result
        do {
            result = try perform(order)
        } catch let error as Impossible {
            result = .impossible(error.description)
        } catch {
            result = .failed("\(error)")
        }
        return PostgresOutcome(result: result, report: Self.report(by: survey))
    }

    private func perform(_ order: PostgresOrder) throws -> PostgresOutcome.Result {
        switch order {
        case .initialize(let attempt, let credentials): try initialize(attempt, credentials)
        case .startStandby(let configuration): try startStandby(configuration)
        case .startPrimary(let configuration): try startPrimary(configuration)
        case .stop(let bound): try stop(bound)
        case .freeze: try freeze()
        case .follow(let upstream): try follow(upstream)
        case .promote(let plan): return try promote(plan)
        case .clone(let plan): try clone(plan)
        case .rewind(let plan): try rewind(plan)
        case .configure(let configuration): try configure(configuration)
        case .tendSlots(let goals): try tendSlots(goals)
        case .checkpoint: try checkpoint()
        case .examine: break
        }
        return .done
    }

    /// What is there now; unresponsive when Postgres says nothing.
    static func report(by survey: Survey) -> PostgresReport {
        let deadline = Deadline.after(.seconds(2))
        repeat {
            if let report = survey.look() { return report }
            Deadline.pause(.milliseconds(50))
        } while !Deadline.isPast(deadline)
        return PostgresReport(state: .unresponsive, takenAt: Instant(nanoseconds: BootClock.now()))
    }

    /// A session as the agent's own role.
    func openSession() throws(PostgresError) -> Session {
        try Session.open(site.localParameters, until: Deadline.after(.seconds(5)))
    }

    func note(_ text: String) {
        Log.notice(text)
        tell(.note(text))
    }

    // MARK: start and stop

    func startStandby(_ configuration: ManagedConfiguration) throws {
        if try door.state().postmaster != nil {
            guard Files.exists(site.standbySignal) else {
                throw PostgresError.refused("starting the standby", "Postgres runs as a primary")
            }
            return
        }
        try requireNobody("starting the standby")
        try DataDirectory.checkForStart(site)
        if configuration.isKnownStandby, !Files.exists(site.standbySignal) {
            throw Impossible("standby.signal is gone: Postgres was promoted, or started, by hand")
        }
        try gate.close()
        try Files.removeDurably(site.data("recovery.signal"))
        try Files.replaceDurably(site.standbySignal, [])
        try prepareStart(configuration)
        let control = try ControlData.read(site)
        let removed = try wal.sanitize(
            for: control, limit: configuration.timeline, history: configuration.history)
        if !removed.isEmpty {
            note(
                "removed history files that lead elsewhere: "
                    + removed.map(WALNames.history).joined(separator: ", ")
            )
        }
        try start(standby: true, try raisedSettings(control))
    }

    func startPrimary(_ configuration: ManagedConfiguration) throws {
        let state = try door.state()
        if state.postmaster != nil {
            guard !Files.exists(site.standbySignal) else {
                throw PostgresError.refused("starting the primary", "Postgres runs as a standby")
            }
            return
        }
        guard state.epoch != nil else {
            throw PostgresError.refused("starting the primary", "the guard is not armed")
        }
        try requireNobody("starting the primary")
        try DataDirectory.checkForStart(site)
        try gate.close()
        try prepareStart(configuration)
        for name in ["standby.signal", "recovery.signal"] { try Files.removeDurably(site.data(name)) }
        try start(standby: false)
        // The cluster knows this database now: it is no leftover of an attempt any more.
        try Files.removeDurably(site.foundingMarker)
    }

    /// Settings that the log was written with and that are lower here. A standby refuses to start on them, so
    /// it gets the log's: in which order a setting is raised or lowered on the members does not matter then.
    private func raisedSettings(_ control: ControlData) throws -> [(String, String)] {
        var raised: [(String, String)] = []
        for (name, needed) in control.required.sorted(by: { $0.key < $1.key }) {
            let text = try site.run(
                "postgres", ["-D", site.dataDirectory] + settings.arguments + ["-C", name], limit: 10)
            guard let own = Int(text.filter { !$0.isWhitespace }) else {
                throw PostgresError.refused("reading the settings", "\(name) is '\(text)'")
            }
            if own < needed { raised.append((name, String(needed))) }
            if own < needed, !ManagedSettings.argumentNames.contains(name) {
                note("\(name) = \(own) is below the primary's: this standby starts with \(needed)")
            }
        }
        return raised
    }

    private func prepareStart(_ configuration: ManagedConfiguration) throws {
        _ = try settings.write(configuration)
        let removed = try settings.cleanAutomaticFile()
        if !removed.isEmpty { noteRemoved(removed) }
        if !Files.isDirectory(site.socketDirectory) { try Files.makeDirectory(site.socketDirectory) }
    }

    func noteRemoved(_ keys: [String]) {
        note(
            "removed from postgresql.auto.conf, which matriarchd manages: \(keys.joined(separator: ", "))"
        )
    }

    /// A start is over when Postgres takes sessions, or has been at its recovery for so long that others may
    /// report.
    private static let startPatience = Duration.seconds(3)
    static let startLook = Duration.milliseconds(10)...(.milliseconds(500))

    private func start(standby: Bool, _ raised: [(String, String)] = []) throws {
        let arguments = settings.arguments + ManagedSettings.asArguments(raised)
        let state = try door.start(standby: standby, arguments, gate.environment)
        guard let pid = state.postmaster else {
            throw PostgresError.refused("starting Postgres", "the guard says that it does not run")
        }
        let began = BootClock.now()
        let deadline = Deadline.after(Self.startPatience)
        while !Deadline.isPast(deadline) {
            guard let entry = ProcessTable.entry(pid), entry.state != "Z" else { break }
            if answers() { return }
            Deadline.pause(Deadline.rest(since: began, within: Self.startLook))
        }
        // Reaping may take the guard a moment longer than dying took Postgres.
        let isDead = ProcessTable.entry(pid).map { $0.state == "Z" } ?? true
        if try isDead || door.state().postmaster == nil {
            _ = try door.awaitDeath(until: Deadline.after(Self.killPatience))
            throw startFailure()
        }
    }

    private func answers() -> Bool {
        (try? Session.open(site.localParameters, until: Deadline.after(.seconds(1)))) != nil
    }

    /// Postgres's own log says most; what it can say of its settings it is asked for here.
    private func startFailure() -> PostgresError {
        var reason = "Postgres ended at once; its log says why"
        if let taken = takenPort {
            reason = "Postgres ended at once: something else listens on \(taken) (ss -ltnp shows it)"
        }
        do {
            _ = try site.run(
                "postgres", ["-D", site.dataDirectory] + settings.arguments + ["-C", "data_directory"],
                limit: 10)
        } catch {
            reason = "Postgres ended at once: \(error)"
        }
        return PostgresError.refused("starting Postgres", reason)
    }

    /// The address that Postgres can't have, when somebody else has it.
    private var takenPort: SocketAddress? {
        let hosts =
            site.listenAddresses == "*"
            ? ["0.0.0.0", "::"]
            : site.listenAddresses.split(
                separator: ","
            ).map { $0.filter { $0 != " " } }
        for host in hosts {
            guard let address = SocketAddress(host: host, port: UInt16(clamping: site.port)) else { continue }
            do { close(try Sockets.listen(on: address)) } catch {
                if error.code == EADDRINUSE { return address }
            }
        }
        return nil
    }

    func checkpoint() throws {
        let session = try openSession()
        _ = try session.query("checkpoint", until: Deadline.after(.seconds(600)))
    }
}

/// An order that can't be carried out however often it is tried.
struct Impossible: Error, CustomStringConvertible {
    let description: String

    init(_ description: String) { self.description = description }
}

/// The credentials that were last seen to work here, so that they are tried once and not at each
/// configuration.
final class VerifiedCredentials: Sendable {
    private let last = Mutex<Credentials?>(nil)

    func holds(_ credentials: Credentials) -> Bool { last.withLock { $0 == credentials } }
    func note(_ credentials: Credentials) { last.withLock { $0 = credentials } }
}
