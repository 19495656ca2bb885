/// What the guard's state lets this member promise (protocol: Promises). An agent that does not know grants
/// nothing.
public enum GuardStanding: Hashable, Sendable {
    case unknown
    case disarmed
    case armed(epoch: Term)
}

/// Whether, and how soon, this member may campaign; decided by the rules of Supervision.
public struct Fitness: Hashable, Sendable {
    public var mayLead: Bool
    /// How many members are fitter: each delays the first attempt by one rank step.
    public var rank: Int

    public init(mayLead: Bool, rank: Int) {
        self.mayLead = mayLead
        self.rank = rank
    }

    public static let unfit = Fitness(mayLead: false, rank: 0)
}
