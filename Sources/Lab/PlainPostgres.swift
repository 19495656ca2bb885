internal import FoundationEssentials
internal import Glibc
internal import Platform
internal import Synchronization

/// A Postgres without Matriarch: the floor of the benchmarks, and something real to test the laboratory on.
public final class PlainPostgres: Sendable {
    public static let password = "plain"

    public let name: String
    public let door: Door
    /// By which the other server reaches it; `door` is how we do.
    let peerAddress: String
    let dataDirectory: String
    private var logPath: String { dataDirectory + ".log" }
    private let machine: Machine
    private let prefix: [String]
    private let postmaster = Mutex<ChildProcess?>(nil)

    /// - Parameters:
    ///   - address: of our own eyes; Postgres listens on every address of its namespace.
    ///   - prefix: words that put it into a namespace.
    init(
        name: String, in directory: String, address: String, peerAddress: String, prefix: [String],
        _ machine: Machine
    ) {
        self.peerAddress = peerAddress
        self.name = name
        self.machine = machine
        self.prefix = prefix
        dataDirectory = "\(directory)/\(name)"
        door = Door(node: name, address: address, port: 5433, password: PlainPostgres.password)
    }

    /// Makes a new database.
    func initialise() throws {
        let passwordFile = dataDirectory + ".password"
        try machine.write(PlainPostgres.password, to: passwordFile)
        try run([
            "initdb", "-D", dataDirectory, "-U", "postgres", "-A", "scram-sha-256", "--pwfile", passwordFile,
            "--no-sync", "--data-checksums",
        ])
        let hba = "\nhost all all all scram-sha-256\nhost replication all all scram-sha-256\n"
        try append(hba, to: "pg_hba.conf")
        try append("max_wal_senders = 10\nwal_level = replica\nhot_standby = on\n", to: "postgresql.conf")
    }

    /// Copies another Postgres and follows it.
    func clone(_ primary: PlainPostgres) throws {
        let door = primary.door
        try run([
            "pg_basebackup", "-D", dataDirectory, "-R", "--checkpoint=fast", "--no-sync", "-d",
            "host=\(primary.peerAddress) port=\(door.port) user=\(door.user) password=\(door.password)",
        ])
        try append("wal_retrieve_retry_interval = '100ms'\n", to: "postgresql.conf")
    }

    public func start() throws {
        try machine.makeDirectory(dataDirectory + ".sockets")
        let words =
            prefix + machine.asPostgres + [
                "\(machine.postgresBin)/postgres", "-D", dataDirectory, "-p", String(door.port),
                "-c", "listen_addresses=\(prefix.isEmpty ? door.address : "*")",
                "-c", "unix_socket_directories=\(dataDirectory).sockets",
            ]
        let log = open(logPath, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0o644)
        if log < 0 { throw LabError("open \(logPath): \(errorText())") }
        defer { close(log) }
        try Registry.whileOpen {
            try postmaster.withLock {
                $0 = try ChildProcess.spawn(
                    executable: try Tool.path(words[0]), arguments: Array(words.dropFirst()),
                    environment: Tool.variables([Processes.marker: dataDirectory + "/"]),
                    workingDirectory: "/", standardOutput: .descriptor(log), standardError: .descriptor(log))
            }
        }
        try waitUntilOpen(within: .seconds(60))
    }

    private func waitUntilOpen(within limit: Duration) throws {
        let deadline = Moment.current + limit
        while true {
            do {
                _ = try Session(door, within: .seconds(1))
                return
            } catch {
                let ended = postmaster.withLock { $0?.exitIfEnded() }
                if ended != nil || .current > deadline {
                    throw LabError("\(name) takes no connections: \(error)\n\(readText(logPath) ?? "")")
                }
            }
            pause(.milliseconds(20))
        }
    }

    /// The postmaster and all of its processes at once, as a machine that loses power.
    public func kill() throws { try Processes.killAll(Processes.Marks(directory: dataDirectory)) }

    /// Ends recovery; returns when writes are possible.
    public func promote() throws {
        try Session(door, within: .seconds(5)).run("select pg_promote(true, 60)", within: .seconds(60))
    }

    private func run(_ words: [String]) throws {
        try Tool.run(
            prefix + machine.asPostgres + ["\(machine.postgresBin)/\(words[0])"] + words.dropFirst(),
            within: .seconds(120))
    }

    private func append(_ text: String, to file: String) throws {
        let path = "\(dataDirectory)/\(file)"
        try machine.write((readText(path) ?? "") + text, to: path)
    }
}

/// Some Postgres servers without Matriarch, with the same cables as a herd.
public final class PlainPostgresPair: Sendable {
    public enum Relation: Sendable {
        /// The second is a streaming copy of the first.
        case replicated
        /// Both are primaries that know nothing of each other.
        case strangers
    }

    public let first: PlainPostgres
    public let second: PlainPostgres
    private let network: Network?
    private let claim: Claim

    public init(_ relation: Relation, placement: Placement = .best) throws {
        let machine = try Machine()
        let claim = try Registry.claim(machine)
        self.claim = claim
        do {
            let data = claim.directory + "/plain"
            try machine.makeDirectory(data)
            let network = try placement == .namespaces ? Network(tag: claim.tag, nodes: 2) : nil
            let addresses = try network?.ports.map(\.eyeAddress) ?? Loopback.freeAddresses(2)
            let servers = addresses.enumerated().map { index, address in
                let prefix = network.map { Network.inside($0.ports[index].namespace) } ?? []
                return PlainPostgres(
                    name: "plain\(index + 1)", in: data, address: address,
                    peerAddress: network?.ports[index].address ?? address, prefix: prefix, machine)
            }
            (first, second, self.network) = (servers[0], servers[1], network)
            try begin(relation)
        } catch {
            try? Registry.release(claim)
            throw error
        }
    }

    deinit { try? Registry.release(claim) }

    /// What `Claim` says of this laboratory, for a test that looks for what is left of it.
    public var directory: String { claim.directory }
    public var tag: String { claim.tag }

    /// Cuts the cable between a server and us.
    public func losePower(_ server: PlainPostgres) throws {
        if let network { try network.cut(network.ports[server === first ? 0 : 1], .powerless) }
        try server.kill()
    }

    /// Silence without death, as a broken switch; namespaces only.
    public func silence(_ server: PlainPostgres) throws {
        guard let network else { throw LabError("loopback addresses have no cable to cut") }
        try network.cut(network.ports[server === first ? 0 : 1], .powerless)
    }

    public func heal(_ server: PlainPostgres) throws {
        if let network { try network.heal(network.ports[server === first ? 0 : 1]) }
    }

    private func begin(_ relation: Relation) throws {
        try first.initialise()
        try first.start()
        switch relation {
        case .replicated:
            try second.clone(first)
        case .strangers:
            try second.initialise()
        }
        try second.start()
        try Writer.prepare(first.door)
        if relation == .strangers { try Writer.prepare(second.door) }
    }
}
