import Consensus
import Glibc
public import Platform

/// What the network of links tells the agent, on the loop's thread. Any call may send, answer or set peers.
public protocol PeerNetworkDelegate: AnyObject {
    func received(_ frame: [UInt8], from peer: PeerIdentity, via: Via)
    /// A link is open. Of our own links to one process (two addresses may lead to it) only the first is
    /// told, and `disconnected` only for the last.
    func connected(_ peer: PeerIdentity, via: Via)
    func disconnected(_ peer: PeerIdentity, via: Via)
    /// `address` is where the refused one is, or was dialled.
    ///
    /// - Parameter heldBack: nil when people have been told of one like it a moment ago; else how many were
    ///   not told since the last that was.
    func refused(_ reason: RefusalReason, address: String, heldBack: UInt64?)
}

/// The authenticated, encrypted links of this agent to all others (peers: The links).
///
/// Each agent opens one link to each peer; its requests go out on that one and their answers come back on
/// it. The peers' requests come in on the links that they opened. Everything here MUST be called on the
/// loop's thread, and nothing here waits.
public final class PeerNetwork {
    public weak var delegate: (any PeerNetworkDelegate)?
    public let limits: PeerLimits

    let loop: EventLoop
    let local: LocalIdentity
    let tls: TLSContext
    let resolver: Resolver
    let listenOn: Endpoint
    /// One for all links: a read is taken apart before the next one.
    let readBuffer = UnsafeMutableRawBufferPointer.allocate(byteCount: Link.readBufferBytes, alignment: 16)
    var random = SystemRandomNumberGenerator()
    var isClosed = false

    var listeners: [Int32] = []
    var strangers: [Stranger] = []
    var guests: [ConnectionID: Link] = [:]
    var lastConnection: UInt64 = 0
    var accepts = RateLimit()
    /// Handshakes begun with strangers: at addresses of peers, and at all others.
    var greetingsOfPeers = RateLimit()
    var greetings = RateLimit()

    /// By what was asked for; a group's addresses have dialers of their own.
    var dialers: [Endpoint: Dialer] = [:]
    var groups: [Endpoint: Group] = [:]
    var refusals: RefusalLog
    var droppedByEnded: UInt64 = 0
    /// Counts the calls of `setPeers`.
    private var generation: UInt64 = 0
    /// Time limits of links that are not open yet.
    var deadlines: [ObjectIdentifier: TimerID] = [:]

    /// - Parameter listen: host `*` for every address of the machine, or a numeric address; port 0 for any.
    /// - Throws: `TLSError` when OpenSSL cannot be set up, `SystemError` when a thread for look-ups cannot
    ///   be had.
    public init(
        loop: EventLoop, identity: LocalIdentity, secret: ClusterSecret, listen: Endpoint,
        limits: PeerLimits = PeerLimits()
    ) throws {
        self.loop = loop
        self.limits = limits
        local = identity
        tls = try TLSContext(secret: secret)
        resolver = try Resolver(loop: loop)
        listenOn = listen
        refusals = RefusalLog(interval: limits.refusalLog)
    }

    deinit { readBuffer.deallocate() }

    /// Begins to listen.
    ///
    /// - Throws: `PeerListenError`, which names the address and the port.
    public func start() throws(PeerListenError) { try startListening() }

    /// The port that is listened on, of the first listener.
    public var listeningPort: UInt16? { listeners.first.flatMap { Sockets.localAddress($0)?.port } }

    /// Says which peers to keep links to, all of them at once; others are dropped. Calling it again with
    /// the same peers does nothing.
    public func setPeers(_ targets: [PeerTarget]) {
        guard !isClosed else { return }
        generation += 1
        let mine = generation
        setGroups(targets.filter(\.isGroup).map(\.endpoint))
        var wanted: [Endpoint: String?] = [:]
        for group in groups.values {
            for endpoint in group.members { wanted[endpoint] = .some(nil) }
        }
        for target in targets where !target.isGroup {
            // A name says more than none, wherever it comes from.
            if let name = target.name { wanted[target.endpoint] = name }
            if wanted[target.endpoint] == nil { wanted[target.endpoint] = .some(nil) }
        }
        setDialers(wanted) { generation == mine }
    }

    /// Sends a request to one peer on the link that this agent opened to it.
    @discardableResult
    public func send(_ frame: [UInt8], to key: PeerKey, coalescing: CoalescingKey? = nil) -> SendOutcome {
        guard let link = outgoingLink(key) else { return .noLink }
        return link.send(frame, coalescing)
    }

    /// Sends a request to every peer that an own link is open to.
    public func sendToAll(_ frame: [UInt8], coalescing: CoalescingKey? = nil) {
        for dialer in dialers.values { _ = dialer.link?.send(frame, coalescing) }
    }

    /// Answers a request on the link that it came on.
    @discardableResult
    public func answer(
        _ frame: [UInt8], on connection: ConnectionID, coalescing: CoalescingKey? = nil
    ) -> SendOutcome {
        guard let link = guests[connection] else { return .noLink }
        return link.send(frame, coalescing)
    }

    /// The peers that an own link is open to, by name.
    public var reachable: [PeerIdentity] {
        dialers.values.compactMap { $0.link?.peer }.sorted { $0.name < $1.name }
    }

    /// What the links have come to, for metrics.
    public var counts: PeerCounts {
        let links = dialers.values.compactMap(\.link) + guests.values
        return PeerCounts(
            outgoing: dialers.values.count { $0.link?.peer != nil }, incoming: guests.count,
            strangers: strangers.count, queuedFrames: links.reduce(0) { $0 + $1.queuedFrames },
            droppedFrames: droppedByEnded + links.reduce(0) { $0 + $1.droppedFrames })
    }

    /// Ends all links without telling the delegate, and stops to listen. The network cannot be started again.
    public func close() {
        guard !isClosed else { return }
        isClosed = true
        delegate = nil
        stopListening()
        let links = dialers.values.compactMap(\.link) + guests.values + strangers.map(\.link)
        for link in links { link.end(.dropped) }
        for dialer in dialers.values { cancelTimer(of: dialer) }
        for group in groups.values { cancelTimer(of: group) }
        dialers = [:]
        groups = [:]
        resolver.stop()
    }

    private func outgoingLink(_ key: PeerKey) -> Link? {
        switch key {
        case .endpoint(let endpoint): return dialers[endpoint]?.link
        case .name(let name):
            let links = dialers.values.filter { $0.link?.peer?.name == name }
            // Somebody else may bear the name at a seed's address; the one at the address on record comes
            // first.
            return (links.first { $0.expected == name } ?? links.first)?.link
        }
    }

    func after(_ wait: Duration, _ handler: @escaping () -> Void) -> TimerID {
        loop.at(BootClock.now() + wait.nanoseconds, handler)
    }
}

/// A snapshot of the links, for metrics and status.
public struct PeerCounts: Equatable, Sendable {
    public var outgoing: Int
    public var incoming: Int
    /// Incoming links that have not said who they are.
    public var strangers: Int
    public var queuedFrames: Int
    /// Frames that were lost because a queue was full.
    public var droppedFrames: UInt64
}

/// The peer port cannot be listened on; an operator can mend it.
public struct PeerListenError: Error, Equatable, Sendable, CustomStringConvertible {
    public let endpoint: Endpoint
    public let reason: String
    public let isInUse: Bool

    public var description: String {
        guard isInUse else { return "cannot listen for peers on \(endpoint): \(reason)" }
        return "peer port \(endpoint.port) on \(endpoint.host) is in use; "
            + "is another agent running? else set peer_port to a free one"
    }
}
