internal import CPostgres
internal import Glibc

/// Where a client connects, and as whom.
public struct Door: Hashable, Sendable {
    /// The node behind it, for reports.
    public var node: String
    public var address: String
    public var port: Int
    public var user: String
    public var password: String
    public var database: String

    public init(
        node: String, address: String, port: Int, user: String = "postgres", password: String = "",
        database: String = "postgres"
    ) {
        self.node = node
        self.address = address
        self.port = port
        self.user = user
        self.password = password
        self.database = database
    }
}

/// Why a session or a statement failed.
public enum SessionError: Error, Sendable, CustomStringConvertible {
    /// No connection, or it broke: whether a running statement was carried out is not known.
    case broken(String)
    /// The limit passed; the connection is given up and the statement's outcome is not known.
    case timedOut(String)
    /// Postgres said no: nothing was done.
    case refused(state: String, message: String)

    public var description: String {
        switch self {
        case .broken(let why): "connection broken: \(why)"
        case .timedOut(let what): "timed out: \(what)"
        case .refused(let state, let message): "refused (\(state)): \(message)"
        }
    }
}

/// A libpq connection whose every step has a time limit, so that a dead node costs a known time.
///
/// Used by one thread at a time.
public final class Session {
    private let connection: OpaquePointer
    private let door: Door

    /// Connects within the limit.
    public init(_ door: Door, within limit: Duration) throws(SessionError) {
        let settings: [(String, String)] = [
            ("hostaddr", door.address), ("port", String(door.port)), ("user", door.user),
            ("password", door.password), ("dbname", door.database), ("sslmode", "disable"),
            ("gssencmode", "disable"), ("application_name", "matriarch-lab"), ("tcp_user_timeout", "5000"),
        ]
        guard let connection = Session.begin(settings) else { throw .broken("libpq has no memory") }
        self.connection = connection
        self.door = door
        // libpq prints the server's last words to stderr otherwise; those that matter come back as errors.
        PQsetNoticeProcessor(connection, { _, _ in }, nil)
        try Session.establish(connection, door, until: .current + limit)
    }

    deinit { PQfinish(connection) }

    /// The session that is already open, else a new one.
    static func reusing(
        _ session: Session?, at door: Door, within limit: Duration
    ) throws(SessionError) -> Session {
        if let session { return session }
        return try Session(door, within: limit)
    }

    /// Runs one statement and returns its rows as text. After `broken` and `timedOut` the session is no use.
    @discardableResult
    public func run(_ sql: String, within limit: Duration = .seconds(10)) throws(SessionError) -> [[String?]]
    {
        let deadline = Moment.current + limit
        if PQsendQuery(connection, sql) != 1 { throw .broken(Session.message(connection)) }
        while PQisBusy(connection) != 0 {
            if !Session.wait(connection, for: Int16(POLLIN), until: deadline) {
                throw .timedOut("\(sql) at \(door.node) (\(door.address):\(door.port)) within \(limit)")
            }
            if PQconsumeInput(connection) != 1 { throw .broken(Session.message(connection)) }
        }
        return try results()
    }

    /// The first column of the first row.
    public func value(_ sql: String, within limit: Duration = .seconds(10)) throws(SessionError) -> String? {
        try run(sql, within: limit).first?.first ?? nil
    }

    private func results() throws(SessionError) -> [[String?]] {
        var rows: [[String?]] = []
        var failure: SessionError?
        while let result = PQgetResult(connection) {
            defer { PQclear(result) }
            switch PQresultStatus(result) {
            case PGRES_TUPLES_OK, PGRES_COMMAND_OK, PGRES_EMPTY_QUERY: rows = Session.rows(result)
            default: failure = Session.failure(result)
            }
        }
        if let failure { throw failure }
        if PQstatus(connection) == CONNECTION_BAD { throw .broken(Session.message(connection)) }
        return rows
    }

    private static func begin(_ settings: [(String, String)]) -> OpaquePointer? {
        let keys = settings.map { strdup($0.0) }
        let values = settings.map { strdup($0.1) }
        defer { (keys + values).forEach { free($0) } }
        return PQconnectStartParams(
            keys.map { UnsafePointer($0) } + [nil], values.map { UnsafePointer($0) } + [nil], 0)
    }

    private static func establish(
        _ connection: OpaquePointer, _ door: Door, until deadline: Moment
    ) throws(SessionError) {
        var polled = PGRES_POLLING_WRITING
        while polled != PGRES_POLLING_OK {
            if PQstatus(connection) == CONNECTION_BAD { throw .broken(message(connection)) }
            let events = polled == PGRES_POLLING_READING ? Int16(POLLIN) : Int16(POLLOUT)
            if !wait(connection, for: events, until: deadline) {
                throw .timedOut("connecting to \(door.node) (\(door.address):\(door.port))")
            }
            polled = PQconnectPoll(connection)
            if polled == PGRES_POLLING_FAILED { throw .broken(message(connection)) }
        }
    }

    /// False when the deadline came first. The socket is asked for anew: libpq may change it.
    private static func wait(_ connection: OpaquePointer, for events: Int16, until deadline: Moment) -> Bool {
        while true {
            var polled = pollfd(fd: PQsocket(connection), events: events, revents: 0)
            let left = deadline - .current
            let count = poll(&polled, 1, max(0, left.pollMilliseconds))
            if count > 0 { return true }
            if count == 0 && left <= .zero { return false }
            if count < 0 && errno != EINTR { return true }
        }
    }

    private static func rows(_ result: OpaquePointer) -> [[String?]] {
        (0..<PQntuples(result)).map { row in
            (0..<PQnfields(result)).map { column in
                if PQgetisnull(result, row, column) == 1 { return nil }
                return PQgetvalue(result, row, column).map { String(cString: $0) }
            }
        }
    }

    private static func failure(_ result: OpaquePointer) -> SessionError {
        let state = PQresultErrorField(result, sqlStateField).map { String(cString: $0) } ?? ""
        let message = PQresultErrorMessage(result).map { String(cString: $0) } ?? ""
        // 57P0x is the server going away, 08 the connection: the statement may have been carried out.
        if state.isEmpty || state.hasPrefix("57P0") || state.hasPrefix("08") {
            return .broken(oneLine(message))
        }
        return .refused(state: state, message: oneLine(message))
    }

    private static func message(_ connection: OpaquePointer) -> String {
        oneLine(PQerrorMessage(connection).map { String(cString: $0) } ?? "no message from libpq")
    }

    private static func oneLine(_ text: String) -> String {
        text.split(whereSeparator: \.isNewline).joined(separator: " | ")
    }
}

/// PG_DIAG_SQLSTATE, a character macro that Swift does not see.
private let sqlStateField = Int32(UInt8(ascii: "C"))
