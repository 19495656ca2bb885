import Consensus

/// A member's place among those that copy the primary.
struct CopyTurn: Hashable, Sendable {
    var member: MemberID
    /// Since when it may; nil while it waits.
    var since: Instant?
}

/// Each copy takes two walsenders and the primary's disk: only so many are made at once (protocol:
/// Rejoining).
extension Node {
    static let copyLimit = 2
    /// Who does not use its turn gives it to the next.
    private static let turnPatience = Duration.seconds(30)

    /// As the primary: who may copy now. Turns go by the order of asking.
    mutating func shareCopyTurns() -> [MemberID] {
        let asking = reports.filter { heard in
            heard.report.dataState == .cloning && isReachable(heard.member)
                && document?.member(heard.member)?.kind == .data
        }
        var turns = copyTurns.filter { turn in asking.contains { $0.member == turn.member } }
        for heard in asking where !turns.contains(where: { $0.member == heard.member }) {
            turns.append(CopyTurn(member: heard.member, since: nil))
        }
        // Begun is begun, under whichever leader.
        let copying = asking.filter { $0.report.copying == true }.map(\.member)
        for index in turns.indices where copying.contains(turns[index].member) { turns[index].since = now }
        let ended = now - Node.turnPatience
        let isIdle = { (turn: CopyTurn) in turn.since.map { $0 < ended } ?? false }
        turns =
            turns.filter { !isIdle($0) }
            + turns.filter(isIdle).map { CopyTurn(member: $0.member, since: nil) }
        var free = Node.copyLimit - turns.count { $0.since != nil }
        for index in turns.indices where free > 0 && turns[index].since == nil {
            turns[index].since = now
            free -= 1
        }
        copyTurns = turns
        return turns.filter { $0.since != nil }.map(\.member)
    }

    var hasCopyTurn: Bool { freshBeacon?.copiers?.contains(me) ?? true }

    var copyWait: String {
        guard isSourceReachable, !hasCopyTurn else { return "waiting for the primary to copy from" }
        let others = freshBeacon?.copiers?.map(\.name).joined(separator: " and ") ?? ""
        return "waiting for its turn to copy the primary, after \(others)"
    }
}
