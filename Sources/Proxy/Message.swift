internal import Platform

/// What agent and proxy say to each other: one line of text per packet.
///
///     hello <session> <cluster>          agent: from now on my orders count
///     route epoch= host= port= valid_until= cut_after=
///     hold reason=<rest of the line>
///     state                              anybody: how are you?
///     welcome | refused <why> | ignored <why> | state key=value …
enum Message: Equatable {
    case hello(session: UInt64, cluster: String)
    case order(ProxyOrder)
    case askState
    case welcome
    case refused(String)
    case ignored(String)
    case state(ProxyState)

    /// The longest packet; a longer one is not understood.
    static let limit = 2048
    /// The longest reason of a hold, in bytes; the rest is cut off.
    static let reasonLimit = 512

    init?(_ text: String) {
        let (verb, rest) = Self.split(text)
        switch verb {
        case "hello":
            let (session, cluster) = Self.split(rest)
            guard let session = UInt64(session), !cluster.isEmpty else { return nil }
            self = .hello(session: session, cluster: cluster)
        case "route":
            guard let route = ProxyRoute(fields: Fields(rest)) else { return nil }
            self = .order(.route(route))
        case "hold":
            guard rest.hasPrefix("reason=") else { return nil }
            self = .order(.hold(reason: String(rest.dropFirst("reason=".count))))
        case "state" where rest.isEmpty: self = .askState
        case "state":
            guard let state = ProxyState(fields: Fields(rest)) else { return nil }
            self = .state(state)
        case "welcome": self = .welcome
        case "refused": self = .refused(rest)
        case "ignored": self = .ignored(rest)
        default: return nil
        }
    }

    var text: String {
        switch self {
        case .hello(let session, let cluster): "hello \(session) \(cluster)"
        case .order(.route(let route)): "route \(route.text)"
        case .order(.hold(let reason)): "hold reason=\(Self.shortened(reason))"
        case .askState: "state"
        case .welcome: "welcome"
        case .refused(let why): "refused \(why)"
        case .ignored(let why): "ignored \(why)"
        case .state(let state): "state \(state.text)"
        }
    }

    private static func split(_ text: String) -> (first: String, rest: String) {
        let parts = text.split(separator: " ", maxSplits: 1, omittingEmptySubsequences: false)
        return (String(parts.first ?? ""), parts.count > 1 ? String(parts[1]) : "")
    }

    /// One line of at most `reasonLimit` bytes, cut between characters.
    static func shortened(_ reason: String) -> String {
        var short = ""
        var bytes = 0
        for character in reason {
            let printable = character.isNewline ? " " : character
            bytes += printable.utf8.count
            if bytes > reasonLimit { break }
            short.append(printable)
        }
        return short
    }
}

/// `key=value` pairs; the value of "reason" is the rest of the line.
struct Fields {
    private var values: [String: String] = [:]

    init(_ text: String) {
        var rest = Substring(text)
        while let equals = rest.firstIndex(of: "=") {
            let key = String(rest[..<equals])
            let after = rest[rest.index(after: equals)...]
            let end = key == "reason" ? after.endIndex : after.firstIndex(of: " ") ?? after.endIndex
            values[key] = String(after[..<end])
            rest = end == after.endIndex ? "" : after[after.index(after: end)...]
        }
    }

    subscript(key: String) -> String? { values[key] }
    func number<Number: FixedWidthInteger>(_ key: String) -> Number? { values[key].flatMap { Number($0) } }
}

extension ProxyRoute {
    fileprivate init?(fields: Fields) {
        guard let epoch: UInt64 = fields.number("epoch"), let host = fields["host"],
            let port: UInt16 = fields.number("port"), let address = SocketAddress(host: host, port: port),
            let validUntil: Int64 = fields.number("valid_until"),
            let cutAfter: Int64 = fields.number("cut_after"), cutAfter >= 0
        else { return nil }
        let target = ProxyTarget(epoch: epoch, address: address)
        self.init(target: target, validUntil: validUntil, cutAfter: cutAfter)
    }

    fileprivate var text: String {
        let place = "host=\(target.address.host) port=\(target.address.port ?? 0)"
        return "epoch=\(target.epoch) \(place) valid_until=\(validUntil) cut_after=\(cutAfter)"
    }
}
