internal import FoundationEssentials
internal import Glibc
public import Platform
internal import Synchronization

/// One machine of the herd: an agent, its guard, its relay and its Postgres, with directories of their own.
public final class HerdNode: Sendable {
    struct Installation: Sendable {
        var machine: Machine
        var programs: Programs
        var network: Network?
        /// Where each node finds its own disk; nil when nodes have none.
        var volume: String?
    }

    public let name: String
    public let directory: String
    let place: Place
    let installation: Installation
    private let agent = Mutex<ChildProcess?>(nil)
    private let lastStart = Mutex<Moment?>(nil)

    init(name: String, directory: String, place: Place, installation: Installation) {
        self.name = name
        self.directory = directory
        self.place = place
        self.installation = installation
    }

    public var address: String { place.address }
    public var eyeAddress: String { place.eyeAddress }
    public var listenAddress: String { place.listenAddress }
    public var postgresBin: String { installation.machine.postgresBin }
    public var dataDirectory: String { directory + "/data" }
    public var stateDirectory: String { directory + "/state" }
    public var runtimeDirectory: String { directory + "/run" }
    public var configurationPath: String { directory + "/matriarch.conf" }
    public var logPath: String { directory + "/agent.log" }

    /// 5432: wherever the writable primary is.
    public var entrance: Door { door(5432) }
    /// 5433: this node's own Postgres.
    public var database: Door { door(5433) }

    private func door(_ port: Int) -> Door {
        Door(node: name, address: eyeAddress, port: port, password: HerdSecrets.operatorPassword)
    }

    var marks: Processes.Marks {
        let inode = place.port.flatMap { installation.network?.namespaceInode($0) }
        return Processes.Marks(directory: directory, networkNamespaces: inode.map { [$0] } ?? [])
    }

    func prepare() throws {
        try installation.machine.makeDirectory(directory, mode: 0o755)
        for path in [stateDirectory, runtimeDirectory] { try installation.machine.makeDirectory(path) }
        if let volume = installation.volume {
            for path in [volume, ownVolume] { try installation.machine.makeDirectory(path, mode: 0o755) }
        }
        try installation.machine.write("", to: logPath, mode: 0o644)
    }

    /// The path under which this node's programs, and they only, find `ownVolume`.
    public var volume: String { installation.volume ?? ownVolume }
    public var ownVolume: String { directory + "/volume" }

    /// A directory on this node's own disk, as the Postgres user's.
    public func makeDirectory(onVolume name: String) throws {
        try installation.machine.makeDirectory("\(ownVolume)/\(name)")
    }

    /// The words before a command line that put the own disk in its place for it.
    private var withVolume: [String] {
        guard let volume = installation.volume else { return [] }
        let script = "mount --bind \"$0\" \"$1\" && shift && exec \"$@\""
        return ["unshare", "--mount", "sh", "-c", script, ownVolume, volume]
    }

    public func write(_ configuration: NodeConfiguration) throws {
        try installation.machine.write(configuration.text, to: configurationPath)
    }

    /// Changes some settings in the file; the running agent is not told.
    public func configure(_ changes: [String: String?]) throws {
        var kept = (readText(configurationPath) ?? "").split(whereSeparator: \.isNewline).map(String.init)
        for (key, value) in changes.sorted(by: { $0.key < $1.key }) {
            kept.removeAll { $0.hasPrefix("\(key) = ") }
            if let value { kept.append("\(key) = '\(value)'") }
        }
        try installation.machine.write(kept.joined(separator: "\n") + "\n", to: configurationPath)
    }

    // MARK: The agent

    /// Starts the agent as the Postgres user, in its own process group, its words appended to the log.
    public func start() throws {
        let machine = installation.machine
        let words =
            place.prefix + withVolume + machine.asPostgres
            + [installation.programs["matriarchd"], "--config", configurationPath]
        lastStart.withLock { $0 = .current }
        let log = open(logPath, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0o644)
        if log < 0 { throw LabError("open \(logPath): \(errorText())") }
        defer { close(log) }
        try Registry.whileOpen {
            try agent.withLock { agent in
                if let agent, agent.exitIfEnded() == nil { throw LabError("\(name)'s agent runs already") }
                agent = try ChildProcess.spawn(
                    executable: try Tool.path(words[0]), arguments: Array(words.dropFirst()),
                    environment: Tool.variables([Processes.marker: directory + "/"]),
                    workingDirectory: "/", standardOutput: .descriptor(log), standardError: .descriptor(log))
            }
        }
    }

    /// SIGTERM: the node hands over, stops Postgres and ends.
    @discardableResult
    public func stop(within limit: Duration = .seconds(60)) throws -> ChildProcess.Exit {
        try signalAgent(SIGTERM)
        return try waitForAgent(within: limit)
    }

    /// How long ago the agent was last started; nil when never.
    public var age: Duration? { lastStart.withLock { $0 }.map { Moment.current - $0 } }

    /// The agent as a process, while it is one.
    public var agentPID: Int32? {
        agent.withLock { agent in
            guard let agent, agent.exitIfEnded() == nil else { return nil }
            return agent.pid
        }
    }

    /// Set when the agent gave up by itself: it ended with a code other than 0, by no signal.
    public var agentGaveUp: ChildProcess.Exit? {
        agent.withLock { agent in
            guard case .status(let code)? = agent?.exitIfEnded(), code != 0 else { return nil }
            return .status(code)
        }
    }

    public func signalAgent(_ number: Int32) throws {
        try agent.withLock { agent in
            guard let agent, agent.exitIfEnded() == nil else {
                throw LabError("\(name)'s agent does not run")
            }
            try agent.signal(number)
        }
    }

    /// - Throws: when the agent still runs at the limit.
    public func waitForAgent(within limit: Duration) throws -> ChildProcess.Exit {
        let deadline = Moment.current + limit
        while true {
            let exit = try agent.withLock { agent in
                guard let agent else { throw LabError("\(name)'s agent was never started") }
                return agent.exitIfEnded()
            }
            if let exit { return exit }
            if .current > deadline {
                throw LabError("\(name)'s agent still runs after \(limit):\n\(logTail())")
            }
            pause(.milliseconds(10))
        }
    }

    // MARK: Looking

    /// What this node says of the cluster, over HTTP.
    public func view() throws -> ClusterView {
        let answer = try HTTPClient.get("/status", from: eyeAddress, port: 5500)
        if answer.status != 200 { throw LabError("GET /status of \(name): \(answer.status) \(answer.body)") }
        return try ClusterView(json: answer.body)
    }

    public func get(_ path: String) throws -> HTTPClient.Answer {
        try HTTPClient.get(path, from: eyeAddress, port: 5500, within: .seconds(5))
    }

    /// Runs `matriarch` with this node's configuration, as the Postgres user.
    public func command(_ words: String..., within limit: Duration = .seconds(60)) throws -> Tool.Outcome {
        try command(words, within: limit)
    }

    public func command(_ words: [String], within limit: Duration = .seconds(60)) throws -> Tool.Outcome {
        try run([installation.programs["matriarch"]] + words, within: limit)
    }

    /// Runs one of our programs with this node's configuration, as the Postgres user, to its end.
    public func run(_ words: [String], within limit: Duration = .seconds(60)) throws -> Tool.Outcome {
        try Tool.attempt(
            place.prefix + installation.machine.asPostgres + words + ["--config", configurationPath],
            within: limit)
    }

    public func log() -> String { readText(logPath) ?? "" }

    public func logTail(_ lines: Int = 15) -> String {
        log().split(whereSeparator: \.isNewline).suffix(lines).map { "  \($0)" }.joined(separator: "\n")
    }
}
