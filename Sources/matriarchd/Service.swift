import Config
import Consensus
import Control
import Glibc
import HTTP
import Peers
import Platform
import Postgres
import Supervision

/// The running agent from start to end: builds the parts, wires them, turns the loop.
final class Service {
    let asked: AgentArguments
    var configuration: Configuration
    private(set) var agent: Agent?
    var signals: SignalWatch?
    var control: ControlDesk?
    var web: HTTPServer?

    init(_ configuration: Configuration, _ asked: AgentArguments) {
        self.configuration = configuration
        self.asked = asked
    }

    /// 0 after SIGTERM, 78 for what a person mends, 1 otherwise.
    func run() -> Int32 {
        SignalWatch.block([SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2])
        do {
            let loop = try EventLoop()
            let agent = try build(loop)
            self.agent = agent
            try listen(loop, agent)
            try begin(agent)
            let notified = Systemd.notify("READY=1")
            Log.notice("matriarchd \(Program.version) runs", [("node", configuration.nodeName)])
            if !notified { Log.debug("no service manager to notify") }
            loop.run()
            return agent.exitCode ?? 1
        } catch let error as StartError {
            return refuse("\(error)")
        } catch let error as PeerListenError {
            return refuse("peer_port: \(error)")
        } catch let error as SecretError {
            return refuse("\(error)")
        } catch {
            Log.error("matriarchd can't start: \(error)")
            return 1
        }
    }

    private func refuse(_ text: String) -> Int32 {
        Log.error("matriarchd can't start: \(text)")
        return Program.configurationExit
    }
}
