/// A setting that the node must not start with: what, where, and what would be right.
public struct ConfigurationError: Error, Hashable, CustomStringConvertible {
    public enum Code: Hashable, Sendable {
        case syntax, unknownKey, badValue, outOfRange, contradiction, notBuilt, file
    }

    public let code: Code
    public let origin: Origin
    /// Nil when the line could not be read as a setting at all.
    public let key: String?
    public let value: String?
    /// What is wrong and what would be right, as one or two sentences.
    public let problem: String

    init(_ code: Code, at origin: Origin, key: String? = nil, value: String? = nil, _ problem: String) {
        self.code = code
        self.origin = origin
        self.key = key
        self.value = value
        self.problem = problem
    }

    public var description: String {
        var text = "\(origin): "
        if let key {
            text += key
            if let value { text += " = '\(value)'" }
            text += ": "
        }
        return text + problem
    }
}

/// Something that the operator should know about a setting that is accepted.
public struct ConfigurationNotice: Hashable, Sendable, CustomStringConvertible {
    public let origin: Origin
    public let key: String
    public let text: String

    public var description: String { "\(origin): \(key): \(text)" }
}

/// Why one value is not accepted; the reader adds where it stands.
struct Refusal: Error {
    let code: ConfigurationError.Code
    let problem: String

    static func bad(_ problem: String) -> Refusal { Refusal(code: .badValue, problem: problem) }
}
