import Glibc
import Platform
import Testing

/// A network of the test's own, with nothing in it but loopback, which can be cut. Needs root.
///
/// Only the calling thread is moved into it: sockets and threads made here by this thread belong to it. The
/// test MUST `leave` on the same thread.
struct OwnNetwork {
    private typealias Call = @convention(c) (Int32, Int32) -> Int32
    private static let newNetwork: Int32 = 0x4000_0000
    private let original: Int32

    /// unshare and setns are hidden behind _GNU_SOURCE, which Swift's Glibc module is built without.
    private static func call(_ name: String) throws -> Call {
        try unsafeBitCast(#require(dlsym(nil, name)), to: Call.self)
    }

    init() throws {
        original = try system("open") { open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC) }
        let unshare = try OwnNetwork.call("unshare")
        try system("unshare") { unshare(OwnNetwork.newNetwork, 0) }
        try setLoopback(up: true)
    }

    /// While it is down, packets vanish and nobody is told.
    func setLoopback(up: Bool) throws {
        let probe = try system("socket") { socket(AF_INET, Int32(SOCK_DGRAM.rawValue), 0) }
        defer { close(probe) }
        var request = ifreq()
        withUnsafeMutableBytes(of: &request.ifr_ifrn) { $0.copyBytes(from: "lo".utf8) }
        request.ifr_ifru.ifru_flags = up ? Int16(IFF_UP) : 0
        try system("ioctl SIOCSIFFLAGS") { ioctl(probe, 0x8914, &request) }
    }

    func leave() throws {
        defer { close(original) }
        let setns = try OwnNetwork.call("setns")
        try system("setns") { setns(original, OwnNetwork.newNetwork) }
    }
}
