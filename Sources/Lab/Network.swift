internal import FoundationEssentials
internal import Glibc

/// A switch and three machines' cables, made of network namespaces. Needs root.
///
/// Every node has two interfaces: `herd0` to the switch, by which the nodes know each other and which can be
/// cut, and `eye0` to us, so that a node that is cut off from its peers can still be watched and written to.
public final class Network: Sendable {
    /// What is dropped, seen from the node; only `powerless` touches the laboratory's own view of it.
    public enum Cut: Sendable {
        /// Nothing in or out: a pulled cable.
        case everything
        /// The node hears its peers and they do not hear it.
        case outgoing
        /// The node is heard and hears nothing.
        case incoming
        /// Only what goes to or from port 5433 (replication, and relays on other nodes).
        case replication
        /// Our own view too: a machine without power, which sends no reset to anyone.
        case powerless
    }

    public struct Port: Sendable {
        public var namespace: String
        public var switchPort: String
        /// By which the nodes know each other; the same in every laboratory, since no two switches meet.
        public var address: String
        /// By which we reach the node.
        public var eyeAddress: String
        public var eyeDevice: String
    }

    public let ports: [Port]
    private let switchName: String

    /// Addresses of one family: of the nodes among each other, and of the cables to us.
    private struct Plan {
        var nodes: (prefix: String, bits: Int)
        /// By the node's number: our end, its end, and the length of the prefix.
        var eyes: (Int) -> (ours: String, its: String, bits: Int)
        /// What makes an address usable at once.
        var flags: String

        static func ipv4() throws -> Plan {
            let block = try Network.freeBlock()
            return Plan(
                nodes: ("10.77.0.", 24),
                eyes: { ("\(block).\(4 * $0 + 1)", "\(block).\(4 * $0 + 2)", 30) }, flags: "")
        }

        /// Our process's number keeps two laboratories apart.
        static var ipv6: Plan {
            let block = "fdeb:\(String(getpid() >> 16, radix: 16)):\(String(getpid() & 0xFFFF, radix: 16))"
            return Plan(
                nodes: ("fd77::", 64), eyes: { ("\(block):\($0)::1", "\(block):\($0)::2", 64) },
                flags: " nodad")
        }
    }

    /// - Parameter tag: short and unique on this machine; all names are made from it.
    public init(tag: String, nodes: Int, isIPv6: Bool = false) throws {
        let plan = try isIPv6 ? Plan.ipv6 : Plan.ipv4()
        switchName = "\(tag)sw"
        ports = (1...nodes).map { number in
            Port(
                namespace: "\(tag)n\(number)", switchPort: "port\(number)",
                address: "\(plan.nodes.prefix)\(number)", eyeAddress: plan.eyes(number).its,
                eyeDevice: "\(tag)e\(number)")
        }
        do {
            try build(plan)
        } catch {
            destroy()
            throw error
        }
    }

    /// Every namespace whose name begins with `tag`; deleting them takes interfaces and rules along.
    static func namespaces(tagged tag: String) -> [String] {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: "/run/netns")) ?? []
        return names.filter { $0.hasPrefix(tag) }.sorted()
    }

    static func remove(namespaces: [String]) {
        for name in namespaces { _ = try? Tool.run(["ip", "netns", "del", name]) }
    }

    public func destroy() { Network.remove(namespaces: ports.map(\.namespace) + [switchName]) }

    public func namespaceInode(_ port: Port) -> UInt64? { Processes.inode("/run/netns/\(port.namespace)") }

    /// The words before a command line that make it run inside the node's namespace.
    static func inside(_ namespace: String) -> [String] { ["nsenter", "--net=/run/netns/\(namespace)"] }

    /// Drops packets silently, as a dead cable does; replaces an earlier cut of this node.
    public func cut(_ port: Port, _ what: Cut) throws {
        try heal(port)
        if what != .incoming {
            // What comes into the switch from the node is what the node sends.
            try drop(in: switchName, device: port.switchPort, what)
        }
        if what != .outgoing { try drop(in: port.namespace, device: "herd0", what) }
        if what == .powerless {
            for hook in ["ingress", "egress"] {
                try drop(in: port.namespace, device: "eye0", .everything, hook: hook)
            }
        }
    }

    /// Drops what comes from one node at another, and nothing else; `heal` of the other one ends it.
    public func cut(from source: Port, to port: Port) throws {
        let family = source.address.contains(":") ? "ip6" : "ip"
        let table = "cut_from_\(source.switchPort)"
        let chain = "{ type filter hook ingress device \"herd0\" priority 0; policy accept; }"
        try Tool.run(
            Network.inside(port.namespace) + [
                "nft",
                "add table netdev \(table); add chain netdev \(table) packets \(chain); "
                    + "add rule netdev \(table) packets \(family) saddr \(source.address) drop",
            ])
    }

    public func heal(_ port: Port) throws {
        for namespace in [switchName, port.namespace] {
            let tables = try Tool.run(Network.inside(namespace) + ["nft", "list", "tables"])
            for line in tables.split(whereSeparator: \.isNewline) where mine(line, port, namespace) {
                let words = line.split(separator: " ").map(String.init)
                try Tool.run(Network.inside(namespace) + ["nft", "delete"] + words)
            }
        }
    }

    private func mine(_ line: Substring, _ port: Port, _ namespace: String) -> Bool {
        namespace == port.namespace || line.hasSuffix("_\(port.switchPort)")
    }

    private func drop(
        in namespace: String, device: String, _ what: Cut, hook: String = "ingress"
    ) throws {
        let table = "cut_\(hook)_\(device)"
        let matches = what == .replication ? ["tcp dport 5433 ", "tcp sport 5433 "] : [""]
        let rules = matches.map { "; add rule netdev \(table) packets \($0)drop" }.joined()
        let chain = "{ type filter hook \(hook) device \"\(device)\" priority 0; policy accept; }"
        try Tool.run(
            Network.inside(namespace) + [
                "nft", "add table netdev \(table); add chain netdev \(table) packets \(chain)\(rules)",
            ])
    }

    private func build(_ plan: Plan) throws {
        func ip(_ words: String) throws {
            try Tool.run(["ip"] + words.split(separator: " ").map(String.init))
        }
        try ip("netns add \(switchName)")
        try ip("-n \(switchName) link add herd type bridge forward_delay 0")
        try ip("-n \(switchName) link set herd up")
        for (index, port) in ports.enumerated() {
            let name = port.namespace
            try ip("netns add \(name)")
            try ip("-n \(name) link set lo up")
            try ip("-n \(name) link add herd0 type veth peer name \(port.switchPort) netns \(switchName)")
            try ip("-n \(switchName) link set \(port.switchPort) master herd up")
            try ip("-n \(name) addr add \(port.address)/\(plan.nodes.bits) dev herd0\(plan.flags)")
            try ip("-n \(name) link set herd0 up")
            try ip("link add \(port.eyeDevice) type veth peer name eye0 netns \(name)")
            let eyes = plan.eyes(index + 1)
            try ip("addr add \(eyes.ours)/\(eyes.bits) dev \(port.eyeDevice)\(plan.flags)")
            try ip("link set \(port.eyeDevice) up")
            try ip("-n \(name) addr add \(port.eyeAddress)/\(eyes.bits) dev eye0\(plan.flags)")
            try ip("-n \(name) link set eye0 up")
        }
    }

    /// A /24 out of 10.213.0.0/16 that no interface here has: two laboratories may run side by side.
    private static func freeBlock() throws -> String {
        let taken = try Tool.run(["ip", "-o", "-4", "addr"])
        let first = Int(getpid()) % 250
        for offset in 0..<250 {
            let block = "10.213.\((first + offset) % 250)"
            if !taken.contains(" \(block).") { return block }
        }
        throw LabError("every /24 of 10.213.0.0/16 is in use here: remove old namespaces (ip netns list)")
    }
}
