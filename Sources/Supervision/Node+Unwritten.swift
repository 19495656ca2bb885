import Consensus

/// A state directory that is full, read-only or broken (protocol: A disk that refuses).
///
/// What waits for the disk waits on: nothing is said that a crash could take back. So this member takes no
/// new term, no vote and no change; it goes on with what it has.
extension Node {
    static let unwrittenState: [Rule] = [
        Rule(
            name: "unwritten-release",
            why: "A leader that can't write its state down can't promote itself, and keeps others from it.",
            applies: { node in
                node.stateTrouble != nil && node.isLeader && node.handover == nil && node.armedEpoch == nil
                    && node.postgresState != .primary && node.restartCandidate != nil
            },
            action: { node in
                .release(to: node.restartCandidate, "\(node.me) can't write its state down")
            })
    ]

    mutating func learn(stateTrouble trouble: String?) {
        guard trouble != stateTrouble else { return }
        let isNew = (trouble == nil) != (stateTrouble == nil)
        stateTrouble = trouble
        guard isNew else { return }
        if let trouble {
            record(
                .init(
                    "state-unwritten", .alarm,
                    "\(me) can't write its state down: \(trouble). It takes no new term, vote or change "
                        + "until it can; make room, or make the directory writable"))
        } else {
            record(.init("state-written", .notice, "\(me) can write its state down again"))
        }
    }

    /// In words, for `status` and for whoever looks for a leader.
    var unwrittenReason: String? { stateTrouble.map { "its state can't be written: \($0)" } }
}
