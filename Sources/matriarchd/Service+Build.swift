import Config
import Consensus
import HTTP
import Peers
import Platform
import Postgres
import Supervision

/// Building the parts and wiring them to each other.
extension Service {
    func build(_ loop: EventLoop) throws -> Agent {
        var directory = try StateDirectory(
            path: configuration.stateDirectory, runtime: configuration.runtimeDirectory)
        var settings = try configuration.nodeSettings()
        let loaded = try directory.load(member: settings.member.id)
        for notice in loaded.notices { Log.warning(notice) }
        let site = configuration.postgresSite
        // A witness runs no Postgres and needs none.
        if configuration.nodeKind == .data {
            do { settings.postgresMajor = try site.preflight() } catch {
                throw StartError(error.description)
            }
        }
        let nonce = SecureRandom.seed()
        let node = Node(
            settings: settings, durable: loaded.durable, promise: loaded.promise, sameBoot: loaded.sameBoot,
            nonce: nonce, seed: SecureRandom.seed(), now: Agent.now())
        let relay = Relay()
        let keeper = try GuardKeeper(
            loop: loop, program: try guardProgram(site), patience: configuration.timings.demoteMargin,
            spawns: spawnsCompanions)
        let states = try StateWriter(file: directory.writer()) { word in
            loop.post { relay.agent?.feed(word.event) }
        }
        let journal: EventJournal
        do { journal = try EventJournal(directory: configuration.stateDirectory, loop: loop) } catch {
            throw StartError("state_directory = '\(configuration.stateDirectory)': \(error)")
        }
        let poller = try PostgresPoller(site: site) { report in
            loop.post { relay.agent?.feed(.postgresReported(report)) }
        }
        let writeProbe = try WriteProbe(site: site) { began in
            loop.post { relay.agent?.feed(.writeProbed(began.map(Instant.init(nanoseconds:)))) }
        }
        let door = GuardDoor(socketPath: keeper.socketPath, session: keeper.agentSession)
        let executor = try PostgresExecutor(site: site, door: door, loop: loop, poller: poller)
        let agent = Agent(
            Agent.Parts(
                loop: loop, configuration: configuration,
                journal: journal,
                publisher: StatusPublisher(
                    initial: node.status(at: Agent.now()), readyLag: configuration.maximumLagOnFailover,
                    credentials: CredentialFiles(directory: configuration.stateDirectory)),
                network: try network(loop, loaded.durable.instance, nonce, settings), guardKeeper: keeper,
                proxyLink: try proxyLink(loop), executor: executor,
                poller: poller, writeProbe: writeProbe, states: states, directory: directory,
                node: node))
        relay.agent = agent
        keeper.onReport = { [unowned agent] report in
            if report.isPostgresAlive != agent.lastGuardReport?.isPostgresAlive { agent.poller.hurry() }
            agent.lastGuardReport = report
            agent.feed(.guardReported(report))
        }
        keeper.onLost = { [unowned agent] in agent.feed(.guardLost) }
        return agent
    }

    /// Lets callbacks be made before the agent that they lead to.
    private final class Relay: @unchecked Sendable {
        // Touched on the control thread only: the callbacks are posted there.
        var agent: Agent?
    }

    private func guardProgram(_ site: PostgresSite) throws -> GuardProgram {
        GuardProgram(
            executable: try Companions.path(of: "matriarch-guard"), runtimeDirectory: site.runtimeDirectory,
            dataDirectory: site.dataDirectory, postgres: site.binDirectory + "/postgres")
    }

    /// Without a service manager the agent starts guard and proxy itself.
    var spawnsCompanions: Bool { ChildProcess.ownEnvironment["MATRIARCH_UNITS"] != "separate" }

    private func network(
        _ loop: EventLoop, _ instance: String, _ nonce: UInt64, _ settings: NodeSettings
    ) throws -> PeerNetwork {
        let identity = LocalIdentity(
            clusterName: configuration.clusterName, nodeName: configuration.nodeName, instance: instance,
            nonce: nonce, agentVersion: Program.version,
            advertised: Endpoint(
                host: settings.member.address, port: UInt16(clamping: settings.member.peerPort)))
        return try PeerNetwork(
            loop: loop, identity: identity, secret: try configuration.loadSecret(),
            listen: Endpoint(
                host: configuration.listenAddress, port: UInt16(clamping: configuration.peerPort)))
    }

    private func proxyLink(_ loop: EventLoop) throws -> ProxyLink? {
        guard configuration.proxyPort != 0 else { return nil }
        return try ProxyLink(
            loop: loop,
            place: ProxyLink.Place(
                runtime: configuration.runtimeDirectory, listenAddress: configuration.listenAddress,
                port: configuration.proxyPort, cluster: configuration.clusterName),
            lease: configuration.leaseDuration, spawns: spawnsCompanions)
    }
}
