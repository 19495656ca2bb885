import Consensus
import Supervision

/// An envelope under way: everyone who handles it, and every judge, looks at the same one.
final class Letter {
    let envelope: Envelope

    init(_ envelope: Envelope) { self.envelope = envelope }

    var body: Envelope.Body { envelope.body }
}

/// What can be seen of the herd from outside, as it happens.
enum Observation {
    case sent(Machine, Letter, to: Machine)
    case delivered(Machine, Letter, from: Machine)
    /// The node gave the order to write this; it may still be lost.
    indirect case persisting(Machine, DurableState)
    indirect case persisted(Machine, from: DurableState, to: DurableState)
    case promised(Machine, Promise)
    case arming(Machine, epoch: Term, deadline: Instant)
    case guardArmed(Machine, Term)
    case ordered(Machine, PostgresOrder)
    /// The first byte is about to be changed.
    case rewinding(Machine, from: Machine, Divergence)
    case promoted(Machine, from: Log, to: Log)
    /// Two servers wrote different records after the same one, on one timeline.
    case forkedTimeline(Machine)
    case receivedForeignBytes(Machine, from: Machine)
    case streamBegan(Machine, from: Machine)
    /// A standby flushed WAL and tells its upstream so.
    case flushed(Machine, from: Machine)
    case committed(Machine, through: Bool, acknowledged: Bool)
    case writersChanged
    indirect case recorded(Machine, EventRecord)
    case stepped(Machine)
}

/// The kinds of observation, so that each checker is asked only about what it judges by.
enum Sight: Int, CaseIterable {
    case message, write, promise, arming, order, history, flush, commit, writers, event, step
}

extension Observation {
    var sight: Sight {
        switch self {
        case .sent, .delivered: .message
        case .persisting, .persisted: .write
        case .promised: .promise
        case .arming, .guardArmed: .arming
        case .ordered, .rewinding: .order
        case .promoted, .forkedTimeline, .receivedForeignBytes, .streamBegan: .history
        case .flushed: .flush
        case .committed: .commit
        case .writersChanged: .writers
        case .recorded: .event
        case .stepped: .step
        }
    }
}

/// Judges the herd from outside. It knows the rules, not the code that follows them.
protocol Checker {
    /// The invariants, as docs/internals/protocol.md lists them, and a few words.
    var name: String { get }
    /// What it is shown; everything else passes by it.
    var sights: [Sight] { get }
    /// - Returns: what is wrong, as a sentence; nil when nothing is.
    mutating func observe(_ seen: Observation, in world: World) -> String?
}

/// The first thing found wrong in a run.
public struct Violation: Hashable, Sendable, CustomStringConvertible {
    public let seed: UInt64
    public let at: WorldTime
    public let checker: String
    public let complaint: String

    public var description: String { "seed \(seed) at \(at) s: \(checker): \(complaint)" }
}

enum Checkers {
    static func all() -> [any Checker] {
        [
            LeaderChecker(), RegisterChecker(), DurableChecker(), SingleWriterChecker(), DoorChecker(),
            GuardChecker(), HistoryChecker(), PromotionChecker(), FreezeChecker(), OrderChecker(),
            VoteChecker(),
            LeaseChecker(), FoundingChecker(), ConductChecker(), PauseChecker(),
        ]
    }
}
