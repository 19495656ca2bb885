import Consensus

/// How far a sibling has come: the slot that is kept for it may let go of the WAL before.
public struct SlotGoal: Hashable, Codable, Sendable {
    public var slot: String
    /// Nil while the sibling's position is unknown or on another history: the slot then stays where it is.
    public var reached: LSN?

    public init(slot: String, reached: LSN?) {
        self.slot = slot
        self.reached = reached
    }
}

/// Every data member keeps a physical slot for every other, so that after a failover the siblings find at the
/// new primary the WAL that they still need (protocol: Slots).
///
/// At the primary a walsender moves them; at a standby nobody connects, and the agent does.
extension Node {
    /// Between two rounds. What a standby keeps too long is the WAL of one round.
    static let slotRound = Duration.seconds(10)

    static let primarySlotKeeping = slotKeeping(
        "mend-slots", asPrimary: true,
        why: "A slot that lost its WAL must be made again; one without a walsender stands still.")
    static let standbySlotKeeping = slotKeeping(
        "tend-slots", asPrimary: false,
        why: "Nobody streams from a standby: slots that stand still would fill its disk.")

    private static func slotKeeping(_ name: String, asPrimary: Bool, why: String) -> Rule {
        Rule(
            name: name, why: why, applies: { $0.writesAsPrimary == asPrimary && $0.isSlotRoundDue },
            action: { .background(.tendSlots($0.slotGoals)) })
    }

    private var isSlotRoundDue: Bool {
        applied != nil && background == nil && !view.slots.isEmpty && now - slotsTendedAt >= Node.slotRound
            && mayTry("tend-slots")
    }

    private var slotOwners: [Member] {
        document?.members.filter { $0.id != me && $0.kind == .data } ?? []
    }

    private var slotGoals: [SlotGoal] {
        slotOwners.map { SlotGoal(slot: $0.slotName, reached: reached(by: $0.id)) }
            .sorted { $0.slot < $1.slot }
    }

    /// What a sibling holds of the history that is followed here; LSNs of other timelines say nothing.
    private func reached(by sibling: MemberID) -> LSN? {
        guard let mine = postgres?.position, let replayed = postgres?.replayed ?? postgres?.position?.lsn,
            let theirs = report(of: sibling)?.report.position, theirs.timeline == mine.timeline
        else { return nil }
        return min(theirs.lsn, replayed)
    }
}
