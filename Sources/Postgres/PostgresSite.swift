internal import Glibc
internal import Platform

/// Where the local Postgres lives: all that is known of it before it runs.
public struct PostgresSite: Hashable, Sendable {
    public var dataDirectory: String
    public var binDirectory: String
    /// Holds the gate's service file and the passwords of running copies, in files of mode 0600.
    public var runtimeDirectory: String
    /// Where Postgres makes its unix socket.
    public var socketDirectory: String
    public var port: Int
    /// As `listen_addresses`.
    public var listenAddresses: String
    public var clusterName: String
    /// Used until the data directory itself says which role is ours.
    public var adminRole: String

    public init(
        dataDirectory: String, binDirectory: String, runtimeDirectory: String, socketDirectory: String,
        port: Int, listenAddresses: String, clusterName: String, adminRole: String
    ) {
        self.dataDirectory = dataDirectory
        self.binDirectory = binDirectory
        self.runtimeDirectory = runtimeDirectory
        self.socketDirectory = socketDirectory
        self.port = port
        self.listenAddresses = listenAddresses
        self.clusterName = clusterName
        self.adminRole = adminRole
    }

    /// The application name of all our own sessions.
    static let applicationName = "matriarchd"

    func data(_ name: String) -> String { dataDirectory + "/" + name }
    func program(_ name: String) -> String { binDirectory + "/" + name }

    var standbySignal: String { data("standby.signal") }
    var foundingMarker: String { data("matriarch.founding") }
    /// The old data directory, until the copy in its place is valid.
    var previousDirectory: String { dataDirectory + ".previous" }
    /// A copy, or a first database, that is being made; whatever is found in it at the start is left over.
    var unfinishedDirectory: String { dataDirectory + ".unfinished" }

    /// There while the data directory is neither the old nor the new data, for whoever knows nothing else.
    var tornMarker: String { dataDirectory + ".rewinding" }
    /// WAL that this member gave up in failovers, for people; never read by the agent.
    var divergedDirectory: String { dataDirectory + ".diverged" }
    /// WAL from before a fork while a rewind is under way.
    var keptWALDirectory: String { dataDirectory + ".wal" }

    /// Connection parameters of the agent's own role over the unix socket.
    var localParameters: [String: String] {
        [
            "host": socketDirectory, "port": String(port),
            "user": AccessRules.adminRole(of: self) ?? adminRole,
            "dbname": "postgres", "application_name": Self.applicationName, "sslmode": "disable",
            "gssencmode": "disable",
            // A user's settings for the role must not slow down or break the agent's own questions.
            "options": "-c statement_timeout=0 -c lock_timeout=0 -c default_transaction_read_only=off "
                + "-c synchronous_commit=local -c client_min_messages=warning -c DateStyle=ISO",
        ]
    }

    /// Runs one of Postgres's programs to its end with English messages; its standard output.
    ///
    /// - Throws: with the end of what it said, when it fails or needs longer than `limit` seconds.
    func run(_ name: String, _ arguments: [String], limit: Int64) throws -> String {
        let (exit, output, error) = try ChildProcess.run(
            program(name), arguments, environment: Self.plainEnvironment,
            until: BootClock.now() + limit * 1_000_000_000)
        guard exit.isSuccess else {
            let said = error.isEmpty ? output : error
            throw PostgresError.refused(name, "\(exit): \(Self.lastLines(said))")
        }
        return output
    }

    /// Our environment without what would change how Postgres's programs behave or speak.
    static var plainEnvironment: [String: String] {
        var variables = ChildProcess.ownEnvironment.filter { !$0.key.hasPrefix("PG") }
        variables["LC_ALL"] = "C"
        return variables
    }

    static func lastLines(_ text: String) -> String {
        text.split(whereSeparator: \.isNewline).suffix(4).joined(separator: " | ")
    }
}

/// Times of `BootClock` from now on.
enum Deadline {
    static func after(_ duration: Duration) -> Int64 {
        let (seconds, attoseconds) = duration.components
        return BootClock.now() + seconds * 1_000_000_000 + attoseconds / 1_000_000_000
    }

    static func isPast(_ deadline: Int64) -> Bool { BootClock.now() >= deadline }

    /// How long to leave alone what mostly takes little and has taken since `start`: a tenth of it.
    ///
    /// A Postgres that replays its log for minutes writes a line for each session that it turns away.
    static func rest(since start: Int64, within bounds: ClosedRange<Duration>) -> Duration {
        let tenth = Duration.nanoseconds((BootClock.now() - start) / 10)
        return min(max(tenth, bounds.lowerBound), bounds.upperBound)
    }

    /// Between two looks at something that cannot be waited for.
    static func pause(_ duration: Duration) {
        let (seconds, attoseconds) = duration.components
        var time = timespec(tv_sec: Int(seconds), tv_nsec: Int(attoseconds / 1_000_000_000))
        _ = nanosleep(&time, nil)
    }
}
