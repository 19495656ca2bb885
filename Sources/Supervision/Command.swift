public import Consensus

/// What a person or a signal asks of the cluster.
public enum Command: Hashable, Codable, Sendable {
    /// Hand the primary role to `target`, or to the best candidate.
    case switchover(target: MemberID?, dryRun: Bool, reason: String)
    /// SIGUSR1 here: away from this node if it is the primary, to this node if it is a standby.
    case signalSwitchover
    /// SIGTERM here: hand over if primary, stop Postgres, end.
    case stop
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

    public init(verdict: Verdict, reason: String? = nil, lines: [String] = [], target: MemberID? = nil) {
        self.verdict = verdict
        self.reason = reason
        self.lines = lines
        self.target = target
    }
}
