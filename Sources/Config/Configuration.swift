public import Consensus

/// Every setting of one node, checked and ready to use; the declarations are in `Setting.all`.
///
/// The initial values here are the defaults of the manual. A value that depends on the machine gets its
/// default in `init(machine:)`, one that depends on another setting when all sources were read.
public struct Configuration: Hashable, Sendable {
    // The cluster
    public var clusterName = "main"
    public var primaryRegion = ""
    public var peers: [PeerAddress] = []
    /// Nil: this node only ever joins an existing cluster.
    public var bootstrapExpect: Int?
    public var clusterSecretFile: String?
    public var tlsCertificateFile: String?
    public var tlsKeyFile: String?
    public var tlsCAFile: String?

    // This node
    public var nodeName = ""
    public var nodeAddress = ""
    public var region = "default"
    public var nodeKind = NodeKind.data
    public var tags: [String] = []
    public var dataDirectory = "/var/lib/matriarch/postgres"
    public var stateDirectory = "/var/lib/matriarch/state"
    public var runtimeDirectory = "/run/matriarch"
    public var postgresBinDirectory = ""

    // Addresses and ports
    public var listenAddress = "*"
    public var postgresPort = 5433
    /// 0: no read-write proxy here.
    public var proxyPort = 5432
    /// 0: no read-only proxy here.
    public var proxyReadonlyPort = 5434
    public var httpPort = 5500
    public var peerPort = 5501

    // Failover
    public var leaseDuration = Duration.seconds(5)
    /// Nil: a tenth of the cluster's lease, whatever that is at the time.
    public var heartbeatInterval: Duration?
    public var synchronousMode = SynchronousMode.auto
    /// In bytes.
    public var maximumLagOnFailover: UInt64 = 16 << 20
    public var drainTimeout = Duration.seconds(5)
    public var stopTimeout = Duration.seconds(60)
    public var coldStartWait = Duration.seconds(30)
    public var syncDrop = Duration.seconds(3)
    /// Nil: never.
    public var deadMemberRemoval: Duration?

    // Roles and passwords
    public var operatorRole = "postgres"
    public var adminRole = "matriarch_admin"
    public var replicationRole = "repluser"
    public var operatorPasswordFile: String?
    public var replicationPasswordFile: String?
    /// From `OPERATOR_PASSWORD`; counts only when the cluster is created.
    public var operatorPassword: Secret?
    /// From `REPL_PASSWORD`; counts only when the cluster is created.
    public var replicationPassword: Secret?

    private var origins: [String: Origin] = [:]

    /// The defaults of this machine.
    public init(machine: Machine) {
        nodeName = machine.hostName
        postgresBinDirectory = machine.newestPostgresBinDirectory ?? ""
    }

    /// Where the value of `key` came from.
    public func origin(of key: String) -> Origin { origins[key] ?? .standard }

    /// Whether someone set `key`, as opposed to taking its default.
    public func isSet(_ key: String) -> Bool { origins[key] != nil }

    mutating func note(_ origin: Origin, of key: String) { origins[key] = origin }

    /// The times that follow from the lease and the heartbeat set here.
    public var timings: Timings { Timings(lease: leaseDuration, heartbeat: heartbeatInterval) }

    /// The file of the cluster secret: the one set, else the one that a node without peers makes for itself.
    public var clusterSecretPath: String { clusterSecretFile ?? stateDirectory + "/cluster.secret" }
}

public enum NodeKind: String, Hashable, CaseIterable, Sendable {
    case data, witness
}

public enum SynchronousMode: String, Hashable, CaseIterable, Sendable {
    case auto, off, quorum
    case quorumStrict = "quorum_strict"
}

/// A password that does not show itself in logs, messages or dumps.
public struct Secret: Hashable, Sendable, CustomStringConvertible, CustomReflectable {
    public let text: String

    public init(_ text: String) { self.text = text }

    public var description: String { "(hidden)" }
    public var customMirror: Mirror { Mirror(self, children: [], displayStyle: .struct) }
}

/// Where a value came from, as error messages and `config show` name it.
public enum Origin: Hashable, Sendable, CustomStringConvertible {
    /// Nobody set it.
    case standard
    /// Without a line when it is about the file as a whole.
    case file(path: String, line: Int?)
    case environment(String)
    case flag(String)

    public var description: String {
        switch self {
        case .standard: "default"
        case .file(let path, let line): line.map { "\(path):\($0)" } ?? path
        case .environment(let name): "environment variable \(name)"
        case .flag(let name): "command line, \(name)"
        }
    }
}
