/// The five characters by which a Postgres server says what kind of error it is.
public struct SQLState: Hashable, Sendable, CustomStringConvertible {
    public let code: String

    public init(_ code: String) { self.code = code }

    /// The first two characters.
    public var category: Substring { code.prefix(2) }
    public var description: String { code }

    /// Starting up, shutting down, or in recovery without hot standby.
    public static let cannotConnectNow = SQLState("57P03")
    public static let tooManyConnections = SQLState("53300")

    /// Refused for its credentials, or by pg_hba.
    public var isAuthorization: Bool { category == "28" }
}

/// Why something could not be done with Postgres.
public struct PostgresError: Error, Hashable, Sendable, CustomStringConvertible {
    public enum Kind: Hashable, Sendable {
        /// The server answered with an error.
        case server(SQLState)
        /// Nobody listens there.
        case unreachable
        /// The session broke off.
        case lost
        /// No answer within the time for it.
        case timedOut
        /// What was asked for can't be done as things are here.
        case refused
        case cancelled
    }

    public let kind: Kind
    /// What was being done.
    public let doing: String
    public let message: String

    public init(_ kind: Kind, _ doing: String, _ message: String = "") {
        self.kind = kind
        self.doing = doing
        self.message = message
    }

    public var state: SQLState? {
        if case .server(let state) = kind { state } else { nil }
    }

    public var description: String {
        let what =
            switch kind {
            case .server(let state): " (\(state))"
            case .timedOut: " took too long"
            case .cancelled: " was called off"
            case .unreachable, .lost, .refused: ""
            }
        return message.isEmpty ? doing + what : "\(doing)\(what): \(message)"
    }

    static func refused(_ doing: String, _ message: String) -> PostgresError {
        PostgresError(.refused, doing, message)
    }
}
