internal import FoundationEssentials

/// `matriarch status --json` and `GET /status`, read as a stranger would: by the keys of the manual.
public struct ClusterView: Decodable, Sendable {
    public struct Member: Decodable, Sendable {
        public var name: String
        public var state: String
        public var role: String
        public var region: String
        public var voter: Bool
        public var address: String
        public var checks: Checks
        public var timeline: Int?
        public var lsn: String?
        public var lagBytes: Int64?
        public var reachable: Bool
        public var reason: String?
        public var pendingRestart: Bool
        public var tags: [String]

        enum CodingKeys: String, CodingKey {
            case name, state, role, region, voter, address, checks, timeline, lsn, reachable, reason
            case tags
            case lagBytes = "lag_bytes"
            case pendingRestart = "pending_restart"
        }

        /// Follows or leads, with all checks passing.
        public var isHealthy: Bool {
            state == "started" && reachable && checks.passing == checks.total
                && ["primary", "replica", "witness"].contains(role)
        }
    }

    public struct Checks: Decodable, Sendable {
        public var total: Int
        public var passing: Int
    }

    public struct Synchronous: Decodable, Sendable {
        public var mode: String
        public var standbys: [String]
        public var need: Int
    }

    public var cluster: String
    public var systemIdentifier: String?
    public var primaryRegion: String?
    public var term: Int
    public var timeline: Int?
    public var leader: String?
    public var primary: String?
    public var writable: Bool
    public var paused: Bool
    public var synchronous: Synchronous
    public var members: [Member]

    enum CodingKeys: String, CodingKey {
        case cluster, term, timeline, leader, primary, writable, paused, synchronous, members
        case systemIdentifier = "system_identifier"
        case primaryRegion = "primary_region"
    }

    public init(json: String) throws {
        do {
            self = try JSONDecoder().decode(ClusterView.self, from: Data(json.utf8))
        } catch {
            throw LabError("status is not as the manual says: \(error): \(json.prefix(400))")
        }
    }

    public func member(_ name: String) -> Member? { members.first { $0.name == name } }

    /// One line for a failure message.
    public var summary: String {
        let each = members.map { member in
            "\(member.name)=\(member.state)/\(member.role)\(member.reachable ? "" : "?")"
                + " \(member.checks.passing)/\(member.checks.total)"
        }
        return "term \(term), leader \(leader ?? "none"), primary \(primary ?? "none")"
            + " \(writable ? "writable" : "not writable"); \(each.joined(separator: ", "))"
    }
}

/// Something to wait for, with the words that a failure is told in.
public struct Condition: Sendable {
    public var what: String
    public var holds: @Sendable (ClusterView) -> Bool

    public init(_ what: String, _ holds: @escaping @Sendable (ClusterView) -> Bool) {
        self.what = what
        self.holds = holds
    }

    public static func primary(is name: String) -> Condition {
        Condition("\(name) is the writable primary") { $0.primary == name && $0.writable }
    }

    public static func primary(isNot name: String) -> Condition {
        Condition("a node other than \(name) is the writable primary") { view in
            view.writable && view.primary.map { $0 != name } == true
        }
    }

    public static let writable = Condition("there is a writable primary") { $0.writable && $0.primary != nil }

    /// All of these are healthy, one of them is the writable primary.
    public static func whole(_ names: [String]) -> Condition {
        Condition("\(names.joined(separator: ", ")) are healthy and one of them is the writable primary") {
            view in
            let members = names.compactMap(view.member)
            return view.writable && members.count == names.count && members.allSatisfy(\.isHealthy)
                && members.count { $0.role == "primary" } == 1
        }
    }

    /// As `whole`, and nobody has anything left to do: all report from the primary's timeline.
    public static func settled(_ names: [String]) -> Condition {
        Condition("\(names.joined(separator: ", ")) are healthy and on one timeline, waiting for nothing") {
            view in
            whole(names).holds(view)
                && view.members.allSatisfy { $0.timeline == view.timeline && $0.reason == nil }
        }
    }

    public static func replica(_ name: String) -> Condition {
        Condition("\(name) is a healthy replica") { view in
            view.writable && view.member(name).map { $0.isHealthy && $0.role == "replica" } == true
        }
    }
}
