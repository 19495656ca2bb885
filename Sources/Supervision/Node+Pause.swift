public import Consensus

/// An operator's word that nobody is to be promoted for a while (protocol: Pause).
public struct Pause: Hashable, Codable, Sendable {
    /// The state of the document that it was asked in: tells one pause from the next.
    public var since: Version
    /// It ends by itself after this; nil is never.
    public var milliseconds: Int64?
    /// The same for people, in seconds since 1970 by the clock of the agent that was asked.
    public var until: Int64?
}

/// The pause as this agent learned of it, on its own clock.
struct HeardPause: Sendable {
    let pause: Pause
    let at: Instant
}

extension Node {
    var isPaused: Bool { document?.pause != nil }

    /// How long the pause goes on by itself; nil when not paused, or paused without an end.
    var pauseLeft: Duration? {
        guard let heard = heardPause, let length = heard.pause.milliseconds else { return nil }
        return max(.zero, heard.at + .milliseconds(length) - now)
    }

    mutating func notePause(_ document: ClusterDocument) {
        guard document.pause != heardPause?.pause else { return }
        heardPause = document.pause.map { HeardPause(pause: $0, at: now) }
        let end = document.pause?.milliseconds.map { " for \($0 / 1000) s" } ?? ""
        let text = isPaused ? "paused\(end): nobody is promoted, the lease rules on" : "no longer paused"
        record(.init(isPaused ? "paused" : "resumed", .warning, text))
    }

    /// While paused only the primary on record may lead on: whom another leader gives the term to.
    var pausedPrimary: MemberID? {
        guard isLeader, isPaused, raft.canPropose, armedEpoch == nil, postgresState != .primary,
            let primary = document?.primary?.member, primary != me, isReachable(primary),
            let heard = report(of: primary)?.report, heard.unfit == nil,
            document?.voters.contains(primary) == true,
            !transfers.contains(where: { $0.member == primary && now - $0.at < raft.timings.lease })
        else { return nil }
        return primary
    }

    mutating func judgePause(
        _ milliseconds: Int64?, _ until: Int64?, _ document: ClusterDocument
    ) -> CommandAnswer {
        if let reason = changesBlocked(document) { return CommandAnswer(verdict: .tryAgain, reason: reason) }
        var next = document
        next.pause = Pause(since: raft.hard.acceptedVersion, milliseconds: milliseconds, until: until)
        drive(.propose(next))
        return CommandAnswer(
            verdict: .accepted,
            lines: [
                "no failover and no change of the voters by itself from now on",
                "a primary that loses its majority still stops: the lease rules on",
            ])
    }

    mutating func judgeResume(_ document: ClusterDocument) -> CommandAnswer {
        guard document.pause != nil else {
            return CommandAnswer(verdict: .accepted, lines: ["the cluster is not paused"])
        }
        guard raft.canPropose else {
            return CommandAnswer(verdict: .tryAgain, reason: "the document is being changed")
        }
        var next = document
        next.pause = nil
        drive(.propose(next))
        return CommandAnswer(verdict: .accepted, lines: ["failover happens by itself again"])
    }
}
