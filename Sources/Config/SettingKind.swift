import Consensus

/// How a setting's text becomes a value and back, and what is allowed, in words.
struct SettingKind<Value: Hashable & Sendable>: Sendable {
    let allowed: String
    let parse: @Sendable (String) throws(Refusal) -> Value
    let print: @Sendable (Value) -> String

    /// The same for a setting that may be unset, which is written as nothing.
    var orUnset: SettingKind<Value?> {
        SettingKind<Value?>(
            allowed: allowed,
            parse: { (text) throws(Refusal) -> Value? in text.isEmpty ? nil : try parse(text) },
            print: { value in value.map(print) ?? "" })
    }
}

extension SettingKind {
    /// The same for what may be turned off.
    var orOff: SettingKind<Value?> {
        SettingKind<Value?>(
            allowed: "\(allowed), or off",
            parse: { (text) throws(Refusal) -> Value? in text == "off" ? nil : try parse(text) },
            print: { value in value.map(print) ?? "off" })
    }
}

extension SettingKind where Value == Duration {
    static func duration(_ range: ClosedRange<Duration>) -> Self {
        let allowed = "\(Quantity.text(range.lowerBound)) … \(Quantity.text(range.upperBound))"
        return SettingKind(
            allowed: allowed,
            parse: { (text) throws(Refusal) -> Duration in
                let value = try Quantity.duration(text)
                guard range.contains(value) else { throw .outside(allowed) }
                return value
            },
            print: { Quantity.text($0) })
    }
}

extension SettingKind where Value == UInt64 {
    static func size(_ range: ClosedRange<UInt64>) -> Self {
        let allowed = "\(Quantity.text(bytes: range.lowerBound)) … \(Quantity.text(bytes: range.upperBound))"
        return SettingKind(
            allowed: allowed,
            parse: { (text) throws(Refusal) -> UInt64 in
                let value = try Quantity.bytes(text)
                guard range.contains(value) else { throw .outside(allowed) }
                return value
            },
            print: { Quantity.text(bytes: $0) })
    }
}

extension SettingKind where Value == Int {
    static func integer(_ range: ClosedRange<Int>, allowed words: String? = nil) -> Self {
        let allowed = words ?? "\(range.lowerBound) … \(range.upperBound)"
        return SettingKind(
            allowed: allowed,
            parse: { (text) throws(Refusal) -> Int in
                guard let value = Int(text) else { throw .bad("is not a whole number; allowed: \(allowed)") }
                guard range.contains(value) else { throw .outside(allowed) }
                return value
            },
            print: { "\($0)" })
    }

    static var port: Self { integer(1...65535) }
    static var portOrOff: Self { integer(0...65535, allowed: "1 … 65535, or 0 for none") }

    /// Founders must be able to form a majority that no second half can mirror.
    static var founders: Self {
        let any = integer(1...9, allowed: "1, 3, 5, 7 or 9")
        return SettingKind(
            allowed: any.allowed,
            parse: { (text) throws(Refusal) -> Int in
                let value = try any.parse(text)
                guard value % 2 == 1 else {
                    throw Refusal(
                        code: .outOfRange,
                        problem:
                            "must be odd (\(any.allowed)): half of an even number can't outvote the rest"
                    )
                }
                return value
            },
            print: any.print)
    }
}

extension SettingKind where Value == String {
    /// A name that can be part of file names, DNS names and log lines.
    static func name(_ what: String) -> Self {
        let allowed = "letters, digits, '-', '_' and '.', at most 63"
        return SettingKind(
            allowed: allowed,
            parse: { (text) throws(Refusal) -> String in
                let fits = text.unicodeScalars.allSatisfy { scalar in
                    scalar.isASCII && (scalar.properties.isAlphabetic || ("0"..."9").contains(scalar))
                        || "-_.".unicodeScalars.contains(scalar)
                }
                guard !text.isEmpty, fits else {
                    throw .bad("is not a \(what); allowed are \(allowed)")
                }
                guard text.utf8.count <= 63 else {
                    throw Refusal(
                        code: .outOfRange,
                        problem: "has \(text.utf8.count) characters; a \(what) has at most 63")
                }
                return text
            },
            print: { $0 })
    }

    /// Postgres takes paths of up to 1023 bytes, and long names are made below a directory.
    static var path: Self { path(atMost: 512, because: "files in it have long names too") }

    /// The path of a unix socket has at most 107 bytes, and the longest name of one is `/.s.PGSQL.65535`.
    static var socketDirectory: Self {
        path(atMost: 92, because: "the path of a socket in it has at most 107 bytes")
    }

    private static func path(atMost limit: Int, because reason: String) -> Self {
        SettingKind(
            allowed: "an absolute path",
            parse: { (text) throws(Refusal) -> String in
                guard text.hasPrefix("/") else { throw .bad("is not an absolute path; begin it with /") }
                guard text.count > 1 else { throw .bad("is the root directory; name a directory of its own") }
                guard text.utf8.count <= limit else {
                    let problem = "is \(text.utf8.count) bytes long; at most \(limit), as \(reason)"
                    throw Refusal(code: .outOfRange, problem: problem)
                }
                return text.hasSuffix("/") ? String(text.dropLast()) : text
            },
            print: { $0 })
    }

    /// A host name or an address in digits.
    static var host: Self {
        SettingKind(
            allowed: "a name or an IP address",
            parse: { (text) throws(Refusal) -> String in
                guard PeerAddress.isHost(text) else {
                    throw .bad("is neither a host name nor an IP address; leave the port out")
                }
                return text
            },
            print: { $0 })
    }

    /// `*` or an address in digits: to listen on a name would mean to wait for a resolver at start.
    static var listenAddress: Self {
        SettingKind(
            allowed: "'*' (all, IPv4 and IPv6) or one IP address",
            parse: { (text) throws(Refusal) -> String in
                guard text == "*" || PeerAddress.isNumeric(text) else {
                    throw .bad("is neither '*' nor an IP address")
                }
                return text
            },
            print: { $0 })
    }

    /// An SQL role name as Postgres keeps it.
    static var role: Self {
        SettingKind(
            allowed: "a role name of at most 63 bytes, not beginning with pg_",
            parse: { (text) throws(Refusal) -> String in
                guard !text.isEmpty, text.utf8.count <= 63, !text.contains("\n") else {
                    throw .bad("is not a role name: it must have 1 to 63 bytes")
                }
                guard !text.hasPrefix("pg_") else {
                    throw .bad("is reserved: Postgres keeps names beginning with pg_ for itself")
                }
                return text
            },
            print: { $0 })
    }
}

extension SettingKind where Value: RawRepresentable & CaseIterable, Value.RawValue == String {
    static var choice: Self {
        let names = Value.allCases.map(\.rawValue)
        let allowed = names.joined(separator: ", ")
        return SettingKind(
            allowed: allowed,
            parse: { (text) throws(Refusal) -> Value in
                guard let value = Value(rawValue: text) else {
                    throw .bad("is none of \(allowed)\(Nearest.suggestion(for: text, among: names))")
                }
                return value
            },
            print: { $0.rawValue })
    }
}

extension SettingKind where Value == [PeerAddress] {
    static var peers: Self {
        SettingKind(
            allowed: "host, host:port, [v6]:port or dns:name, separated by commas",
            parse: { (text) throws(Refusal) -> [PeerAddress] in try PeerAddress.list(text) },
            print: { $0.map(\.description).joined(separator: ", ") })
    }
}

extension SettingKind where Value == [String] {
    static var tags: Self {
        SettingKind(
            allowed: Tag.allowed,
            parse: { (text) throws(Refusal) -> [String] in try Tag.list(text) },
            print: { $0.joined(separator: ", ") })
    }
}

extension Refusal {
    static func outside(_ allowed: String) -> Refusal {
        Refusal(code: .outOfRange, problem: "is out of range; allowed: \(allowed)")
    }
}
