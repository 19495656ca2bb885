import Config
import Consensus
import Glibc
import Platform
import Supervision

/// The agent's hand on the guard: keeps the connection, starts a guard where none runs, and tells the node
/// what the guard knows. When the guard is gone or mute, the agent ends Postgres itself before it says so.
final class GuardKeeper {
    /// Between attempts to connect, in nanoseconds.
    private static let retryEvery: Int64 = 20_000_000
    /// A guard that was just started gets this long before another is.
    private static let startEvery: Int64 = 1_000_000_000
    /// Between attempts to prove that nothing of Postgres is left.
    private static let proveEvery: Int64 = 500_000_000

    private let loop: EventLoop
    private let program: GuardProgram
    private let spawns: Bool
    /// An answer later than this counts as none: the time between the begin of a demotion and its end.
    private let patience: Int64
    private let cleaner: WorkerThread
    private let session: Int64
    private var link: GuardLink?
    /// The guard's process as it was when the link was made: its number alone may pass to another.
    private var guardEntry: ProcessTable.Entry?
    private var lastStart: Int64 = 0
    private var known: GuardState?
    /// What the kernel had killed for want of memory when this Postgres was first seen.
    private var killsBefore: UInt64?
    private var isLeaving = false
    var onReport: ((GuardReport) -> Void)?
    var onLost: (() -> Void)?

    /// - Parameter spawns: false where a service manager starts the guard.
    init(loop: EventLoop, program: GuardProgram, patience: Duration, spawns: Bool) throws {
        self.loop = loop
        self.program = program
        self.spawns = spawns
        self.patience = patience.nanoseconds
        session = BootClock.now()
        cleaner = try WorkerThread(name: "fence", loop: loop, capacity: 4)
    }

    var agentSession: Int64 { session }
    var socketPath: String { program.socketPath }

    // MARK: what the node asks for

    func arm(epoch: Term, deadline: Instant) {
        let request: GuardRequest =
            known?.epoch == epoch
            ? .renew(epoch: epoch, deadline: deadline.nanoseconds)
            : .arm(epoch: epoch, deadline: deadline.nanoseconds)
        ask(request)
    }

    func disarm(epoch: Term) { ask(.disarm(epoch: epoch)) }

    func kill(reason: String) {
        Log.warning("ending Postgres: \(reason)")
        ask(.kill)
    }

    /// Asks how things stand, and goes on once that is reported (or the guard is given up).
    func refresh(_ then: @escaping () -> Void) {
        guard let link else { return then() }
        link.send(.state, timeoutNanoseconds: patience) { [weak self] result in
            self?.take(result, of: .state)
            then()
        }
    }

    /// Lets the guard end too: only after Postgres is stopped, where nothing else ends it.
    func leave() {
        isLeaving = true
        if spawns, let pid = link?.guardProcess { Glibc.kill(pid, SIGTERM) }
        link?.close()
        link = nil
    }

    // MARK: the connection

    func connect() {
        guard !isLeaving, link == nil else { return }
        do {
            let opened = try GuardLink(
                loop: loop, socketPath: program.socketPath, onEvent: { [weak self] in self?.take($0) },
                onClosed: { [weak self] in self?.lost($0) })
            link = opened
            guardEntry = opened.guardProcess.flatMap(ProcessTable.entry)
            opened.send(.hello(session: session), timeoutNanoseconds: patience) { [weak self] result in
                self?.welcome(result, on: opened)
            }
        } catch {
            startGuard()
            loop.at(BootClock.now() + GuardKeeper.retryEvery) { [weak self] in self?.connect() }
        }
    }

    /// A guard that runs no Postgres may be newer than a Postgres whose guard was killed: its word for the
    /// death is passed on only when no orphan of that one is left.
    private func welcome(_ result: Result<GuardAnswer, GuardFailure>, on opened: GuardLink) {
        guard case .success(.done(let state)) = result, state.postmaster == nil else {
            return take(result, of: .hello(session: session))
        }
        prove(.orphans) { [weak self] in
            guard let self, link === opened else { return }
            take(result, of: .hello(session: session))
        }
    }

    private func startGuard() {
        let now = BootClock.now()
        guard spawns, now - lastStart >= GuardKeeper.startEvery else { return }
        lastStart = now
        do {
            _ = try program.launch()
            Log.info("started the guard")
        } catch { Log.error("the guard can't be started: \(error)") }
    }

    private func ask(_ request: GuardRequest) {
        guard let link else { return }
        link.send(request, timeoutNanoseconds: patience) { [weak self] in self?.take($0, of: request) }
    }

    private func take(_ result: Result<GuardAnswer, GuardFailure>, of request: GuardRequest) {
        switch result {
        case .success(.done(let state)): report(state)
        case .success(.pending(let state, let survivors)):
            Log.error("Postgres can't be ended yet, processes sit in the kernel: \(survivors)")
            report(state)
        case .success(.refused(let state, let reason, let explanation)):
            if reason == "superseded" { return superseded() }
            Log.warning("the guard refuses \(request): \(explanation)", [("reason", reason)])
            report(state)
        case .failure: break  // `lost` follows
        }
    }

    /// A newer agent runs on this node: this one has nothing more to say.
    private func superseded() {
        Log.error("a newer matriarchd has taken over this node's guard")
        Log.flush()
        _exit(1)
    }

    private func take(_ event: GuardEvent) {
        switch event.kind {
        case .exited: Log.notice("Postgres has ended", [("how", describe(event.state.exit))])
        case .killed: Log.notice("Postgres was ended, no process of it is left")
        case .fenced(let reason): Log.warning("the guard ends Postgres", [("reason", reason)])
        }
        report(event.state)
    }

    private func report(_ state: GuardState) {
        if let running = state.postmaster, running != known?.postmaster { killsBefore = MemoryPressure.kills }
        known = state
        onReport?(
            GuardReport(
                epoch: state.epoch, deadline: Instant(nanoseconds: state.deadline),
                highestDisarmed: state.disarmed, isPostgresAlive: state.postmaster != nil,
                lastExit: describe(state.exit)))
    }

    private func describe(_ exit: GuardState.Exit?) -> String {
        guard let exit else { return "not started yet" }
        if exit.code < 0 { return "signal \(-exit.code)" + starved }
        // restart_after_crash is off: Postgres ends with the first process that it loses.
        let why = exit.code == 1 ? " (one of its processes crashed or was killed, or it could not start)" : ""
        return "exit status \(exit.code)\(why)" + starved
    }

    private var starved: String {
        guard let before = killsBefore, let now = MemoryPressure.kills, now > before else { return "" }
        return "; meanwhile the kernel killed \(now - before) for want of memory on this machine"
    }

    /// The guard is gone or mute. Whatever of Postgres is left is ended here, with proof, before another
    /// guard is asked for: nobody would end it in time.
    private func lost(_ failure: GuardFailure) {
        guard !isLeaving else { return }
        Log.error("\(failure): ending Postgres without it")
        let mute = failure == .silent ? guardEntry : nil
        link = nil
        known = nil
        guardEntry = nil
        onLost?()
        prove(.everything(mute: mute)) { [weak self] in self?.connect() }
    }

    private enum Remains: Sendable {
        /// Of a Postgres whose postmaster is dead. One whose postmaster lives was started by somebody else,
        /// and is left alone: the guard refuses to start another beside it.
        case orphans
        /// Also the guard itself, when it is there and does not answer.
        case everything(mute: ProcessTable.Entry?)
    }

    /// Ends what is left of Postgres and goes on once nothing is; asks again for as long as something is.
    private func prove(_ remains: Remains, _ then: @escaping () -> Void) {
        let directory = program.dataDirectory
        let again: (String) -> Void = { [weak self] reason in
            Log.error("Postgres is not proven dead: \(reason)")
            guard let self else { return }
            loop.at(BootClock.now() + GuardKeeper.proveEvery) { [weak self] in self?.prove(remains, then) }
        }
        do {
            try cleaner.submit(
                { GuardKeeper.clean(directory, remains) },
                then: { left in
                    if let left { again(left) } else { then() }
                })
        } catch { again("\(error)") }
    }

    /// - Returns: what is left, if anything is.
    private static func clean(_ directory: String, _ remains: Remains) -> String? {
        if case .everything(let mute?) = remains,
            ProcessTable.entry(mute.pid)?.startTime == mute.startTime
        {
            Glibc.kill(mute.pid, SIGKILL)
        }
        // Nothing works in a directory that was never made.
        guard Files.isDirectory(directory) else { return nil }
        do {
            if case .orphans = remains, try hasLivingPostmaster(directory) {
                Log.warning("a Postgres that this guard did not start runs there", [("in", directory)])
                return nil
            }
            try ProcessTable.killAll(
                inDirectory: directory, uid: geteuid(), until: BootClock.now() + 5_000_000_000)
            return nil
        } catch { return "\(error)" }
    }

    /// postmaster.pid alone proves nothing: its number must be that of a process that works there.
    private static func hasLivingPostmaster(_ directory: String) throws -> Bool {
        guard let text = try? Files.readText("\(directory)/postmaster.pid", limit: 4096),
            let pid = text.split(separator: "\n").first.flatMap({ Int32($0) })
        else { return false }
        return try ProcessTable.processes(inDirectory: directory).contains {
            $0.pid == pid && $0.state != "Z"
        }
    }
}
