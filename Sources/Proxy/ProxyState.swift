/// What a proxy does at the moment, and has done since it started.
public struct ProxyState: Hashable, Sendable {
    /// The target of the newest route; nil while clients are held.
    public var epoch: UInt64?
    public var host: String?
    public var port: UInt16?
    /// How long new sessions may still be opened, in milliseconds; 0 when held or stale.
    public var validForMilliseconds: Int64 = 0
    /// Client connections that are open now, held ones included.
    public var sessions = 0
    /// Clients that wait for a primary now.
    public var held = 0
    /// Since the start: connections taken, turned away with a message, and cut because the primary changed.
    public var accepted: UInt64 = 0
    public var refused: UInt64 = 0
    public var cut: UInt64 = 0
    public var bytesToServer: UInt64 = 0
    public var bytesToClient: UInt64 = 0
    /// Why clients are held; nil while they are routed.
    public var holdReason: String?

    public init() {}
}

extension ProxyState {
    /// "sessions=… held=…", the reason last.
    var text: String {
        var pairs = [
            ("valid_for_ms", "\(validForMilliseconds)"), ("sessions", "\(sessions)"), ("held", "\(held)"),
            ("accepted", "\(accepted)"), ("refused", "\(refused)"), ("cut", "\(cut)"),
            ("bytes_to_server", "\(bytesToServer)"), ("bytes_to_client", "\(bytesToClient)"),
        ]
        if let epoch { pairs.append(("epoch", "\(epoch)")) }
        if let host { pairs.append(("host", host)) }
        if let port { pairs.append(("port", "\(port)")) }
        if let holdReason { pairs.append(("reason", Message.shortened(holdReason))) }
        return pairs.map { "\($0)=\($1)" }.joined(separator: " ")
    }

    init?(fields: Fields) {
        guard let sessions: Int = fields.number("sessions"), let held: Int = fields.number("held") else {
            return nil
        }
        self.sessions = sessions
        self.held = held
        validForMilliseconds = fields.number("valid_for_ms") ?? 0
        accepted = fields.number("accepted") ?? 0
        refused = fields.number("refused") ?? 0
        cut = fields.number("cut") ?? 0
        bytesToServer = fields.number("bytes_to_server") ?? 0
        bytesToClient = fields.number("bytes_to_client") ?? 0
        epoch = fields.number("epoch")
        host = fields["host"]
        port = fields.number("port")
        holdReason = fields["reason"]
    }
}
