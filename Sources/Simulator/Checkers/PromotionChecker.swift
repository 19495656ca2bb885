import Consensus
import Supervision

/// I9, I27: whoever is promoted holds the most of all voters who were frozen; a majority of them was; and in
/// asynchronous mode it is not further behind than the settings allow.
///
/// Asynchronous mode may lose what no frozen member had. What was lost is counted, not forbidden.
struct PromotionChecker: Checker {
    let name = "I9 I27 promotion"
    let sights: [Sight] = [.message, .write, .history]

    private struct Answer {
        let from: MemberID
        let answer: FreezeAnswer
    }

    private var heard: [MemberID: [Term: [Answer]]] = [:]
    private var judged: [Timeline] = []

    mutating func observe(_ seen: Observation, in world: World) -> String? {
        switch seen {
        case .delivered(let machine, let envelope, let from):
            guard case .frozen(let answer) = envelope.body else { return nil }
            heard[machine.id, default: [:]][answer.term, default: []].append(
                Answer(from: from.id, answer: answer))
            return nil
        case .persisting(let machine, let state):
            guard let document = state.hard.accepted?.document, let lineage = document.currentLineage,
                lineage.status == .reserved, lineage.epoch == state.hard.term, lineage.member == machine.id,
                lineage.parent != nil, !judged.contains(lineage.timeline)
            else { return nil }
            judged.append(lineage.timeline)
            return judge(machine, document, lineage, world)
        case .promoted(let machine, _, let log):
            world.tally.promotions += 1
            world.tally.lostWrites += lost(by: log, of: machine, world)
            return nil
        default: return nil
        }
    }

    private func judge(
        _ machine: Machine, _ document: ClusterDocument, _ lineage: Lineage, _ world: World
    ) -> String? {
        let answers = heard[machine.id]?[lineage.epoch] ?? []
        let isMajority = document.voters.isMajority { voter in
            // A witness has nothing to freeze: whatever it said would be that.
            voter == machine.id || document.member(voter)?.kind == .witness
                || answers.contains { $0.from == voter && $0.answer.isFinal }
        }
        guard isMajority else { return "\(machine.id) chose itself before a majority was frozen" }
        let mine = machine.postgres.position
        let before = machine.agent.node?.document ?? document
        for answer in answers where document.voters.contains(answer.from) {
            guard case .frozen(let theirs) = answer.answer.verdict, answer.answer.dataState == .valid,
                document.isFresher(theirs, than: mine), isInHistory(theirs, of: answer.from, before)
            else { continue }
            // Who can't be promoted gives its data up here within the allowed lag; pulling it comes later.
            let isWithinLag = mine.lsn.behind(theirs.lsn) <= document.maximumLagOnFailover
            if answer.answer.unpromotable != nil, isWithinLag { continue }
            return "\(machine.id) is promoted at \(mine), and \(answer.from) was frozen at \(theirs)"
        }
        let known =
            answers.compactMap(\.answer.lastPrimary).filter { isInHistory($0, of: nil, before) }.map(\.lsn)
            .max()
            ?? .zero
        guard mine.lsn.behind(known) <= document.maximumLagOnFailover else {
            return "\(machine.id) is promoted at \(mine), more than the allowed lag behind \(known)"
        }
        return nil
    }

    /// Whether the position lies in the history that the herd had when it chose: what earlier failovers
    /// gave up is not lost again.
    private func isInHistory(_ position: Position, of member: MemberID?, _ before: ClusterDocument) -> Bool {
        switch before.standing(of: position) {
        case .current, .ancestor: true
        case .diverged, .unknown: member.map { before.isUnopenedTip(position, of: $0) } ?? false
        }
    }

    /// Acknowledged writes of any other directory's history that the new one does not hold and that were
    /// not given up before.
    private func lost(by log: Log, of machine: Machine, _ world: World) -> Int {
        var lost: Set<WriteID> = []
        for other in world.machines where other !== machine {
            guard let theirs = other.postgres.directory?.log else { continue }
            lost.formUnion(world.wal.writes(of: theirs, notIn: log).filter(world.clients.isAcknowledged))
        }
        return world.clients.giveUp(lost)
    }
}

extension FreezeAnswer {
    /// The member has said its last word for the term.
    var isFinal: Bool {
        switch verdict {
        case .frozen, .noData: true
        case .pending, .refused: false
        }
    }
}
