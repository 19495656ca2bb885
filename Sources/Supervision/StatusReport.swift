public import Consensus

/// The cluster as one node sees it: `matriarch status --json` and `GET /status`. Keys are fixed by the
/// manual.
public struct StatusReport: Hashable, Codable, Sendable {
    public struct Synchronous: Hashable, Codable, Sendable {
        public var mode: String
        public var standbys: [String]
        public var need: Int

        public init(mode: String, standbys: [String], need: Int) {
            self.mode = mode
            self.standbys = standbys
            self.need = need
        }
    }

    public struct Checks: Hashable, Codable, Sendable {
        public var total: Int
        public var passing: Int

        public init(total: Int, passing: Int) {
            self.total = total
            self.passing = passing
        }
    }

    public struct Line: Hashable, Codable, Sendable {
        public var name: String
        public var state: MemberState
        public var role: MemberRole
        public var region: String
        public var voter: Bool
        public var address: String
        public var checks: Checks
        public var timeline: Timeline?
        public var lsn: LSN?
        public var lagBytes: UInt64?
        public var lagSeconds: Double?
        public var version: String?
        public var agentVersion: String?
        public var reachable: Bool
        /// Filled in by the daemon, which knows the wall clock: ISO 8601.
        public var created: String?
        public var updated: String?
        /// How old the member's last word is; nil when it was never heard.
        public var ageMilliseconds: Int64?
        public var reason: String?
        public var createdSeconds: Int64
        /// Settings were changed that come into force with a restart of Postgres only.
        public var pendingRestart = false
        /// Which ones.
        public var pendingSettings: [String] = []
        public var tags: [String] = []

        enum CodingKeys: String, CodingKey {
            case name, state, role, region, voter, address, checks, timeline, lsn, version, reachable, created
            case updated, reason, tags
            case lagBytes = "lag_bytes"
            case lagSeconds = "lag_seconds"
            case agentVersion = "agent_version"
            case ageMilliseconds = "age_ms"
            case createdSeconds = "created_seconds"
            case pendingRestart = "pending_restart"
            case pendingSettings = "pending_settings"
        }

        public init(
            name: String, state: MemberState, role: MemberRole, region: String, voter: Bool, address: String,
            checks: Checks, reachable: Bool, createdSeconds: Int64
        ) {
            self.name = name
            self.state = state
            self.role = role
            self.region = region
            self.voter = voter
            self.address = address
            self.checks = checks
            self.reachable = reachable
            self.createdSeconds = createdSeconds
        }
    }

    public var cluster: String
    public var systemIdentifier: String?
    public var primaryRegion: String?
    public var term: UInt64
    public var timeline: Timeline?
    public var leader: String?
    public var primary: String?
    public var writable: Bool
    public var paused: Bool
    public var synchronous: Synchronous
    public var members: [Line]
    /// The node that answers.
    public var node: String
    public var leaseLeftMilliseconds: Int64?
    public var switchoverTo: String?
    /// Until a pause ends by itself; nil when there is none, or none that ends.
    public var pausedMillisecondsLeft: Int64?
    /// What this node is doing or waiting for, by the name of the rule and in words.
    public var rule: String
    public var reason: String?
    /// Which state of the document this is told from; nil before there is one.
    public var document: Version?

    enum CodingKeys: String, CodingKey {
        case cluster, term, timeline, leader, primary, writable, paused, synchronous, members, node, rule,
            reason, document
        case systemIdentifier = "system_identifier"
        case primaryRegion = "primary_region"
        case leaseLeftMilliseconds = "lease_left_ms"
        case switchoverTo = "switchover_to"
        case pausedMillisecondsLeft = "paused_ms_left"
    }

    public init(cluster: String, node: String) {
        self.cluster = cluster
        self.node = node
        term = 0
        writable = false
        paused = false
        synchronous = Synchronous(mode: "off", standbys: [], need: 0)
        members = []
        rule = "none"
    }
}

// The manual promises every key: a script that finds none can't tell "unknown" from "renamed".
extension StatusReport {
    public func encode(to encoder: any Encoder) throws {
        var keys = encoder.container(keyedBy: CodingKeys.self)
        try keys.encode(cluster, forKey: .cluster)
        try keys.encode(systemIdentifier, forKey: .systemIdentifier)
        try keys.encode(primaryRegion, forKey: .primaryRegion)
        try keys.encode(term, forKey: .term)
        try keys.encode(timeline, forKey: .timeline)
        try keys.encode(leader, forKey: .leader)
        try keys.encode(primary, forKey: .primary)
        try keys.encode(writable, forKey: .writable)
        try keys.encode(paused, forKey: .paused)
        try keys.encode(synchronous, forKey: .synchronous)
        try keys.encode(members, forKey: .members)
        try keys.encode(node, forKey: .node)
        try keys.encode(leaseLeftMilliseconds, forKey: .leaseLeftMilliseconds)
        try keys.encode(switchoverTo, forKey: .switchoverTo)
        try keys.encode(pausedMillisecondsLeft, forKey: .pausedMillisecondsLeft)
        try keys.encode(rule, forKey: .rule)
        try keys.encode(reason, forKey: .reason)
        try keys.encode(document, forKey: .document)
    }
}

extension StatusReport.Line {
    public func encode(to encoder: any Encoder) throws {
        var keys = encoder.container(keyedBy: CodingKeys.self)
        try keys.encode(name, forKey: .name)
        try keys.encode(state, forKey: .state)
        try keys.encode(role, forKey: .role)
        try keys.encode(region, forKey: .region)
        try keys.encode(voter, forKey: .voter)
        try keys.encode(address, forKey: .address)
        try keys.encode(checks, forKey: .checks)
        try keys.encode(timeline, forKey: .timeline)
        try keys.encode(lsn, forKey: .lsn)
        try keys.encode(lagBytes, forKey: .lagBytes)
        try keys.encode(lagSeconds, forKey: .lagSeconds)
        try keys.encode(version, forKey: .version)
        try keys.encode(agentVersion, forKey: .agentVersion)
        try keys.encode(reachable, forKey: .reachable)
        try keys.encode(created, forKey: .created)
        try keys.encode(updated, forKey: .updated)
        try keys.encode(ageMilliseconds, forKey: .ageMilliseconds)
        try keys.encode(reason, forKey: .reason)
        try keys.encode(createdSeconds, forKey: .createdSeconds)
        try keys.encode(pendingRestart, forKey: .pendingRestart)
        try keys.encode(pendingSettings, forKey: .pendingSettings)
        try keys.encode(tags, forKey: .tags)
    }
}
