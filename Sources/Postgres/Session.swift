internal import CPostgres
internal import Glibc
internal import Platform

/// One libpq connection, used through libpq's asynchronous half only, so that every wait has an end.
///
/// Not thread-safe: one thread opens, uses and drops it. After an error of any kind but `.server` it is
/// broken.
final class Session {
    private let connection: OpaquePointer
    private(set) var isBroken = false

    /// The rows of an answer as text, nil for NULL.
    struct Rows {
        var cells: [[String?]] = []

        var first: [String?]? { cells.first }
        /// The first column of the first row.
        var value: String? { cells.first?.first ?? nil }
    }

    private init(_ connection: OpaquePointer) { self.connection = connection }

    deinit { PQfinish(connection) }

    /// Connects.
    ///
    /// - Parameters:
    ///   - parameters: libpq's keywords. `host` should be a directory or an address: looking a name up
    ///     blocks.
    ///   - deadline: of `BootClock`, for the whole of it.
    static func open(_ parameters: [String: String], until deadline: Int64) throws(PostgresError) -> Session {
        let doing = "connecting to \(parameters["host"] ?? "Postgres")"
        let started = start(parameters)
        guard let connection = started else { throw PostgresError(.lost, doing, "libpq is out of memory") }
        let session = Session(connection)
        // With the server's code in the text: there is no other way to it before the session stands.
        PQsetErrorVerbosity(connection, PQERRORS_VERBOSE)
        PQsetNoticeProcessor(connection, noteNotice, nil)
        if PQstatus(connection) == CONNECTION_BAD { throw session.connectError(doing) }
        var step = PGRES_POLLING_WRITING
        while step != PGRES_POLLING_OK {
            if step == PGRES_POLLING_FAILED { throw session.connectError(doing) }
            let events = step == PGRES_POLLING_READING ? POLLIN : POLLOUT
            guard session.wait(for: Int16(events), until: deadline) else {
                throw PostgresError(.timedOut, doing)
            }
            step = PQconnectPoll(connection)
        }
        PQsetErrorVerbosity(connection, PQERRORS_DEFAULT)
        guard PQsetnonblocking(connection, 1) == 0 else { throw session.broken(.lost, doing) }
        return session
    }

    /// Runs one statement with its values.
    func query(
        _ statement: String, _ values: [String?] = [], until deadline: Int64
    ) throws(PostgresError) -> Rows {
        let sent = withCStrings(values) { pointers in
            PQsendQueryParams(connection, statement, Int32(values.count), nil, pointers, nil, nil, 0)
        }
        return try answer(to: statement, sent: sent, until: deadline)
    }

    /// Runs a command of the replication protocol, which takes no values.
    func command(_ text: String, until deadline: Int64) throws(PostgresError) -> Rows {
        try answer(to: text, sent: PQsendQuery(connection, text), until: deadline)
    }

    /// What the server's roles keep instead of the password, so that the password itself is never sent.
    func verifier(of password: String, for role: String) throws(PostgresError) -> String {
        guard let text = PQencryptPasswordConn(connection, password, role, "scram-sha-256") else {
            throw broken(.lost, "encrypting the password of \(role)")
        }
        defer { PQfreemem(text) }
        return String(cString: text)
    }

    var serverVersion: Int { Int(PQserverVersion(connection)) }

    // MARK: the work

    private func answer(
        to statement: String, sent: Int32, until deadline: Int64
    ) throws(PostgresError) -> Rows {
        // Put into words only when it fails: the poller asks every second, for ever.
        var doing: String {
            "'\(statement.split(whereSeparator: \.isWhitespace).joined(separator: " ").prefix(80))'"
        }
        guard sent == 1 else { throw broken(.lost, doing) }
        while true {
            let flushed = PQflush(connection)
            if flushed < 0 { throw broken(.lost, doing) }
            if flushed == 0 { break }
            guard wait(for: Int16(POLLIN | POLLOUT), until: deadline) else { throw broken(.timedOut, doing) }
            guard PQconsumeInput(connection) == 1 else { throw broken(.lost, doing) }
        }
        var rows = Rows()
        var failure: PostgresError?
        while true {
            while PQisBusy(connection) == 1 {
                guard wait(for: Int16(POLLIN), until: deadline) else { throw broken(.timedOut, doing) }
                guard PQconsumeInput(connection) == 1 else { throw broken(.lost, doing) }
            }
            guard let result = PQgetResult(connection) else { break }
            defer { PQclear(result) }
            switch PQresultStatus(result) {
            case PGRES_TUPLES_OK: rows = Self.rows(of: result)
            case PGRES_COMMAND_OK, PGRES_EMPTY_QUERY: break
            default: failure = error(of: result, doing)
            }
        }
        if let failure {
            if PQstatus(connection) == CONNECTION_BAD { isBroken = true }
            throw failure
        }
        return rows
    }

    private static func rows(of result: OpaquePointer) -> Rows {
        let columns = PQnfields(result)
        let cells = (0..<PQntuples(result)).map { row in
            (0..<columns).map { column -> String? in
                guard PQgetisnull(result, row, column) == 0, let text = PQgetvalue(result, row, column)
                else { return nil }
                return String(cString: text)
            }
        }
        return Rows(cells: cells)
    }

    private func error(of result: OpaquePointer, _ doing: String) -> PostgresError {
        // PG_DIAG_SQLSTATE and PG_DIAG_MESSAGE_PRIMARY: character macros that Swift does not see.
        let state = PQresultErrorField(result, Int32(UInt8(ascii: "C")))
        let text = PQresultErrorField(result, Int32(UInt8(ascii: "M")))
        guard let state else { return broken(.lost, doing) }
        let message = text.map { String(cString: $0) } ?? ""
        return PostgresError(.server(SQLState(String(cString: state))), doing, message)
    }

    private func broken(_ kind: PostgresError.Kind, _ doing: String) -> PostgresError {
        isBroken = true
        return PostgresError(kind, doing, kind == .timedOut ? "" : message)
    }

    private var message: String {
        let text = PQerrorMessage(connection).map { String(cString: $0) } ?? ""
        let lines = text.split(separator: "\n").filter { !$0.hasPrefix("LOCATION:") }
        return lines.joined(separator: " ")
    }

    /// "… FATAL:  57P03: the database system is starting up".
    private func connectError(_ doing: String) -> PostgresError {
        let text = message
        if let match = text.firstMatch(of: #/\b[A-Z]+:\s+([0-9A-Z]{5}): /#) {
            return PostgresError(
                .server(SQLState(String(match.1))), doing, String(text[match.range.upperBound...]))
        }
        return PostgresError(.unreachable, doing, text)
    }

    private func wait(for events: Int16, until deadline: Int64) -> Bool {
        while true {
            let left = max(0, (deadline - BootClock.now() + 999_999) / 1_000_000)
            // Asked for each time: libpq may have gone on to another socket.
            var wait = pollfd(fd: PQsocket(connection), events: events, revents: 0)
            let count = poll(&wait, 1, Int32(clamping: left))
            if count > 0 { return true }
            if count < 0, errno != EINTR { return true }
            if BootClock.now() >= deadline { return false }
        }
    }

    private static func start(_ parameters: [String: String]) -> OpaquePointer? {
        let sorted = parameters.sorted { $0.key < $1.key }
        return withCStrings(sorted.map(\.key)) { keywords in
            withCStrings(sorted.map(\.value)) { values in PQconnectStartParams(keywords, values, 0) }
        }
    }
}

/// Notices are for the curious; libpq would print them to stderr.
private func noteNotice(_: UnsafeMutableRawPointer?, _ message: UnsafePointer<CChar>?) {
    guard let message else { return }
    Log.debug("Postgres notices", [("text", String(cString: message))])
}

/// Calls `body` with a null-terminated array of C strings that lives as long as the call; nil stays null.
private func withCStrings<Result>(
    _ strings: [String?], _ body: (UnsafePointer<UnsafePointer<CChar>?>?) -> Result
) -> Result {
    let copies = strings.map { string in string.flatMap { strdup($0) } }
    defer { for copy in copies { free(copy) } }
    let pointers = copies.map { copy in copy.map { UnsafePointer($0) } } + [nil]
    return pointers.withUnsafeBufferPointer { body($0.baseAddress) }
}
