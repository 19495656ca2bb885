internal import FoundationEssentials
internal import Glibc
internal import Synchronization

/// Some nodes of one cluster on this machine: real programs, real Postgres, the real ports.
///
/// A herd belongs to this process and goes when the process does, unless it is kept.
public final class Herd: Sendable {
    public struct Options: Sendable {
        public var nodes: Int
        /// Places for nodes that are not started with the others and whom nobody expects.
        public var spares: Int
        public var placement: Placement
        /// Of namespaces; the nodes then have no IPv4 address but that of their own loopback.
        public var isIPv6Only = false
        /// Every node's name begins with it; its number comes last.
        public var namePrefix = "pg"
        public var region: String
        public var cluster: String
        /// Added to every node's configuration file, or replacing what it would have.
        public var settings: [String: String]
        /// Gives every node a disk of its own under one and the same path (`HerdNode.volume`), as machines
        /// have it, in a mount namespace; for root.
        public var volumes: Bool

        public init(
            nodes: Int = 3, spares: Int = 0, placement: Placement = .best, region: String = "here",
            cluster: String = "herd",
            settings: [String: String] = [:], volumes: Bool = false
        ) {
            self.nodes = nodes
            self.spares = spares
            self.placement = placement
            self.region = region
            self.cluster = cluster
            self.settings = settings
            self.volumes = volumes
        }
    }

    public let options: Options
    /// The founders.
    public let nodes: [HerdNode]
    public let spares: [HerdNode]
    public let network: Network?
    public let machine: Machine
    public let programs: Programs
    public var directory: String { claim.directory }
    private let claim: Claim
    private let isDown = Mutex(false)

    /// Makes directories, configuration files and the network; starts nothing yet.
    public init(_ options: Options, programs found: Programs? = nil) throws {
        self.options = options
        machine = try Machine()
        let built = try found ?? Programs.find()
        let claim = try Registry.claim(machine)
        self.claim = claim
        do {
            let programs = try built.copied(to: claim.directory + "/bin", machine)
            let network =
                try options.placement == .namespaces
                ? Network(
                    tag: claim.tag, nodes: options.nodes + options.spares, isIPv6: options.isIPv6Only) : nil
            let all = try Herd.nodes(
                options, in: claim.directory,
                HerdNode.Installation(
                    machine: machine, programs: programs, network: network,
                    volume: options.volumes ? claim.directory + "/volume" : nil))
            (self.programs, self.network) = (programs, network)
            nodes = Array(all.prefix(options.nodes))
            spares = Array(all.dropFirst(options.nodes))
        } catch {
            try? Registry.release(claim)
            throw error
        }
    }

    deinit {
        if !isDown.withLock({ $0 }) { try? Registry.release(claim) }
    }

    private static func nodes(
        _ options: Options, in directory: String, _ installation: HerdNode.Installation
    ) throws -> [HerdNode] {
        let places = try places(options, installation.network)
        let secrets = try HerdSecrets(
            in: directory + "/shared", installation.programs, installation.machine)
        return try places.enumerated().map { index, place in
            let name = "\(options.namePrefix)\(index + 1)"
            let node = HerdNode(
                name: name, directory: "\(directory)/\(name)", place: place, installation: installation)
            try node.prepare()
            try node.write(
                NodeConfiguration(
                    options, node, founders: places.prefix(options.nodes).map(\.address), secrets))
            return node
        }
    }

    private static func places(_ options: Options, _ network: Network?) throws -> [Place] {
        if let network {
            return network.ports.map { port in
                Place(
                    address: port.address, eyeAddress: port.eyeAddress, listenAddress: "*",
                    prefix: Network.inside(port.namespace), port: port)
            }
        }
        return try Loopback.freeAddresses(options.nodes + options.spares).map { address in
            Place(address: address, eyeAddress: address, listenAddress: address, prefix: [], port: nil)
        }
    }

    public func node(_ name: String) throws -> HerdNode {
        guard let node = (nodes + spares).first(where: { $0.name == name }) else {
            throw LabError("no node '\(name)'; there are \(nodes.map(\.name).joined(separator: ", "))")
        }
        return node
    }

    public func others(than node: HerdNode) -> [HerdNode] { nodes.filter { $0.name != node.name } }

    /// Every founder is healthy and one of them is the writable primary.
    public var isWhole: Condition { .whole(nodes.map(\.name)) }

    /// As `isWhole`, and every report is from after what happened last.
    public var isSettled: Condition { .settled(nodes.map(\.name)) }

    public func start() throws { for node in nodes { try node.start() } }

    /// Waits until every node that answers tells that the condition holds, and one at least does.
    ///
    /// - Parameter observers: whom to ask; all nodes when nil. A node that is cut off tells of another time
    ///   and must be left out.
    /// - Throws: with the condition, the last views and the ends of all logs.
    @discardableResult
    public func until(
        _ condition: Condition, seenBy observers: [HerdNode]? = nil, within limit: Duration = .seconds(60)
    ) throws -> ClusterView {
        let deadline = Moment.current + limit
        while true {
            var told: [String: String] = [:]
            var views: [ClusterView] = []
            for node in observers ?? nodes where node.agentPID != nil {
                do {
                    let view = try node.view()
                    views.append(view)
                    told[node.name] = view.summary
                } catch {
                    told[node.name] = "\(error)"
                }
            }
            if let first = views.first, views.allSatisfy(condition.holds) { return first }
            try giveUpIfHopeless(.current > deadline, condition.what, limit, told)
            pause(.milliseconds(50))
        }
    }

    /// Waits for anything else about the herd; the failure is told with the logs.
    public func until(
        _ what: String, within limit: Duration = .seconds(60), _ holds: () throws -> Bool
    ) throws {
        let deadline = Moment.current + limit
        while !(try holds()) {
            try giveUpIfHopeless(.current > deadline, what, limit, [:])
            pause(.milliseconds(50))
        }
    }

    /// The node that the herd says is its writable primary.
    public func primary(within limit: Duration = .seconds(60)) throws -> HerdNode {
        try node(try until(.writable, within: limit).primary ?? "")
    }

    public var databaseDoors: [Door] { nodes.map(\.database) }
    public var entrances: [Door] { nodes.map(\.entrance) }

    /// Throws when time is up, or when an agent has ended with an error: waiting on would tell nothing more.
    private func giveUpIfHopeless(
        _ isLate: Bool, _ what: String, _ limit: Duration, _ views: [String: String]
    ) throws {
        let ended = nodes.compactMap { node in node.agentGaveUp.map { "\(node.name)'s agent ended: \($0)" } }
        guard isLate || !ended.isEmpty else { return }
        let seen = views.sorted { $0.key < $1.key }.map { "  \($0.key) says: \($0.value)" }
        let logs = nodes.map { "  --- end of \($0.name)'s log\n\($0.logTail())" }
        let kept = (try? keepLogs()).map { "whole logs: \($0)" } ?? "the logs could not be kept"
        let lines = ["within \(limit) it did not happen that \(what)"] + ended + seen + logs + [kept]
        throw LabError(lines.joined(separator: "\n"))
    }

    /// Copies the logs out of the herd's directory, which goes away.
    @discardableResult
    public func keepLogs() throws -> String {
        let target = "\(Programs.sourceRoot)/.build/lab-logs/\(claim.tag)"
        try FileManager.default.createDirectory(atPath: target, withIntermediateDirectories: true)
        for node in nodes + spares {
            let copy = "\(target)/\(node.name).log"
            try? FileManager.default.removeItem(atPath: copy)
            try FileManager.default.copyItem(atPath: node.logPath, toPath: copy)
        }
        return target
    }

    /// Kills everything and removes every trace.
    public func destroy() throws {
        if isDown.withLock({ $0 }) { return }
        try Registry.release(claim)
        isDown.withLock { $0 = true }
    }

    /// Leaves the herd running when this process ends.
    public func keep() throws {
        try Registry.keep(claim)
        isDown.withLock { $0 = true }
    }
}

/// What all nodes of a herd know.
struct HerdSecrets: Sendable {
    var clusterSecretFile: String
    var operatorPasswordFile: String
    var replicationPasswordFile: String

    /// The password that our own clients use; the cluster is nobody else's.
    static let operatorPassword = "herd-operator"
    static let replicationPassword = "herd-replication"

    /// Writes a new cluster secret, by the command that people use.
    static func create(_ path: String, _ programs: Programs, _ machine: Machine) throws {
        try Tool.run(machine.asPostgres + [programs["matriarch"], "secret", "create", "--output", path])
    }

    init(in directory: String, _ programs: Programs, _ machine: Machine) throws {
        try machine.makeDirectory(directory)
        clusterSecretFile = directory + "/cluster.secret"
        operatorPasswordFile = directory + "/operator.password"
        replicationPasswordFile = directory + "/replication.password"
        try HerdSecrets.create(clusterSecretFile, programs, machine)
        try machine.write(HerdSecrets.operatorPassword + "\n", to: operatorPasswordFile)
        try machine.write(HerdSecrets.replicationPassword + "\n", to: replicationPasswordFile)
    }
}
