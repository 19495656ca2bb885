/// The first packet of a client, read just far enough to know what to do with it.
///
/// Everything after it is opaque: the proxy neither decrypts nor understands what it relays.
struct StartupPacket: Equatable {
    enum Kind: Equatable {
        /// SSLRequest or GSSENCRequest: the client waits for one byte before it goes on.
        case encryptionRequest
        case cancel
        case session
        /// `replication` is asked for: a standby, pg_basebackup or pg_receivewal, which belong on the node
        /// itself.
        case replication
        /// A TLS handshake without SSLRequest (`sslnegotiation=direct`): nothing in it can be read or
        /// answered.
        case tls
    }

    enum Parsed: Equatable {
        case incomplete
        case packet(StartupPacket)
        case invalid(String)
    }

    /// What Postgres itself accepts (MAX_STARTUP_PACKET_LENGTH).
    static let limit = 10_000
    private static let tlsHandshake: UInt8 = 0x16
    private static let cancelCode: UInt32 = 80_877_102
    private static let sslCode: UInt32 = 80_877_103
    private static let gssCode: UInt32 = 80_877_104

    let kind: Kind
    /// Bytes of the packet, its length word included; for `.tls` all that has come.
    let length: Int

    /// Looks at what a client has sent so far; packets may come in pieces.
    static func parse(_ bytes: [UInt8]) -> Parsed {
        if bytes.first == tlsHandshake { return .packet(StartupPacket(kind: .tls, length: bytes.count)) }
        guard bytes.count >= 4 else { return .incomplete }
        let length = Int(word(bytes, at: 0))
        guard (8...limit).contains(length) else { return .invalid("invalid length of startup packet") }
        guard bytes.count >= 8 else { return .incomplete }
        let code = word(bytes, at: 4)
        let isRequest = code == sslCode || code == gssCode
        if isRequest, length != 8 { return .invalid("invalid length of encryption request") }
        if !isRequest, code != cancelCode, code >> 16 != 3 {
            return .invalid("unsupported frontend protocol \(code >> 16).\(code & 0xFFFF)")
        }
        guard bytes.count >= length else { return .incomplete }
        if isRequest { return .packet(StartupPacket(kind: .encryptionRequest, length: length)) }
        if code == cancelCode { return .packet(StartupPacket(kind: .cancel, length: length)) }
        let asksReplication = parameters(bytes[8..<length]).contains { name, value in
            name == "replication" && !isFalse(value)
        }
        return .packet(StartupPacket(kind: asksReplication ? .replication : .session, length: length))
    }

    private static func word(_ bytes: [UInt8], at offset: Int) -> UInt32 {
        bytes[offset..<offset + 4].reduce(0) { $0 << 8 | UInt32($1) }
    }

    /// Names and values, each ended by a zero byte; an empty name ends the list.
    private static func parameters(_ bytes: ArraySlice<UInt8>) -> [(name: String, value: String)] {
        let texts = bytes.split(separator: 0, omittingEmptySubsequences: false)
        var pairs: [(String, String)] = []
        for index in stride(from: 0, to: texts.count - 1, by: 2) {
            if texts[index].isEmpty { break }
            let value = String(decoding: texts[index + 1], as: UTF8.self)
            pairs.append((String(decoding: texts[index], as: UTF8.self), value))
        }
        return pairs
    }

    /// What the server reads as false: a prefix of false, no or off (but not "o"), or 0. All else may start a
    /// walsender.
    private static func isFalse(_ value: String) -> Bool {
        let value = value.lowercased()
        if value.isEmpty || value == "o" { return false }
        return value == "0" || ["false", "no", "off"].contains { $0.hasPrefix(value) }
    }
}

/// Why a client is turned away, in the form of Postgres' own ErrorResponse.
struct Refusal: Equatable {
    let state: String
    let message: String
    let hint: String?

    /// Nobody can serve the client now; clients and pools know this state as "try again".
    static func noPrimary(_ reason: String) -> Refusal {
        Refusal(
            state: "57P03", message: "the cluster has no writable primary at the moment: \(reason)",
            hint: "Try again; the connection goes to the new primary as soon as there is one.")
    }

    static let replication = Refusal(
        state: "0A000", message: "replication connections are not relayed to the primary",
        hint: "Connect to the port of the member's own Postgres.")

    static func protocolViolation(_ what: String) -> Refusal {
        Refusal(state: "08P01", message: what, hint: nil)
    }

    var bytes: [UInt8] {
        var fields: [(Character, String)] = [
            ("S", "FATAL"), ("V", "FATAL"), ("C", state), ("M", message),
        ]
        if let hint { fields.append(("H", hint)) }
        var body: [UInt8] = []
        for (code, text) in fields { body += Array("\(code)\(text)".utf8) + [0] }
        body.append(0)
        let length = UInt32(body.count + 4)
        return [UInt8(ascii: "E")] + (0..<4).map { UInt8(truncatingIfNeeded: length >> (24 - 8 * $0)) } + body
    }
}
