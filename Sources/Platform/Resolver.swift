internal import CLinux
internal import Glibc

/// Names to addresses, without ever waiting: the system's resolver blocks for many seconds when a server is
/// silent, so it has a thread of its own, and the last good answer stands in when it fails.
///
/// All methods MUST be called on the loop's thread.
public final class Resolver {
    /// Names that may wait to be looked up.
    public static let pendingLimit = 64

    public struct Answer: Sendable {
        /// Empty when the name has never been resolved here.
        public let addresses: [SocketAddress]
        /// Why the fresh look-up failed; the addresses are then those of the last good one.
        public let failure: String?
    }

    private let worker: WorkerThread
    private var lastGood: [String: [SocketAddress]] = [:]
    private var waiting: [String: [(port: UInt16, completion: (Answer) -> Void)]] = [:]

    public init(loop: EventLoop) throws(SystemError) {
        worker = try WorkerThread(name: "resolver", loop: loop, capacity: Self.pendingLimit)
    }

    /// Looks up `host` and calls `completion` on the loop: at once for a numeric address, later for a name.
    public func resolve(_ host: String, port: UInt16, _ completion: @escaping (Answer) -> Void) {
        if let address = SocketAddress(host: host, port: port) {
            return completion(Answer(addresses: [address], failure: nil))
        }
        let running = waiting[host] != nil
        waiting[host, default: []].append((port, completion))
        if running { return }
        do {
            try worker.submit {
                Self.lookUp(host)
            } then: { [self] result in
                finish(host, result)
            }
        } catch {
            finish(host, .init(addresses: [], failure: "\(error)"))
        }
    }

    public func stop() {
        // A look-up may hang for half a minute; the thread ends after it without being waited for.
        worker.stop(join: false)
    }

    private func finish(_ host: String, _ result: Answer) {
        if result.failure == nil { lastGood[host] = result.addresses }
        let known = lastGood[host] ?? []
        for (port, completion) in waiting.removeValue(forKey: host) ?? [] {
            completion(Answer(addresses: known.map { $0.withPort(port) }, failure: result.failure))
        }
    }

    private static func lookUp(_ host: String) -> Answer {
        var hints = addrinfo()
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        var list: UnsafeMutablePointer<addrinfo>?
        let code = getaddrinfo(host, nil, &hints, &list)
        if code != 0 {
            return Answer(addresses: [], failure: "\(host): \(String(cString: gai_strerror(code)))")
        }
        defer { freeaddrinfo(list) }
        var addresses: [SocketAddress] = []
        var entry = list
        while let current = entry?.pointee {
            entry = current.ai_next
            var storage = sockaddr_storage()
            let size = min(Int(current.ai_addrlen), MemoryLayout<sockaddr_storage>.size)
            withUnsafeMutableBytes(of: &storage) { target in
                target.copyMemory(from: UnsafeRawBufferPointer(start: current.ai_addr, count: size))
            }
            if let address = SocketAddress(storage), !addresses.contains(address) {
                addresses.append(address)
            }
        }
        return addresses.isEmpty
            ? Answer(addresses: [], failure: "\(host): no address")
            : Answer(addresses: addresses, failure: nil)
    }
}

extension SocketAddress {
    /// The same address with another port; a unix address as it is.
    public func withPort(_ port: UInt16) -> SocketAddress {
        switch self {
        case .ipv4(let bytes, _): .ipv4(bytes, port: port)
        case .ipv6(let bytes, _, let scope): .ipv6(bytes, port: port, scope: scope)
        case .unix: self
        }
    }
}
