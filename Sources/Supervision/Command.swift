public import Consensus

/// What a person or a signal asks of the cluster.
public enum Command: Hashable, Codable, Sendable {
    /// Hand the primary role to `target`, or to the best candidate.
    case switchover(target: MemberID?, dryRun: Bool, reason: String)
    /// Take a member out of the cluster for good.
    case removeMember(MemberID)
    /// Give a member a vote, or take it.
    case promoteVoter(MemberID)
    case demoteVoter(MemberID)
    /// Have a member copy its data anew.
    case reinitialize(MemberID)
    /// Stop and start a member's Postgres; answered when it is back.
    case restartPostgres(MemberID)
    /// No failover by itself until `resume`, or for a while (protocol: Pause).
    case pause(milliseconds: Int64?, until: Int64?)
    case resume
    /// SIGUSR1 here: away from this node if it is the primary, to this node if it is a standby.
    case signalSwitchover
    /// SIGTERM here: hand over if primary, stop Postgres, end.
    case stop
}

extension Command {
    /// Whether the leader judges it; else the node itself that is asked.
    var isForLeader: Bool {
        switch self {
        case .switchover, .removeMember, .promoteVoter, .demoteVoter, .reinitialize, .pause, .resume: true
        case .signalSwitchover, .stop, .restartPostgres: false
        }
    }
}

public struct CommandAnswer: Hashable, Codable, Sendable {
    public enum Verdict: String, Hashable, Codable, Sendable {
        case accepted
        /// Unsafe or impossible; nothing was changed.
        case refused
        /// No leader or no quorum now; may be tried again.
        case tryAgain
    }

    public var verdict: Verdict
    public var reason: String?
    /// The steps that a dry run would take, or what was accepted.
    public var lines: [String]
    public var target: MemberID?
    /// The state of the document that holds the wish: a status of an older one tells nothing about it.
    public var document: Version?

    public init(verdict: Verdict, reason: String? = nil, lines: [String] = [], target: MemberID? = nil) {
        self.verdict = verdict
        self.reason = reason
        self.lines = lines
        self.target = target
    }
}
