internal import Glibc
internal import Platform

/// Where the nodes of a herd live.
public enum Placement: Sendable {
    /// Loopback addresses of their own, so that every node has the real ports; for everyone.
    case loopback
    /// Network namespaces with a switch that can be cut; for root.
    case namespaces

    /// Cutting cables needs root; without it the nodes share the loopback interface.
    public static var best: Placement { Machine.isRoot ? .namespaces : .loopback }
}

/// The addresses of one node, and the words that put a program there.
struct Place: Sendable {
    /// By which the nodes know each other.
    var address: String
    /// By which we reach it.
    var eyeAddress: String
    var listenAddress: String
    var prefix: [String]
    var port: Network.Port?
}

enum Loopback {
    /// The product's ports, all of which every node needs on its own address.
    static let ports: [UInt16] = [5432, 5433, 5434, 5500, 5501]

    /// Addresses 127.0.x.1 to 127.0.x.n on which all ports are free.
    ///
    /// - Throws: naming what is in the way, when something listens on every address (as a Postgres with
    ///   `listen_addresses = '*'` does).
    static func freeAddresses(_ count: Int) throws -> [String] {
        var obstacle = ""
        for block in 77..<250 {
            let addresses = (1...count).map { "127.0.\(block).\($0)" }
            guard let problem = firstTaken(addresses) else { return addresses }
            obstacle = problem
            if problem.contains("every address") { break }
        }
        throw LabError(
            "no loopback addresses have the ports \(ports.map(String.init).joined(separator: ", ")) free: "
                + obstacle
        )
    }

    private static func firstTaken(_ addresses: [String]) -> String? {
        for address in addresses {
            for port in ports {
                guard let socketAddress = SocketAddress(host: address, port: port) else { continue }
                do {
                    close(try Sockets.listen(on: socketAddress))
                } catch {
                    return isTakenEverywhere(port)
                        ? "something listens on port \(port) of every address (0.0.0.0); stop it, or let it "
                            + "listen on its own address only (ss -ltnp 'sport = :\(port)' shows it)"
                        : "\(error)"
                }
            }
        }
        return nil
    }

    /// Whether a listener on the wildcard address has the port, by the kernel's own table.
    private static func isTakenEverywhere(_ port: UInt16) -> Bool {
        let hex = String(port, radix: 16, uppercase: true)
        let suffix = ":" + String(repeating: "0", count: 4 - hex.count) + hex
        let listening = "0A"
        return ["/proc/net/tcp", "/proc/net/tcp6"].contains { table in
            (readText(table) ?? "").split(whereSeparator: \.isNewline).contains { line in
                let fields = line.split(separator: " ")
                return fields.count > 3 && fields[3] == listening && fields[1].hasSuffix(suffix)
                    && fields[1].dropLast(suffix.count).allSatisfy { $0 == "0" }
            }
        }
    }
}
