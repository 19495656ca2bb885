/// How `matriarch-proxy` was asked to run.
public struct ProxyOptions: Equatable, Sendable {
    /// Where the control socket is: `proxy.sock`.
    public var runtimeDirectory: String
    /// `*` for all of IPv4 and IPv6, or numeric addresses separated by commas.
    public var listenAddress = "*"
    public var port: UInt16 = 5432
    /// How long a client waits for a primary before it is turned away, in nanoseconds.
    public var holdTime: Int64 = 20_000_000_000
    /// How many clients may wait at a time.
    public var holdLimit = 1000
    /// Threads that relay.
    public var threads = 2

    public init(runtimeDirectory: String) { self.runtimeDirectory = runtimeDirectory }

    public static let usage = """
        usage: matriarch-proxy --runtime-directory DIRECTORY [--listen-address ADDRESS] [--port PORT]
                               [--hold-time SECONDS] [--hold-limit CLIENTS] [--threads COUNT]

        Relays Postgres connections to the primary that the agent names on DIRECTORY/proxy.sock.

          --runtime-directory  where the control socket is made
          --listen-address     * (all of IPv4 and IPv6, the default) or numeric addresses, separated by commas
          --port               5432 by default
          --hold-time          how long a client may wait for a primary, 20 by default
          --hold-limit         how many clients may wait, 1000 by default
          --threads            1 to 16, 2 by default

        """

    public struct UsageError: Error, Equatable, CustomStringConvertible {
        public let description: String
    }

    /// Reads the arguments that follow the program's name.
    ///
    /// - Returns: nil when help is asked for.
    public static func parse(_ arguments: [String]) throws(UsageError) -> ProxyOptions? {
        var options = ProxyOptions(runtimeDirectory: "")
        var rest = arguments[...]
        while let argument = rest.popFirst() {
            if argument == "--help" { return nil }
            let parts = argument.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(
                String.init)
            guard let value = parts.count > 1 ? parts[1] : rest.popFirst() else {
                throw UsageError(description: "\(argument): a value is missing")
            }
            try options.set(parts[0], value)
        }
        if options.runtimeDirectory.isEmpty {
            throw UsageError(description: "--runtime-directory is missing")
        }
        return options
    }

    private mutating func set(_ flag: String, _ value: String) throws(UsageError) {
        switch flag {
        case "--runtime-directory": runtimeDirectory = value
        case "--listen-address": listenAddress = value
        case "--port": port = UInt16(try Self.number(flag, value, 1...65_535))
        case "--hold-time": holdTime = Int64(try Self.number(flag, value, 0...3600)) * 1_000_000_000
        case "--hold-limit": holdLimit = try Self.number(flag, value, 0...100_000)
        case "--threads": threads = try Self.number(flag, value, 1...16)
        default: throw UsageError(description: "\(flag): unknown option")
        }
    }

    private static func number(
        _ flag: String, _ value: String, _ allowed: ClosedRange<Int>
    ) throws(UsageError) -> Int {
        guard let number = Int(value), allowed.contains(number) else {
            let range = "\(allowed.lowerBound) to \(allowed.upperBound)"
            throw UsageError(description: "\(flag) \(value): must be a whole number from \(range)")
        }
        return number
    }
}
