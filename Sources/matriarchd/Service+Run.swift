import Config
import Consensus
import Control
import Glibc
import HTTP
import Peers
import Platform
import Postgres
import Supervision

/// Listening, signals, and the end.
extension Service {
    /// Opens every port before anything is done: one that is taken stops the start.
    func listen(_ loop: EventLoop, _ agent: Agent) throws {
        try checkPorts()
        try agent.network.start()
        do {
            web = try HTTPServer(
                listen: configuration.listenAddress, port: UInt16(clamping: configuration.httpPort),
                report: { [published = agent.publisher.published] in published.value })
        } catch {
            throw StartError("http_port: \(error)")
        }
        let desk = ControlDesk(agent: agent)
        do { try desk.start(ControlServer.socketPath(configuration.runtimeDirectory), loop) } catch {
            throw StartError("runtime_directory = '\(configuration.runtimeDirectory)': \(error)")
        }
        control = desk
        signals = try SignalWatch([SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2], on: loop) {
            [unowned self] signal in
            take(signal, agent)
        }
        agent.onExit = { [unowned self] in end(loop, agent) }
        agent.onStartOver = {
            Service.replaceProcess()
            Log.flush()
            _exit(1)
        }
    }

    /// The ports that others will listen on for us. Where Postgres runs already, an agent has come back to a
    /// node that works, and must not leave it alone because of the proxy.
    private func checkPorts() throws(StartError) {
        let check = PortCheck(listenAddress: configuration.listenAddress)
        let runtime = configuration.runtimeDirectory
        if PortCheck.answers("\(runtime)/.s.PGSQL.\(configuration.postgresPort)") { return }
        try check.require("postgres_port", configuration.postgresPort)
        guard configuration.proxyPort != 0, !PortCheck.answers("\(runtime)/proxy.sock") else { return }
        try check.require("proxy_port", configuration.proxyPort)
    }

    func begin(_ agent: Agent) throws {
        try agent.states.start()
        agent.guardKeeper.connect()
        agent.proxyLink?.start()
        try agent.poller.start()
        try agent.writeProbe.start()
        agent.feed(.tick)
        keepWatchdogFed(agent.loop)
    }

    private func take(_ signal: Int32, _ agent: Agent) {
        switch signal {
        case SIGTERM, SIGINT:
            Systemd.notify("STOPPING=1")
            agent.request(.stop) { _ in }
        case SIGUSR1:
            agent.request(.signalSwitchover) { answer in
                guard answer.verdict != .accepted else { return }
                let why = answer.reason ?? "no reason given"
                Log.warning("SIGUSR1: no switchover: \(why)")
            }
        case SIGHUP: reload(agent)
        case SIGUSR2: replaceBinary()
        default: break
        }
    }

    /// Takes what may change at once, reports the rest as pending; a bad file changes nothing.
    private func reload(_ agent: Agent) {
        switch Configuration.read(Program.sources(asked)) {
        case .refused(let errors):
            for error in errors { Log.error("reload: \(error)") }
            Log.error("reload: nothing was changed")
        case .ok(let new, let notices):
            for notice in notices { Log.notice("\(notice)") }
            let changes = configuration.changes(to: new)
            for change in changes { Log.notice("reload: \(change)") }
            if changes.isEmpty { Log.notice("reload: nothing has changed") }
            configuration = configuration.reloaded(with: new)
            agent.reload(configuration)
        }
    }

    /// SIGUSR2: the binary on disk takes over this process; guard, Postgres and proxy stay as they are.
    ///
    /// Settings that would stop the new one are found here: nobody would renew the lease after that.
    private func replaceBinary() {
        if case .refused(let errors) = Configuration.read(Program.sources(asked)) {
            for error in errors { Log.error("SIGUSR2: \(error)") }
            return Log.error("SIGUSR2: the binary on disk would not start; this one goes on")
        }
        Log.notice("replacing this agent by the binary on disk")
        Service.replaceProcess()
        Log.error("SIGUSR2: this agent goes on")
    }

    /// Returns only when it failed, and says why.
    private static func replaceProcess() {
        Log.flush()
        let words = CommandLine.arguments
        var arguments: [UnsafeMutablePointer<CChar>?] = words.map { strdup($0) }
        arguments.append(nil)
        execv(Service.binaryOnDisk, arguments)
        let error = SystemError(call: "execv", code: errno, detail: Service.binaryOnDisk)
        Log.error("the binary on disk can't be run: \(error)")
    }

    /// The path, not the file that this process came from: a package has put another one there.
    private static var binaryOnDisk: String {
        var buffer = [CChar](repeating: 0, count: 4096)
        let count = readlink("/proc/self/exe", &buffer, buffer.count - 1)
        let path = String(decoding: buffer.prefix(max(0, count)).map { UInt8(bitPattern: $0) }, as: UTF8.self)
        let gone = " (deleted)"
        return path.hasSuffix(gone) ? String(path.dropLast(gone.count)) : path
    }

    /// systemd restarts an agent whose control thread no longer turns.
    private func keepWatchdogFed(_ loop: EventLoop) {
        guard let interval = Systemd.watchdogInterval else { return }
        Systemd.notify("WATCHDOG=1")
        loop.at(BootClock.now() + interval / 3) { [weak self] in self?.keepWatchdogFed(loop) }
    }

    /// Postgres is stopped: guard and proxy end with the node where the agent started them, and the last
    /// words to the peers get a moment to leave.
    private func end(_ loop: EventLoop, _ agent: Agent) {
        agent.guardKeeper.leave()
        agent.proxyLink?.leave()
        control?.stop()
        web?.stop()
        loop.at(BootClock.now() + Service.lastWords) {
            agent.network.close()
            loop.stop()
        }
    }

    private static let lastWords: Int64 = 100_000_000
}
