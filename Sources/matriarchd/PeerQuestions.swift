import Consensus
import Control
import FoundationEssentials
import Platform
import Supervision

/// What agents ask of each other beside deciding: the events of the others, for one merged history.
final class PeerQuestions {
    weak var agent: Agent?
    private struct Waiting {
        var left: Set<MemberID>
        var events: [LoggedEvent]
        var done: ([LoggedEvent], _ silent: [String]) -> Void
        var timer: TimerID
    }

    /// How long a history waits for members that do not answer.
    private static let patience: Int64 = 1_000_000_000
    /// Events per member in one answer: keeps the frame within its limit.
    private static let eventLimit = 300

    private var waiting: [UInt64: Waiting] = [:]
    private var next: UInt64 = 1

    /// Everybody's newest events, oldest first; `silent` names the members that did not answer in time.
    func gatherEvents(_ done: @escaping ([LoggedEvent], _ silent: [String]) -> Void) {
        guard let agent else { return }
        let others =
            agent.node.document?.members.map(\.id).filter { $0 != agent.node.settings.member.id } ?? []
        let own = Array(agent.journal.newest.suffix(PeerQuestions.eventLimit))
        guard !others.isEmpty else { return done(own, []) }
        let id = next
        next += 1
        let timer = agent.loop.at(BootClock.now() + PeerQuestions.patience) { [unowned self] in conclude(id) }
        waiting[id] = Waiting(left: Set(others), events: own, done: done, timer: timer)
        for member in others {
            let envelope = Envelope(
                cluster: agent.node.document?.clusterID, body: .question(id: id, "events"))
            agent.send(envelope, to: .member(member))
        }
    }

    func answer(_ id: UInt64, _ text: String, from sender: Sender, on channel: Channel?) {
        guard let agent, let channel, text == "events",
            agent.node.document?.instance(of: sender.member) == sender.instance
        else { return }
        let events = Array(agent.journal.newest.suffix(PeerQuestions.eventLimit))
        guard let json = try? JSONEncoder().encode(events) else { return }
        let body = Envelope.Body.reply(id: id, String(decoding: json, as: UTF8.self))
        agent.send(Envelope(cluster: agent.node.document?.clusterID, body: body), to: .channel(channel))
    }

    func take(_ id: UInt64, _ text: String, from sender: Sender) {
        guard var line = waiting[id], line.left.remove(sender.member) != nil else { return }
        if let events = try? JSONDecoder().decode([LoggedEvent].self, from: Data(text.utf8)) {
            line.events += events
        }
        waiting[id] = line
        if line.left.isEmpty { conclude(id) }
    }

    private func conclude(_ id: UInt64) {
        guard let line = waiting.removeValue(forKey: id) else { return }
        agent?.loop.cancel(line.timer)
        line.done(
            line.events.sorted { ($0.time, $0.node) < ($1.time, $1.node) }, line.left.map(\.name).sorted())
    }
}
