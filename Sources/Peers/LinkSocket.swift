import Consensus
import Glibc
import Platform

/// What the kernel is told about the sockets of links.
enum LinkSocket {
    // Glibc's module leaves these out; the numbers are Linux's own, in netinet/tcp.h.
    private static let keepIdle: Int32 = 4
    private static let keepInterval: Int32 = 5
    private static let userTimeout: Int32 = 18
    private static let notSentLowWater: Int32 = 25

    /// How long an idle link is left alone before the kernel asks whether the other machine is still there.
    static let idleSeconds: Int32 = 5
    /// Bytes that the kernel takes beyond what is on its way. What is still in our queue can be replaced by
    /// newer words; what the kernel has cannot.
    static let unsentBytes: Int32 = 32 * 1024

    static func prepare(_ socket: Int32, _ limits: PeerLimits) throws(SystemError) {
        try set(socket, SOL_SOCKET, SO_KEEPALIVE, 1)
        try set(socket, Int32(IPPROTO_TCP), keepIdle, idleSeconds)
        try set(socket, Int32(IPPROTO_TCP), keepInterval, 1)
        let unacknowledged = limits.unacknowledged.nanoseconds / 1_000_000
        try set(socket, Int32(IPPROTO_TCP), userTimeout, Int32(clamping: unacknowledged))
        try set(socket, Int32(IPPROTO_TCP), notSentLowWater, unsentBytes)
    }

    private static func set(
        _ socket: Int32, _ level: Int32, _ option: Int32, _ value: Int32
    ) throws(SystemError) {
        var value = value
        try system("setsockopt", "option \(option) of a peer's socket") {
            setsockopt(socket, level, option, &value, socklen_t(MemoryLayout<Int32>.size))
        }
    }
}
