/// Leader election with leases and a replicated register, as a value (protocol: Election).
///
/// The caller's duties: feed every event in the order in which it happened with a clock that never goes back;
/// carry out the effects in their order; never send a `.sendWhenDurable` before the newest `.persist` before it
/// is on disk; make a promise visible in tmpfs before anything that follows it in the list is sent.
public struct Raft<Document: RegisterDocument>: Sendable {
    public enum Event: Sendable {
        case tick
        case received(Message<Document>, from: Sender)
        /// Everything up to this token is on disk.
        case persisted(PersistToken)
        case guardChanged(GuardStanding)
        case fitnessChanged(Fitness)
        /// Lead as soon as the rules let us: an agent that found its guard armed for its own epoch (resume).
        case resume
        /// As leader: replace the register's document. Ignored unless `canPropose`.
        case propose(Document)
        /// As leader, fenced and with no armed guard: give the term back and ask `target` to campaign.
        case release(to: MemberID?)
        /// As leader: stop leading without releasing (the lease runs out by itself).
        case stepDown
        /// The first document of a cluster, agreed on by all of its founders (protocol: Bootstrap).
        case install(Entry<Document>)
    }

    public enum Effect: Hashable, Sendable {
        /// Write `hard` durably; answer with `.persisted(token)`.
        case persist(PersistToken)
        /// Write to tmpfs now, before the effects that follow.
        case storePromise(Promise)
        case send(Message<Document>, to: MemberID)
        /// Send only once everything persisted so far is on disk.
        case sendWhenDurable(Message<Document>, to: MemberID)
        case becameLeader(Term)
        case steppedDown(Term, StepDownReason)
        /// A newer committed entry; act on it.
        case committed(Entry<Document>)
        /// A majority acknowledged a round that was sent at this instant: the lease runs from there.
        case leaseExtended(sentAt: Instant)
    }

    public enum StepDownReason: String, Hashable, Sendable {
        case higherTerm, lostMajority, released, asked, notAVoter
    }

    /// Counts the writes of `hard`; a receipt for one covers all before it.
    public typealias PersistToken = UInt64
}

/// What the guard's state lets this member promise (protocol: Promises). An agent that does not know grants nothing.
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
