internal import FoundationEssentials
internal import Glibc
internal import Platform

/// Runs other people's programs (ip, nft, initdb) and our command line.
public enum Tool {
    public struct Outcome: Sendable {
        public var status: Int32
        public var output: String
        public var error: String
    }

    /// Runs to the end and returns what was written to standard output.
    ///
    /// - Throws: with the whole command line and its words when it fails or takes too long.
    @discardableResult
    public static func run(_ words: [String], within limit: Duration = .seconds(60)) throws -> String {
        let outcome = try attempt(words, within: limit)
        if outcome.status == 0 { return outcome.output }
        let said = (outcome.error + outcome.output).split(whereSeparator: \.isNewline).suffix(5)
        throw LabError(
            "`\(words.joined(separator: " "))` ended with \(outcome.status): \(said.joined(separator: " | "))"
        )
    }

    /// Runs to the end; a bad exit is an answer, not an error.
    ///
    /// - Throws: when it cannot be started or still runs at the limit (it is killed then).
    public static func attempt(
        _ words: [String], environment: [String: String] = [:], directory: String? = nil,
        within limit: Duration = .seconds(60)
    ) throws -> Outcome {
        guard let program = words.first else { throw LabError("no command to run") }
        let (exit, output, error) = try ChildProcess.run(
            path(program), Array(words.dropFirst()), environment: variables(environment),
            workingDirectory: directory ?? "/", until: BootClock.now() + limit.nanoseconds,
            captureLimit: 1 << 20)
        switch exit {
        case .status(let code): return Outcome(status: code, output: output, error: error)
        case .signal(SIGKILL):
            throw LabError("`\(words.joined(separator: " "))` took longer than \(limit): \(error)")
        case .signal(let number): return Outcome(status: 128 + number, output: output, error: error)
        case .unknown: throw LabError("`\(words.joined(separator: " "))` was waited for by somebody else")
        }
    }

    /// Our environment with some variables set, and without those that would steer libpq or the product.
    static func variables(_ added: [String: String]) -> [String: String] {
        var all = ChildProcess.ownEnvironment.filter { name, _ in
            !name.hasPrefix("PG") && !name.hasPrefix("MATRIARCH_") && !name.hasPrefix("FLY_")
                && !["PRIMARY_REGION", "OPERATOR_PASSWORD", "REPL_PASSWORD", "NOTIFY_SOCKET"].contains(name)
        }
        all["LC_ALL"] = "C.UTF-8"
        all["SWIFT_BACKTRACE"] = "enable=no"
        return all.merging(added) { _, new in new }
    }

    /// Where a program is: as given when it has a slash, else in PATH or where Debian keeps root's tools.
    static func path(_ program: String) throws -> String {
        if program.contains("/") { return program }
        let own = ChildProcess.ownEnvironment["PATH"] ?? ""
        let places = own.split(separator: ":").map(String.init) + ["/usr/sbin", "/sbin", "/usr/bin", "/bin"]
        for place in places where FileManager.default.isExecutableFile(atPath: "\(place)/\(program)") {
            return "\(place)/\(program)"
        }
        throw LabError("'\(program)' is not installed here; run: make deps")
    }
}

extension Duration {
    var nanoseconds: Int64 {
        let (whole, attoseconds) = components
        return whole * 1_000_000_000 + attoseconds / 1_000_000_000
    }
}
