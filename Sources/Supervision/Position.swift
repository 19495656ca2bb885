public import Consensus

/// A byte position in the write-ahead log.
public struct LSN: Hashable, Comparable, Codable, Sendable, CustomStringConvertible {
    public var bytes: UInt64

    public init(_ bytes: UInt64) { self.bytes = bytes }

    /// Reads the form that Postgres prints: `0/5000148`.
    public init?(_ text: String) {
        let halves = text.split(separator: "/", omittingEmptySubsequences: false)
        guard halves.count == 2, let high = UInt32(halves[0], radix: 16),
            let low = UInt32(halves[1], radix: 16)
        else { return nil }
        bytes = UInt64(high) << 32 | UInt64(low)
    }

    public static let zero = LSN(0)
    public static func < (left: LSN, right: LSN) -> Bool { left.bytes < right.bytes }

    /// How many bytes this position is behind `other`; zero when it is not.
    public func behind(_ other: LSN) -> UInt64 { other.bytes > bytes ? other.bytes - bytes : 0 }

    public var description: String {
        String(bytes >> 32, radix: 16, uppercase: true) + "/"
            + String(bytes & 0xFFFF_FFFF, radix: 16, uppercase: true)
    }

    public init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        let text = try container.decode(String.self)
        guard let value = LSN(text) else {
            throw DecodingError.dataCorruptedError(
                in: container, debugDescription: "\(text) is not a WAL position such as 0/5000148")
        }
        self = value
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(description)
    }
}

/// A Postgres timeline number. The document reserves each one once in the cluster's life.
public typealias Timeline = UInt32

/// Where a member's log ends, as Postgres knows it. Order positions with `ClusterDocument.isFresher`, never
/// by the timeline's number (protocol: Positions).
public struct Position: Hashable, Codable, Sendable, CustomStringConvertible {
    public var timeline: Timeline
    public var lsn: LSN

    public init(timeline: Timeline, lsn: LSN) {
        self.timeline = timeline
        self.lsn = lsn
    }

    public var description: String { "\(lsn) on timeline \(timeline)" }
}

/// One physical promotion: the WAL that one member wrote as primary.
public struct Lineage: Hashable, Codable, Sendable {
    public enum Status: String, Hashable, Codable, Sendable {
        /// A number set aside for a promotion that has not been seen to succeed.
        case reserved
        /// The promotion succeeded; members may follow.
        case open
        /// The promotion failed or was overtaken: nobody may ever follow it.
        case burnt
    }

    /// The term of the leader that reserved it: later epochs are fresher.
    public var epoch: Term
    public var timeline: Timeline
    /// The timeline that it branched from; nil for the cluster's first.
    public var parent: Timeline?
    /// Where it branched: WAL of the parent past this point is not part of it. Nil until it is open.
    public var switchLSN: LSN?
    public var member: MemberID
    /// While reserved: the promoting member's position at the time, so that nobody takes it for less.
    public var startLSN: LSN?
    public var status: Status

    public init(
        epoch: Term, timeline: Timeline, parent: Timeline?, switchLSN: LSN? = nil, member: MemberID,
        startLSN: LSN? = nil, status: Status
    ) {
        self.epoch = epoch
        self.timeline = timeline
        self.parent = parent
        self.switchLSN = switchLSN
        self.member = member
        self.startLSN = startLSN
        self.status = status
    }
}
