/// How a command ended, as scripts see it. The numbers are part of the manual.
public enum ExitCode: Int32, CaseIterable, Sendable {
    case done = 0
    /// Refused or failed; the reason is on stderr.
    case refused = 1
    case usage = 64
    /// The local agent does not answer.
    case unreachable = 69
    /// No quorum, or not finished in time; may be tried again.
    case tryAgain = 75
    case notPermitted = 77
    case configuration = 78

    public var meaning: String {
        switch self {
        case .done: "done"
        case .refused: "refused or failed, reason on stderr"
        case .usage: "wrong usage"
        case .unreachable: "the agent is not reachable"
        case .tryAgain: "no quorum or timed out, may be tried again"
        case .notPermitted: "not permitted"
        case .configuration: "wrong configuration"
        }
    }
}
