import Glibc
import Platform

/// Tries the ports of the programs that are started later: one that is taken stops the start of the node, not
/// the first failover.
struct PortCheck {
    /// How long one of ours that is just ending may still hold its port, in nanoseconds.
    private static let patience: Int64 = 3_000_000_000
    private static let look: Int64 = 50_000_000

    /// `*` or numeric addresses separated by commas.
    let listenAddress: String

    /// Whether something listens on a unix socket; one that is too busy to answer does.
    static func answers(_ path: String) -> Bool {
        do {
            close(try Sockets.connect(to: .unix(path)))
            return true
        } catch { return error.code != ENOENT && error.code != ECONNREFUSED }
    }

    /// - Throws: which setting, address and port, and what would be right.
    func require(_ key: String, _ port: Int) throws(StartError) {
        let end = BootClock.now() + PortCheck.patience
        while true {
            guard let (address, error) = obstacle(UInt16(clamping: port)) else { return }
            if error.code == EADDRINUSE, BootClock.now() < end {
                BootClock.sleep(nanoseconds: PortCheck.look)
                continue
            }
            let advice =
                error.code == EADDRINUSE
                ? "stop what listens there (ss -ltnp shows it), or set another \(key)"
                : "check listen_address and \(key)"
            throw StartError("\(key) = \(port): \(address): \(error.reason): \(advice)")
        }
    }

    private func obstacle(_ port: UInt16) -> (SocketAddress, SystemError)? {
        let isAll = listenAddress == "*"
        let hosts = isAll ? ["0.0.0.0", "::"] : listenAddress.split(separator: ",").map(String.init)
        for host in hosts {
            guard let address = SocketAddress(host: host.filter { $0 != " " }, port: port) else { continue }
            do { close(try Sockets.listen(on: address)) } catch {
                // A kernel without IPv6 has one kind of "all addresses" less.
                if isAll, error.code == EAFNOSUPPORT || error.code == EADDRNOTAVAIL { continue }
                return (address, error)
            }
        }
        return nil
    }
}
