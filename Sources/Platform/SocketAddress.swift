internal import CLinux
internal import Glibc

/// Where a socket listens or connects to: a numeric IP address with a port, or a path.
public enum SocketAddress: Hashable, Sendable, CustomStringConvertible {
    /// Four bytes in network order.
    case ipv4([UInt8], port: UInt16)
    /// Sixteen bytes in network order; `scope` is the interface of a link-local address, else 0.
    case ipv6([UInt8], port: UInt16, scope: UInt32)
    case unix(String)

    /// A numeric address, "10.0.0.2" or "fdaa::3" (brackets and "%eth0" are understood). Nil for a name: see
    /// `Resolver`.
    public init?(host: String, port: UInt16) {
        let bare = host.hasPrefix("[") && host.hasSuffix("]") ? String(host.dropFirst().dropLast()) : host
        let parts = bare.split(separator: "%", maxSplits: 1).map(String.init)
        guard let address = parts.first, !address.isEmpty else { return nil }
        var bytes = [UInt8](repeating: 0, count: 16)
        if inet_pton(AF_INET, bare, &bytes) == 1 {
            self = .ipv4(Array(bytes[..<4]), port: port)
        } else if inet_pton(AF_INET6, address, &bytes) == 1 {
            let scope = parts.count > 1 ? UInt32(parts[1]) ?? if_nametoindex(parts[1]) : 0
            self = .ipv6(bytes, port: port, scope: scope)
        } else {
            return nil
        }
    }

    /// "10.0.0.2:5501", "[fdaa::3]:5501", or without a port when there is a default.
    public init?(_ text: String, defaultPort: UInt16? = nil) {
        guard let (host, port) = Self.split(text), let port = port ?? defaultPort else { return nil }
        self.init(host: host, port: port)
    }

    /// Host and port of "host", "host:5501", "10.0.0.2:5501", "fdaa::3" or "[fdaa::3]:5501". Nil for a bad
    /// port or an empty host.
    public static func split(_ text: String) -> (host: String, port: UInt16?)? {
        if text.hasPrefix("[") {
            guard let end = text.firstIndex(of: "]") else { return nil }
            let host = String(text[text.index(after: text.startIndex)..<end])
            let rest = text[text.index(after: end)...]
            if rest.isEmpty { return host.isEmpty ? nil : (host, nil) }
            guard rest.hasPrefix(":"), let port = UInt16(rest.dropFirst()), !host.isEmpty else { return nil }
            return (host, port)
        }
        let pieces = text.split(separator: ":", omittingEmptySubsequences: false)
        if pieces.count != 2 { return text.isEmpty ? nil : (text, nil) }
        guard let port = UInt16(pieces[1]), !pieces[0].isEmpty else { return nil }
        return (String(pieces[0]), port)
    }

    /// The address without the port ("10.0.0.2", "fdaa::3"); a path for a unix socket.
    public var host: String {
        var text = [CChar](repeating: 0, count: Int(INET6_ADDRSTRLEN))
        switch self {
        case .ipv4(let bytes, _): return Self.text(inet_ntop(AF_INET, bytes, &text, UInt32(text.count)))
        case .ipv6(let bytes, _, let scope):
            let address = Self.text(inet_ntop(AF_INET6, bytes, &text, UInt32(text.count)))
            return scope == 0 ? address : "\(address)%\(scope)"
        case .unix(let path): return path
        }
    }

    /// Nil for a unix socket.
    public var port: UInt16? {
        switch self {
        case .ipv4(_, let port), .ipv6(_, let port, _): port
        case .unix: nil
        }
    }

    public var description: String {
        switch self {
        case .ipv4(_, let port): "\(host):\(port)"
        case .ipv6(_, let port, _): "[\(host)]:\(port)"
        case .unix(let path): path
        }
    }

    public var isLoopback: Bool {
        switch self {
        case .ipv4(let bytes, _): bytes.first == 127
        case .ipv6(let bytes, _, _): bytes.dropLast().allSatisfy { $0 == 0 } && bytes.last == 1
        case .unix: true
        }
    }

    private static func text(_ pointer: UnsafePointer<CChar>?) -> String {
        pointer.map { String(cString: $0) } ?? "?"
    }

    // MARK: The kernel's form

    var family: Int32 {
        switch self {
        case .ipv4: AF_INET
        case .ipv6: AF_INET6
        case .unix: AF_UNIX
        }
    }

    /// The longest path of a unix socket, in bytes.
    public static let unixPathLimit = MemoryLayout.size(ofValue: sockaddr_un().sun_path) - 1

    /// Calls `body` with the sockaddr. The path of a unix address must have been checked against
    /// `unixPathLimit`.
    func withSockaddr<Result>(_ body: (UnsafePointer<sockaddr>, socklen_t) -> Result) -> Result {
        var storage = sockaddr_storage()
        let length: Int
        switch self {
        case .ipv4(let bytes, let port):
            var address = sockaddr_in()
            address.sin_family = sa_family_t(AF_INET)
            address.sin_port = port.bigEndian
            withUnsafeMutableBytes(of: &address.sin_addr) { $0.copyBytes(from: bytes) }
            length = Self.copy(address, &storage)
        case .ipv6(let bytes, let port, let scope):
            var address = sockaddr_in6()
            address.sin6_family = sa_family_t(AF_INET6)
            address.sin6_port = port.bigEndian
            address.sin6_scope_id = scope
            withUnsafeMutableBytes(of: &address.sin6_addr) { $0.copyBytes(from: bytes) }
            length = Self.copy(address, &storage)
        case .unix(let path):
            var address = sockaddr_un()
            address.sun_family = sa_family_t(AF_UNIX)
            withUnsafeMutableBytes(of: &address.sun_path) {
                $0.copyBytes(from: path.utf8.prefix($0.count - 1))
            }
            length = Self.copy(address, &storage)
        }
        return withUnsafePointer(to: &storage) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, socklen_t(length)) }
        }
    }

    /// The address that `fill` (accept, getsockname…) writes; nil when it fails or writes an unknown family.
    static func received(_ fill: (UnsafeMutablePointer<sockaddr>, UnsafeMutablePointer<socklen_t>) -> Int32)
        -> (
            result: Int32, address: SocketAddress?
        )
    {
        var storage = sockaddr_storage()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        let result = withUnsafeMutablePointer(to: &storage) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { fill($0, &length) }
        }
        return (result, result < 0 ? nil : SocketAddress(storage))
    }

    init?(_ storage: sockaddr_storage) {
        switch Int32(storage.ss_family) {
        case AF_INET:
            let address = Self.view(storage, as: sockaddr_in.self)
            self = .ipv4(
                withUnsafeBytes(of: address.sin_addr) { Array($0) }, port: UInt16(bigEndian: address.sin_port)
            )
        case AF_INET6:
            let address = Self.view(storage, as: sockaddr_in6.self)
            let bytes = withUnsafeBytes(of: address.sin6_addr) { Array($0) }
            self = .ipv6(bytes, port: UInt16(bigEndian: address.sin6_port), scope: address.sin6_scope_id)
        case AF_UNIX:
            let path = Self.view(storage, as: sockaddr_un.self).sun_path
            let bytes = withUnsafeBytes(of: path) { Array($0.prefix { $0 != 0 }) }
            self = .unix(String(decoding: bytes, as: UTF8.self))
        default: return nil
        }
    }

    private static func copy<Address>(_ address: Address, _ storage: inout sockaddr_storage) -> Int {
        withUnsafeBytes(of: address) { source in
            withUnsafeMutableBytes(of: &storage) { $0.copyMemory(from: source) }
        }
        return MemoryLayout<Address>.size
    }

    private static func view<Address>(_ storage: sockaddr_storage, as: Address.Type) -> Address {
        withUnsafeBytes(of: storage) { $0.load(as: Address.self) }
    }
}
