public import Consensus

/// One machine of the cluster, as the document knows it.
public struct Member: Hashable, Codable, Sendable {
    public enum Kind: String, Hashable, Codable, Sendable {
        case data
        /// Votes, holds no data.
        case witness
    }

    /// Whether an operator wants it to vote (protocol: Joining and voters).
    public enum Ballot: String, Hashable, Codable, Sendable {
        /// As the policy finds best.
        case automatic
        /// Before others, where the number of voters allows one more.
        case preferred
        case never
    }

    public var id: MemberID
    public var instance: Instance
    /// Counts admissions under this name: a machine that lost its state comes back with the next one.
    public var incarnation: Int
    /// Name or IP at which peers and clients reach it.
    public var address: String
    public var postgresPort: Int
    public var peerPort: Int
    public var region: String
    public var kind: Kind
    public var tags: [String]
    /// Seconds since 1970 when it joined; for people only.
    public var joined: Int64
    public var ballot = Ballot.automatic
    /// An operator removed it: it gives its vote back and then leaves the document.
    public var isLeaving = false
    /// How many new copies of its data operators have asked for.
    public var copiesAsked = 0

    public init(
        id: MemberID, instance: Instance, incarnation: Int = 1, address: String, postgresPort: Int = 5433,
        peerPort: Int = 5501, region: String, kind: Kind = .data, tags: [String] = [], joined: Int64 = 0
    ) {
        self.id = id
        self.instance = instance
        self.incarnation = incarnation
        self.address = address
        self.postgresPort = postgresPort
        self.peerPort = peerPort
        self.region = region
        self.kind = kind
        self.tags = tags
        self.joined = joined
    }

    /// Witnesses, and who is tagged `nofailover` or `priority=0`.
    public var neverLeads: Bool { kind == .witness || tags.contains("nofailover") || priority == 0 }

    public var isOfferedForCopies: Bool { kind == .data && tags.contains("clonefrom") }

    /// Of several that hold the same, the one with the highest leads; 1 unless tagged `priority=N`.
    public var priority: Int {
        tags.lazy.filter { $0.hasPrefix("priority=") }.compactMap { Int($0.dropFirst(9)) }.first ?? 1
    }

    /// Whether `other`, of the same instance, says the same about where and what it is.
    public func isDescribed(by other: Member) -> Bool {
        address == other.address && postgresPort == other.postgresPort && peerPort == other.peerPort
            && region == other.region && tags == other.tags
    }

    /// The name under which a *valid* standby's walreceiver reports, and nothing else ever does.
    public var synchronousName: String { "matriarch:\(Member.shortName(of: id)):\(incarnation)" }
    /// The name for everything else that reads WAL on the member's behalf.
    public var joiningName: String { "matriarch-join:\(Member.shortName(of: id))" }
    /// The physical slot that siblings keep for it.
    public var slotName: String { Member.slotName(for: id) }

    /// Slot names allow lower-case letters, digits and underscores only, at most 63; a hash keeps names apart
    /// that differ only in what had to be replaced.
    public static func slotName(for id: MemberID) -> String {
        let safe = id.name.lowercased().map { $0.isASCII && ($0.isLetter || $0.isNumber) ? $0 : "_" }
        return "matriarch_" + String(safe.prefix(40)) + "_" + hash(of: id)
    }

    /// Postgres cuts an application_name at 63 bytes: without the end of a long name, two members would be
    /// one, and an incarnation would be no other than the one before.
    static let longestShownName = 40

    private static func shortName(of id: MemberID) -> String {
        guard id.name.utf8.count > longestShownName else { return id.name }
        let safe = id.name.map { $0.isASCII ? $0 : "_" }
        return String(safe.prefix(longestShownName - 9)) + "~" + hash(of: id)
    }

    /// FNV-1a: tells names apart whose beginnings are the same.
    private static func hash(of id: MemberID) -> String {
        var hash: UInt32 = 2_166_136_261
        for byte in id.name.utf8 { hash = (hash ^ UInt32(byte)) &* 16_777_619 }
        return String(hash, radix: 16)
    }
}

/// Names and passwords that are the same on all members; they travel in the document, over authenticated
/// links only.
public struct Credentials: Hashable, Codable, Sendable {
    public var operatorRole: String
    public var operatorPassword: String
    public var adminRole: String
    public var replicationRole: String
    public var replicationPassword: String

    public init(
        operatorRole: String, operatorPassword: String, adminRole: String, replicationRole: String,
        replicationPassword: String
    ) {
        self.operatorRole = operatorRole
        self.operatorPassword = operatorPassword
        self.adminRole = adminRole
        self.replicationRole = replicationRole
        self.replicationPassword = replicationPassword
    }
}
