/// A member's unique, stable name (`node_name`).
public struct MemberID: Hashable, Comparable, Codable, Sendable, CustomStringConvertible,
    ExpressibleByStringLiteral
{
    public let name: String

    public init(_ name: String) { self.name = name }
    public init(stringLiteral value: String) { name = value }

    public init(from decoder: any Decoder) throws {
        name = try decoder.singleValueContainer().decode(String.self)
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(name)
    }

    public var description: String { name }
    public static func < (left: MemberID, right: MemberID) -> Bool { left.name < right.name }
}

/// The persistent identity of one state directory, drawn once when it is created.
///
/// Two machines that claim one name differ here; so does a machine whose state was lost.
public typealias Instance = String

/// Drawn anew at each start of an agent: tells a restarted or cloned candidate from the one that was voted
/// for.
public typealias BootNonce = UInt64

/// A term of leadership; at most one leader per term.
public typealias Term = UInt64

/// Who a message comes from, as the link proved it (not as the message claims).
public struct Sender: Hashable, Sendable {
    public var member: MemberID
    public var instance: Instance
    public var nonce: BootNonce

    public init(member: MemberID, instance: Instance, nonce: BootNonce) {
        self.member = member
        self.instance = instance
        self.nonce = nonce
    }
}
