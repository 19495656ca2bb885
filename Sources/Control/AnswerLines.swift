public import Consensus
public import Platform
public import Supervision

/// One member as `matriarch member list` shows it; its passwords stay in the document.
public struct MemberLine: Codable, Hashable, Sendable {
    public var name: String
    public var address: String
    public var region: String
    public var kind: String
    public var voter: Bool
    public var incarnation: Int
    public var tags: [String]

    public init(_ member: Member, of document: ClusterDocument) {
        name = member.id.name
        address = member.address
        region = member.region
        kind = member.kind.rawValue
        voter = document.voters.contains(member.id)
        incarnation = member.incarnation
        tags = member.tags
    }
}

/// An event with the date that people read: a line of `matriarch events`, of the journal file, and of the
/// answer to a peer that gathers them.
public struct LoggedEvent: Codable, Hashable, Sendable {
    public var time: String
    public var term: Term
    public var node: String
    public var kind: String
    public var level: String
    public var text: String
    public var rule: String?
    public var phases: [EventRecord.Phase]

    /// - Parameter time: of the wall clock, as `WallClock.iso8601` writes it.
    public init(_ record: EventRecord, time: String = WallClock.iso8601()) {
        self.time = time
        term = record.term
        node = record.member.name
        kind = record.kind
        level = record.level.rawValue
        text = record.text
        rule = record.rule
        phases = record.phases
    }
}
