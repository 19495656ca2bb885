/// Where other members may be found.
public struct PeerAddress: Hashable, Sendable, CustomStringConvertible {
    public enum Lookup: Hashable, Sendable {
        /// One member.
        case host
        /// A name that resolves to all members (`dns:`); looked up again and again.
        case allAddresses
    }

    public let lookup: Lookup
    /// Name or address, without brackets.
    public let host: String
    /// Nil: the same as the own `peer_port`.
    public let port: Int?

    public init(host: String, port: Int? = nil, lookup: Lookup = .host) {
        self.lookup = lookup
        self.host = host
        self.port = port
    }

    public var description: String {
        let name = host.contains(":") && port != nil ? "[\(host)]" : host
        return (lookup == .allAddresses ? "dns:" : "") + name + (port.map { ":\($0)" } ?? "")
    }

    /// The most entries that are taken: a longer list is a mistake, `dns:` is for many.
    static let maximumCount = 64

    static func list(_ text: String) throws(Refusal) -> [PeerAddress] {
        let entries = text.split(separator: ",", omittingEmptySubsequences: false).map { $0.trimmed }
        guard entries.count <= maximumCount else { throw .bad("has more than \(maximumCount) entries") }
        if entries == [""] { return [] }
        var result: [PeerAddress] = []
        for entry in entries { result.append(try one(entry)) }
        return result
    }

    private static func one(_ text: String) throws(Refusal) -> PeerAddress {
        let isDNS = text.hasPrefix("dns:")
        let rest = isDNS ? String(text.dropFirst(4)) : text
        let (host, port) = try split(rest, of: text)
        guard isHost(host), !(isDNS && isNumeric(host)) else {
            throw .bad("has the entry '\(text)', which is not host, host:port, [v6]:port or dns:name")
        }
        return PeerAddress(host: host, port: port, lookup: isDNS ? .allAddresses : .host)
    }

    /// Separates the port; a bare IPv6 address has several colons and no port.
    private static func split(_ text: String, of entry: String) throws(Refusal) -> (String, Int?) {
        var host = text
        var portText: String?
        if text.hasPrefix("["), let close = text.firstIndex(of: "]") {
            host = String(text[text.index(after: text.startIndex)..<close])
            let rest = text[text.index(after: close)...]
            if !rest.isEmpty { portText = rest.hasPrefix(":") ? String(rest.dropFirst()) : "?" }
        } else if text.count(where: { $0 == ":" }) == 1, let colon = text.firstIndex(of: ":") {
            host = String(text[..<colon])
            portText = String(text[text.index(after: colon)...])
        }
        guard let portText else { return (host, nil) }
        guard let port = Int(portText), (1...65535).contains(port) else {
            throw .bad("has the entry '\(entry)', whose port is not a number from 1 to 65535")
        }
        return (host, port)
    }

    /// Whether `text` is an address in digits.
    static func isNumeric(_ text: String) -> Bool {
        if text.contains(":") {
            let address = text.prefix { $0 != "%" }
            return address.allSatisfy { $0 == ":" || $0 == "." || $0.isHexDigit }
                && address.count(where: { $0 == ":" }) >= 2
        }
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        return parts.count == 4 && parts.allSatisfy { UInt8($0) != nil }
    }

    /// Whether `text` can be a host name or is an address in digits.
    static func isHost(_ text: String) -> Bool {
        if isNumeric(text) { return true }
        let onlyDigits = text.allSatisfy { $0.isNumber || $0 == "." }
        return !text.isEmpty && text.utf8.count <= 253 && !onlyDigits && !text.hasPrefix("-")
            && text.allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber || "-._".contains($0)) }
    }
}

extension StringProtocol {
    /// Without spaces and tabs at both ends.
    var trimmed: String {
        let start = drop { $0 == " " || $0 == "\t" || $0 == "\r" }
        return String(start.reversed().drop { $0 == " " || $0 == "\t" || $0 == "\r" }.reversed())
    }
}
