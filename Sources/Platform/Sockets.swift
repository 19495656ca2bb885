internal import CLinux
internal import Glibc

/// Sockets as plain descriptors: always non-blocking, close-on-exec, and owned (closed) by the caller.
public enum Sockets {
    public enum Kind: Sendable {
        case stream
        /// Packets with boundaries, in order; unix sockets only.
        case packets

        fileprivate var type: Int32 {
            let kind = self == .stream ? SOCK_STREAM : SOCK_SEQPACKET
            return Int32(kind.rawValue) | Int32(SOCK_NONBLOCK.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
        }
    }

    /// What a non-blocking read or write came to.
    public enum Transfer: Equatable, Sendable {
        case bytes(Int)
        case wouldBlock
        /// The other side has closed (reading), or nobody reads any more (writing).
        case closed
    }

    public static let backlog: Int32 = 128

    // MARK: Making

    /// Listens. A unix socket is made with `mode`, in place of a stale one: the caller holds the lock that
    /// says so.
    ///
    /// An IPv6 wildcard takes IPv6 only, so that "*" listens twice, once for each family.
    public static func listen(
        on address: SocketAddress, kind: Kind = .stream, mode: UInt32 = 0o600, sharePort: Bool = false
    ) throws(SystemError) -> Int32 {
        let fd = try make(address, kind)
        do {
            if case .unix(let path) = address {
                unlink(path)
            } else {
                try set(fd, SOL_SOCKET, SO_REUSEADDR, 1)
                if sharePort { try set(fd, SOL_SOCKET, SO_REUSEPORT, 1) }
                if case .ipv6 = address { try set(fd, Int32(IPPROTO_IPV6), IPV6_V6ONLY, 1) }
            }
            try system("bind", "\(address)") { address.withSockaddr { bind(fd, $0, $1) } }
            if case .unix(let path) = address { try system("chmod", path) { chmod(path, mode) } }
            try system("listen", "\(address)") { Glibc.listen(fd, backlog) }
            return fd
        } catch {
            close(fd)
            throw error
        }
    }

    /// Begins to connect. The descriptor becomes writable when that is done; `connectionError` says how it
    /// ended.
    ///
    /// - Parameter source: the local address to come from; nil lets the kernel choose.
    public static func connect(
        to address: SocketAddress, kind: Kind = .stream, from source: SocketAddress? = nil
    ) throws(SystemError) -> Int32 {
        let fd = try make(address, kind)
        do throws(SystemError) {
            if let source {
                try system("bind", "\(source)") { source.withSockaddr { bind(fd, $0, $1) } }
            }
            let result = address.withSockaddr { Glibc.connect(fd, $0, $1) }
            let code = errno
            if result != 0, code != EINPROGRESS, code != EINTR {
                throw SystemError(call: "connect", code: code, detail: "\(address)")
            }
            return fd
        } catch {
            close(fd)
            throw error
        }
    }

    /// Takes one waiting connection; nil when none waits (or the one that did has gone again).
    ///
    /// - Throws: on lack of descriptors or memory, which passes: the caller should wait a moment, not spin.
    public static func accept(_ listener: Int32) throws(SystemError) -> (fd: Int32, peer: SocketAddress?)? {
        let (fd, peer) = SocketAddress.received { clinux_accept(listener, $0, $1) }
        if fd >= 0 {
            if case .unix = peer { return (fd, peer) }
            // A connection that ended already has no options; reading it tells.
            try? set(fd, Int32(IPPROTO_TCP), TCP_NODELAY, 1)
            return (fd, peer)
        }
        switch errno {
        case EMFILE, ENFILE, ENOBUFS, ENOMEM, EBADF, EINVAL, ENOTSOCK, EOPNOTSUPP:
            throw SystemError(call: "accept", code: errno)
        default:
            return nil
        }
    }

    /// How a connect ended: nil when it is established.
    public static func connectionError(_ fd: Int32, to address: SocketAddress? = nil) -> SystemError? {
        var code: Int32 = 0
        var length = socklen_t(MemoryLayout<Int32>.size)
        if getsockopt(fd, SOL_SOCKET, SO_ERROR, &code, &length) != 0 { code = errno }
        return code == 0
            ? nil : SystemError(call: "connect", code: code, detail: address.map { "\($0)" } ?? "")
    }

    // MARK: Options

    /// Keepalive probes and the bound on unacknowledged data: after about `seconds` of silence from the
    /// peer's machine the connection fails instead of hanging for many minutes.
    ///
    /// The bound also ends a connection whose living peer has not *read* for so long (TCP_USER_TIMEOUT counts
    /// a closed window): only for peers that always read.
    public static func setTimeouts(_ fd: Int32, seconds: Int32) throws(SystemError) {
        try setKeepalive(fd, seconds: seconds)
        try set(fd, Int32(IPPROTO_TCP), TCP_USER_TIMEOUT, seconds * 1000)
    }

    /// Keepalive probes alone: an idle connection to a machine that is gone fails after about `seconds`. A
    /// peer that lives but does not read is left in peace.
    public static func setKeepalive(_ fd: Int32, seconds: Int32) throws(SystemError) {
        try set(fd, SOL_SOCKET, SO_KEEPALIVE, 1)
        try set(fd, Int32(IPPROTO_TCP), TCP_KEEPIDLE, max(1, seconds / 2))
        try set(fd, Int32(IPPROTO_TCP), TCP_KEEPINTVL, max(1, seconds / 6))
        try set(fd, Int32(IPPROTO_TCP), TCP_KEEPCNT, 3)
    }

    /// Who is at the other end of a unix socket, as the kernel saw it when the connection was made.
    public static func peerCredentials(_ fd: Int32) throws(SystemError) -> (
        pid: Int32, uid: UInt32, gid: UInt32
    ) {
        var pid: pid_t = 0
        var uid: uid_t = 0
        var gid: gid_t = 0
        try system("getsockopt SO_PEERCRED") { clinux_peer_credentials(fd, &pid, &uid, &gid) }
        return (pid, uid, gid)
    }

    public static func localAddress(_ fd: Int32) -> SocketAddress? {
        SocketAddress.received { getsockname(fd, $0, $1) }.address
    }

    public static func peerAddress(_ fd: Int32) -> SocketAddress? {
        SocketAddress.received { getpeername(fd, $0, $1) }.address
    }

    /// The first address of this machine that others may reach: not loopback, not link-local, IPv4 before
    /// IPv6.
    public static func firstOutsideAddress() -> SocketAddress? {
        var list: UnsafeMutablePointer<ifaddrs>?
        guard getifaddrs(&list) == 0 else { return nil }
        defer { freeifaddrs(list) }
        var found: [SocketAddress] = []
        var entry = list
        while let current = entry?.pointee {
            entry = current.ifa_next
            guard current.ifa_flags & UInt32(IFF_UP) != 0, let pointer = current.ifa_addr else { continue }
            if let address = address(at: pointer), !address.isLoopback { found.append(address) }
        }
        return found.first { $0.family == AF_INET } ?? found.first
    }

    // MARK: Moving bytes

    /// Reads into `buffer` what is there.
    public static func read(_ fd: Int32, into buffer: UnsafeMutableRawBufferPointer) throws(SystemError)
        -> Transfer
    {
        try transfer("read") { Glibc.read(fd, buffer.baseAddress, buffer.count) }
    }

    /// Writes as much of `bytes` as fits. A peer that is gone is `.closed`, never a signal.
    public static func write(_ fd: Int32, _ bytes: UnsafeRawBufferPointer) throws(SystemError) -> Transfer {
        if bytes.isEmpty { return .bytes(0) }
        return try transfer("write") { send(fd, bytes.baseAddress, bytes.count, Int32(MSG_NOSIGNAL)) }
    }

    /// Writes as much of `bytes` as fits.
    public static func write(_ fd: Int32, _ bytes: some Collection<UInt8>) throws(SystemError) -> Transfer {
        let copy = Array(bytes)
        return try transfer("write") {
            copy.withUnsafeBytes { send(fd, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
        }
    }

    /// Ends our direction of the stream; the peer reads end of file after what was written.
    public static func shutdownWriting(_ fd: Int32) { _ = shutdown(fd, Int32(SHUT_WR)) }

    private static func transfer(_ call: String, _ body: () -> Int) throws(SystemError) -> Transfer {
        while true {
            let count = body()
            if count > 0 { return .bytes(count) }
            if count == 0 { return .closed }
            switch errno {
            case EINTR: continue
            case EAGAIN: return .wouldBlock
            case EPIPE, ECONNRESET: return .closed
            default: throw SystemError(call: call, code: errno)
            }
        }
    }

    private static func make(_ address: SocketAddress, _ kind: Kind) throws(SystemError) -> Int32 {
        if case .unix(let path) = address, path.utf8.count > SocketAddress.unixPathLimit {
            let rule = "\(path): a socket's path has at most \(SocketAddress.unixPathLimit) bytes"
            throw SystemError(call: "socket", code: ENAMETOOLONG, detail: rule)
        }
        let fd = try system("socket", "\(address)") { socket(address.family, kind.type, 0) }
        if case .unix = address { return fd }
        do {
            try set(fd, Int32(IPPROTO_TCP), TCP_NODELAY, 1)
        } catch {
            close(fd)
            throw error
        }
        return fd
    }

    private static func set(_ fd: Int32, _ level: Int32, _ option: Int32, _ value: Int32) throws(SystemError)
    {
        var value = value
        try system("setsockopt", "option \(option)") {
            setsockopt(fd, level, option, &value, socklen_t(MemoryLayout<Int32>.size))
        }
    }

    private static func address(at pointer: UnsafeMutablePointer<sockaddr>) -> SocketAddress? {
        var storage = sockaddr_storage()
        let sizes: [Int32: Int] = [
            AF_INET: MemoryLayout<sockaddr_in>.size, AF_INET6: MemoryLayout<sockaddr_in6>.size,
        ]
        guard let size = sizes[Int32(pointer.pointee.sa_family)] else { return nil }
        withUnsafeMutableBytes(of: &storage) { $0.baseAddress?.copyMemory(from: pointer, byteCount: size) }
        guard let address = SocketAddress(storage) else { return nil }
        if case .ipv6(let bytes, _, _) = address, bytes[0] == 0xFE, bytes[1] & 0xC0 == 0x80 { return nil }
        return address
    }
}
