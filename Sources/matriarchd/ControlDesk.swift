import Config
import Consensus
import Control
import FoundationEssentials
import HTTP
import Platform
import Supervision

/// Answers what comes in over the control socket, from the node's view and through the node.
final class ControlDesk: ControlServerDelegate {
    /// Clients that follow the events.
    private static let followerLimit = 16

    private unowned let agent: Agent
    private var server: ControlServer?
    /// How often the other members are asked for news while somebody follows, in nanoseconds.
    private static let followEvery: Int64 = 1_000_000_000
    /// Events that a follower is remembered to have; beyond it those nobody tells any more are forgotten.
    private static let seenLimit = 10_000

    private struct Follower {
        /// Nil: all nodes.
        let node: String?
        var seen: Set<LoggedEvent>
    }

    private var followers: [ControlRequestID: Follower] = [:]
    private var isAsking = false

    init(agent: Agent) { self.agent = agent }

    func start(_ path: String, _ loop: EventLoop) throws {
        server = try ControlServer(path: path, loop: loop, delegate: self)
        agent.journal.onEvent = { [unowned self] event in tellFollowers(event) }
    }

    func stop() { server?.stop() }

    func control(
        _ id: ControlRequestID, asks entry: CommandEntry, arguments: [String: String], by: ControlCredentials
    ) {
        switch entry.name {
        case "status": status(id)
        case "member list": members(id)
        case "events": events(id, arguments)
        case "failover": failover(id, arguments)
        case "member remove": change(id, arguments) { .removeMember($0) }
        case "member promote-voter": change(id, arguments) { .promoteVoter($0) }
        case "member demote-voter": change(id, arguments) { .demoteVoter($0) }
        case "reinit": change(id, arguments) { .reinitialize($0) }
        case "restart": change(id, arguments) { .restartPostgres($0) }
        case "pause": pause(id, arguments)
        case "resume": agent.request(.resume) { [weak self] answer in self?.conclude(id, answer) }
        default: server?.finish(id, .usage, reason: "\(entry.name) is not for the agent")
        }
    }

    func controlClientLeft(_ id: ControlRequestID) { followers[id] = nil }

    private func status(_ id: ControlRequestID) {
        let report = StatusPublisher.dated(agent.node.status(at: Agent.now()))
        reply(id, report)
    }

    /// In the form of the answers over HTTP: sorted keys, and positions that a simple script can read.
    private static func json(_ value: some Encodable) throws -> Data {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return try encoder.encode(value)
    }

    private func reply(_ id: ControlRequestID, _ value: some Encodable) {
        guard let json = try? ControlDesk.json(value) else {
            server?.finish(id, .refused, reason: "the answer can't be put into words")
            return
        }
        server?.send(id, data: Array(json))
        server?.finish(id, .done)
    }

    private func members(_ id: ControlRequestID) {
        let document = agent.node.document
        let lines = document.map { document in document.members.map { MemberLine($0, of: document) } } ?? []
        reply(id, lines)
    }

    private func events(_ id: ControlRequestID, _ arguments: [String: String]) {
        let node = arguments["node"]
        let follow = arguments["follow"] != nil
        agent.bystander.gatherEvents { [weak self] events, silent in
            guard let self else { return }
            for event in events where node == nil || event.node == node { send(event, to: id) }
            if !silent.isEmpty { server?.send(id, line: "no word from \(silent.joined(separator: ", "))") }
            guard follow else {
                server?.finish(id, .done)
                return
            }
            guard followers.count < ControlDesk.followerLimit else {
                server?.finish(id, .tryAgain, reason: "\(ControlDesk.followerLimit) clients follow already")
                return
            }
            followers[id] = Follower(node: node, seen: Set(events))
            askAgain()
        }
    }

    /// Our own events are told as they happen.
    private func tellFollowers(_ event: LoggedEvent) {
        for id in Array(followers.keys) { pass([event], to: id) }
    }

    /// Those of the others are asked for, as long as somebody follows.
    private func askAgain() {
        guard !isAsking, !followers.isEmpty else { return }
        isAsking = true
        agent.loop.at(BootClock.now() + ControlDesk.followEvery) { [weak self] in
            self?.agent.bystander.gatherEvents { [weak self] events, _ in
                guard let self else { return }
                for id in Array(followers.keys) { pass(events, to: id) }
                isAsking = false
                askAgain()
            }
        }
    }

    private func pass(_ events: [LoggedEvent], to id: ControlRequestID) {
        guard var follower = followers[id] else { return }
        let news = events.filter { follower.seen.insert($0).inserted }
        if follower.seen.count > ControlDesk.seenLimit { follower.seen.formIntersection(events) }
        followers[id] = follower
        for event in news where follower.node == nil || follower.node == event.node { send(event, to: id) }
    }

    private func send(_ event: LoggedEvent, to id: ControlRequestID) {
        guard let json = try? ControlDesk.json(event) else { return }
        server?.send(id, data: Array(json))
    }

    private func failover(_ id: ControlRequestID, _ arguments: [String: String]) {
        let target = arguments["to"].map { MemberID($0) }
        let command = Command.switchover(
            target: target, dryRun: arguments["dry-run"] != nil, reason: "command")
        agent.request(command) { [weak self] answer in self?.conclude(id, answer) }
    }

    private func pause(_ id: ControlRequestID, _ arguments: [String: String]) {
        var length: Duration?
        if let text = arguments["for"] {
            guard let read = Quantity.parsed(text), read >= .seconds(1) else {
                server?.finish(
                    id, .usage, reason: "--for \(text): must be a duration of a second or more, such as 1h")
                return
            }
            length = read
        }
        let until = length.map { WallClock.now().seconds + $0.milliseconds / 1000 }
        agent.request(.pause(milliseconds: length?.milliseconds, until: until)) { [weak self] answer in
            self?.conclude(id, answer)
        }
    }

    /// A command about one member.
    private func change(
        _ id: ControlRequestID, _ arguments: [String: String], _ command: (MemberID) -> Command
    ) {
        let name = arguments["node"] ?? agent.configuration.nodeName
        agent.request(command(MemberID(name))) { [weak self] answer in self?.conclude(id, answer) }
    }

    private func conclude(_ id: ControlRequestID, _ answer: CommandAnswer) {
        switch answer.verdict {
        case .accepted:
            if let json = try? ControlDesk.json(answer) { server?.send(id, data: Array(json)) }
            server?.finish(id, .done)
        case .refused: server?.finish(id, .refused, reason: answer.reason)
        case .tryAgain: server?.finish(id, .tryAgain, reason: answer.reason)
        }
    }
}
