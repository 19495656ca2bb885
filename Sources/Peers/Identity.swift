/// Who this agent is to its peers.
public struct LocalIdentity: Equatable, Sendable {
    /// Links between agents of different cluster names are refused.
    public var clusterName: String
    public var nodeName: String
    /// The persistent identity of the state directory: tells two machines apart that claim one name.
    public var instance: String
    /// Drawn anew at each start: tells a restarted agent from the one before it.
    public var nonce: UInt64
    public var agentVersion: String
    /// Where peers reach this node; sent along so that a node which was dialled by a seed address can be
    /// entered under its own.
    public var advertised: Endpoint?
    /// The versions of the peer protocol that this agent speaks: its own and the one before.
    public var versions: ClosedRange<UInt8>

    public init(
        clusterName: String, nodeName: String, instance: String, nonce: UInt64, agentVersion: String,
        advertised: Endpoint? = nil, versions: ClosedRange<UInt8> = PeerProtocol.supported
    ) {
        self.clusterName = clusterName
        self.nodeName = nodeName
        self.instance = instance
        self.nonce = nonce
        self.agentVersion = agentVersion
        self.advertised = advertised
        self.versions = versions
    }
}

/// The version of what agents say to each other.
public enum PeerProtocol {
    /// Raise it by one when a frame changes its meaning; `oldest` then follows one behind, never further,
    /// so that a cluster can be upgraded node by node.
    public static let current: UInt8 = 1
    public static let oldest: UInt8 = 1
    public static var supported: ClosedRange<UInt8> { oldest...current }
}

/// Who is at the other end of a link, as its hello said.
///
/// The link proves that the peer holds the cluster's secret. Which member of the cluster it is, it only
/// claims: any holder of the secret could claim any name.
public struct PeerIdentity: Hashable, Sendable {
    public var name: String
    public var instance: String
    public var nonce: UInt64
    public var agentVersion: String
    /// Where the peer says that it can be reached.
    public var advertised: Endpoint?
    /// The protocol version that both ends speak on this link.
    public var version: UInt8

    public init(
        name: String, instance: String, nonce: UInt64, agentVersion: String, advertised: Endpoint?,
        version: UInt8
    ) {
        self.name = name
        self.instance = instance
        self.nonce = nonce
        self.agentVersion = agentVersion
        self.advertised = advertised
        self.version = version
    }
}

/// A host, by name or address, and a port.
public struct Endpoint: Hashable, Comparable, Sendable, CustomStringConvertible {
    public var host: String
    public var port: UInt16

    public init(host: String, port: UInt16) {
        self.host = host
        self.port = port
    }

    public var description: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }

    public static func < (left: Endpoint, right: Endpoint) -> Bool {
        (left.host, left.port) < (right.host, right.port)
    }
}

/// A peer that this agent shall keep a link to.
public struct PeerTarget: Hashable, Sendable {
    /// The name that must answer there; nil for a seed, whose name its hello tells.
    public var name: String?
    public var endpoint: Endpoint
    /// Every address that the host name stands for is a peer (`dns:name` in the setting `peers`), instead
    /// of one peer that answers at any of them.
    public var isGroup: Bool

    public init(name: String? = nil, host: String, port: UInt16, isGroup: Bool = false) {
        self.name = name
        self.endpoint = Endpoint(host: host, port: port)
        self.isGroup = isGroup
    }
}

/// Tells incoming links apart; never used twice by one process.
public struct ConnectionID: Hashable, Sendable, CustomStringConvertible {
    public let number: UInt64

    public init(_ number: UInt64) { self.number = number }

    public var description: String { "incoming \(number)" }
}

/// The link that a frame came on. Answers to it go back on the same one.
public enum Via: Hashable, Sendable {
    /// A link that this agent opened, to this address: the frame is an answer.
    case outgoing(Endpoint)
    /// A link that the peer opened: the frame is a request.
    case incoming(ConnectionID)
}

/// Which link a request goes out on.
public enum PeerKey: Hashable, Sendable {
    case name(String)
    case endpoint(Endpoint)
}
