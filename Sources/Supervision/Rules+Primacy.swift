import Consensus

extension Rule {
    /// The first database of a new cluster (protocol: Bootstrap).
    static let founding: [Rule] = [
        Rule(
            name: "no-cluster", why: "Without a document there is nothing to act on.",
            applies: { $0.document == nil }, action: { .wait($0.seekingReason) }),
        Rule(
            name: "removed",
            why: "Nobody keeps the data of a removed member up to date: it must not serve it.",
            applies: { $0.document?.wasRemoved($0.identity) == true && $0.isAlive },
            action: { .order(.stop(bound: $0.settings.stopTimeout)) }),
        Rule(
            name: "not-a-member", why: "Who is not in the document follows nobody and touches nothing.",
            applies: { !$0.isInCluster },
            action: { .wait($0.joinRefusal ?? "asking to be let in") }),
        Rule(
            name: "unusable-data", why: "A data directory that can't be used needs a person.",
            applies: { $0.postgres?.unusable != nil && !$0.isAlive && !$0.isLeader },
            action: { .wait($0.postgres?.unusable) }),
        Rule(
            name: "found-attempt", why: "Leftovers of an unfinished attempt must be told from data.",
            applies: { node in
                guard node.isLeader, node.raft.canPropose, let document = node.document,
                    document.systemIdentifier == nil
                else { return false }
                return document.founding != Founding(attempt: node.raft.term, member: node.me)
            },
            action: { node in
                guard var document = node.document else { return .wait(nil) }
                document.founding = Founding(attempt: node.raft.term, member: node.me)
                return .propose(document, "\(node.me) makes the first database")
            }),
        Rule(
            name: "found-intent",
            why: "After a crash this member must know that the data directory was its own to make.",
            applies: { $0.isFounder && $0.data.intent != .founding(attempt: $0.raft.term) },
            action: { node in
                var record = node.data
                record.intent = .founding(attempt: node.raft.term)
                return .write(record)
            }),
        Rule(
            name: "found-initialize",
            why: "Only an empty directory, or one left by an unfinished attempt, is used.",
            applies: { node in
                node.isFounder && (node.postgresState == .absent || node.hasForeignAttempt)
                    && node.mayTry("initialize")
            },
            action: { node in
                guard let document = node.document else { return .wait(nil) }
                return .order(.initialize(attempt: node.raft.term, document.credentials))
            }),
        Rule(
            name: "found-commit", why: "The first lineage opens with the system identifier in the document.",
            applies: { node in
                node.isFounder && node.raft.canPropose && node.postgresState == .stopped
                    && node.postgres?.foundingMarker == node.raft.term
                    && node.postgres?.systemIdentifier != nil
                    && node.data.state == .valid
            },
            action: { node in
                guard var document = node.document else { return .wait(nil) }
                document.systemIdentifier = node.postgres?.systemIdentifier
                document.maximumTimeline = 1
                document.append(
                    Lineage(epoch: node.raft.term, timeline: 1, parent: nil, member: node.me, status: .open))
                document.primary = PrimaryRecord(member: node.me, epoch: node.raft.term, timeline: 1)
                return .propose(
                    document, "the first database is made, system \(document.systemIdentifier ?? 0)")
            }),
        Rule(
            name: "found-valid", why: "What this member just made is the cluster's data.",
            applies: { node in
                node.isFounder && node.postgresState == .stopped
                    && node.postgres?.foundingMarker == node.raft.term && node.data.state != .valid
            },
            action: { node in
                var record = node.data
                record.state = .valid
                return .write(record)
            }),
        Rule(
            name: "found-wait", why: "Until the first database is made nobody else has anything to do.",
            applies: { $0.document?.systemIdentifier == nil },
            action: { node in
                if let why = node.postgres?.unusable ?? node.failureText, node.isFounder { return .wait(why) }
                let who = node.document?.founding?.member.name ?? node.raft.leader?.name ?? "a leader"
                return .wait("waiting for \(who) to make the first database")
            }),
        Rule(
            name: "founding-leftover",
            why: "The database of an attempt that came to nothing is nobody's data.",
            applies: { $0.isFoundingLeftover && $0.data.state != .cloning },
            action: { node in .write(node.cloningRecord) }),
        Rule(
            name: "foreign-data", why: "Another system's data is never followed, never wiped.",
            applies: { $0.foreignSystem != nil },
            action: { node in
                if node.isAlive { return .order(.stop(bound: node.settings.stopTimeout)) }
                return .wait("\(node.foreignSystem ?? ""): move it away, or point data_directory elsewhere")
            }),
    ]

    /// Keeping, or taking up again, the role that the document gives to this member.
    static let primacy: [Rule] = [
        Rule(
            name: "await-commit",
            why: "One change of the document at a time, and none before the first of the term.",
            applies: { $0.isLeader && !$0.raft.canPropose && !$0.needsFrozenHerd },
            action: { _ in .wait("a change of the document is on its way") }),
        Rule(
            name: "pause-over", why: "A pause for a while ends by itself.",
            applies: { $0.isLeader && $0.isPaused && $0.pauseLeft == .zero && $0.raft.canPropose },
            action: { node in
                guard var document = node.document else { return .wait(nil) }
                document.pause = nil
                return .propose(document, "the pause is over")
            }),
        Rule(
            name: "resume",
            why: "Postgres never stopped and nobody else led: the same primary goes on in the new term.",
            applies: { $0.canResume },
            action: { node in
                .resume(node.documentWithEpoch())
            }),
        Rule(
            name: "reopen",
            why: "The last primary has all that was ever acknowledged: it starts again where it ended.",
            applies: { $0.canReopen },
            action: { node in
                .propose(node.documentWithEpoch(), "\(node.me) was the last primary and starts again")
            }),
        Rule(
            name: "spent-epoch", why: "An epoch that was disarmed is never armed again: it takes a new term.",
            applies: { node in
                node.isLeader && node.isPrimaryOnRecord && node.view.primary?.epoch == node.raft.term
                    && (node.guardian?.highestDisarmed ?? 0) >= node.raft.term && node.armedEpoch == nil
                    && node.handover == nil
                    && !(node.isAlive && node.postgresState != .standby)
            },
            action: { node in
                .release(to: node.restartCandidate, "epoch \(node.raft.term) is spent")
            }),
        Rule(
            name: "kill-unarmed", why: "A primary without an armed guard has nobody to end it in time.",
            applies: { $0.isAlive && $0.armedEpoch == nil && $0.postgresState == .primary },
            action: { _ in .kill("it runs as primary and the guard is not armed") }),
        Rule(
            name: "arm", why: "The guard must know the deadline before Postgres may write in this term.",
            applies: { node in
                node.isLeader && node.isPrimaryOnRecord && node.view.primary?.epoch == node.raft.term
                    && node.armedEpoch != node.raft.term && node.leaseAhead && node.handover == nil
            },
            action: { _ in .arm }),
        Rule(
            name: "await-lease", why: "Without a majority's word nothing may write.",
            applies: { node in
                node.isLeader && node.isPrimaryOnRecord && node.view.primary?.epoch == node.raft.term
                    && node.armedEpoch != node.raft.term && node.handover == nil
            },
            action: { _ in .wait("waiting for the majority's acknowledgement") }),
        Rule(
            name: "lease-runs-out",
            why: "A primary that would have to be stopped at once is not started.",
            applies: { node in
                node.holdsPrimacy && node.postgresState == .stopped && node.armedEpoch == node.raft.term
                    && node.handover == nil && node.isLeaseRunningOut
            },
            action: { _ in .wait("no majority answers, the lease runs out") }),
        Rule(
            name: "start-primary",
            why: "The member holds the role and its guard is armed: its Postgres must run.",
            applies: { node in
                node.holdsPrimacy && node.postgresState == .stopped && node.armedEpoch == node.raft.term
                    && node.handover == nil && node.postgres?.unusable == nil
                    && node.mayTry("start-primary")
            },
            action: { node in
                guard let configuration = node.managedConfiguration(asPrimary: true) else {
                    return .wait(nil)
                }
                return .order(.startPrimary(configuration))
            }),
        Rule(
            name: "await-primary", why: "Crash recovery takes as long as it takes.",
            applies: { $0.holdsPrimacy && $0.handover == nil && $0.postgresState != .primary },
            action: { node in
                .wait(
                    node.postgres?.unusable ?? node.failureText
                        ?? "Postgres is \(node.postgresState.rawValue)")
            }),
    ]

    /// A planned hand-over (protocol: Switchover).
    static let handingOver: [Rule] = [
        Rule(
            name: "switchover-overtaken",
            why: "A wish of an earlier term, or of another member, means nothing here.",
            applies: { node in
                guard node.writesAsPrimary, let intent = node.document?.switchover else { return false }
                return intent.term != node.raft.term || intent.from != node.me
                    || (node.handover == nil && node.reign?.handoverEnded == true)
            },
            action: { node in
                guard var document = node.document else { return .wait(nil) }
                document.switchover = nil
                return .propose(document, "an unfinished switchover is dropped")
            }),
        Rule(
            name: "switchover-lost-target", why: "Nothing is closed for a target that can't take over.",
            applies: { node in
                guard let handover = node.handover, !handover.isClosed else { return false }
                return node.refusal(of: handover.target, unlessVoter: false) != nil
                    || node.now - handover.startedAt > node.raft.timings.switchoverTimeout
            },
            action: { node in
                let target = node.handover?.target ?? node.me
                return .abandonHandover(
                    node.refusal(of: target, unlessVoter: false) ?? "the hand-over took too long to begin")
            }),
        lendVote, finishVoters,
        Rule(
            name: "switchover-checkpoint", why: "A stop is short only when little is left to write.",
            applies: { $0.handover?.checkpointed == false && $0.background == nil },
            action: { _ in .background(.checkpoint) }),
        Rule(
            name: "switchover-await-checkpoint", why: "Clients go on writing until the checkpoint is done.",
            applies: { $0.handover?.checkpointed == false },
            action: { _ in .wait("checkpoint before the switchover") }),
        awaitTarget,
        Rule(
            name: "switchover-close", why: "New clients are held while the role moves.",
            applies: { $0.handover?.isClosed == false }, action: { _ in .closeClients }),
        Rule(
            name: "switchover-stop", why: "A fast stop sends every last byte to the standbys.",
            applies: { $0.handover?.isStopped == false && $0.isAlive },
            action: { _ in .order(.stop(bound: Node.switchoverStopBound)) }),
        Rule(
            name: "switchover-stopped", why: "With Postgres dead the guard gives the epoch up for good.",
            applies: { $0.handover?.isStopped == false && !$0.isAlive }, action: { _ in .markHandoverStopped }
        ),
        Rule(
            name: "switchover-release", why: "Only a fenced leader may give its term back.",
            applies: { $0.handover?.isStopped == true && $0.armedEpoch == nil && $0.isLeader },
            action: { node in
                let target = node.handover?.target
                return .release(
                    to: target, "\(node.me) is stopped and hands over to \(target?.name ?? "the best")")
            }),
    ]
}

extension Node {
    /// A primary that does not come up so many times is better led by another.
    static let restartLimit = 2
    /// How long a switchover waits for Postgres to stop before the guard ends it.
    static let switchoverStopBound: Duration = .seconds(5)

    /// This leader's attempt to found is committed.
    var isFounder: Bool {
        guard isLeader, let document, document.systemIdentifier == nil else { return false }
        return document.founding == Founding(attempt: raft.term, member: me)
    }

    /// The directory holds what an earlier, unfinished attempt of this member left.
    var hasForeignAttempt: Bool {
        guard let marker = postgres?.foundingMarker, postgresState == .stopped else { return false }
        return marker != raft.term
    }

    /// What is here was made by this member's own attempt, by the record and by the marker, and another's
    /// became the cluster's.
    var isFoundingLeftover: Bool {
        guard !isAlive, foreignSystem != nil, let marker = postgres?.foundingMarker else { return false }
        return data.intent == .founding(attempt: marker)
    }

    func mayTry(_ order: String) -> Bool {
        failures.retryAt(order).map { now >= $0 } ?? true
    }

    var failureText: String? { failures.last.map { "\($0.order) failed: \($0.reason)" } }

    func documentWithEpoch() -> ClusterDocument {
        guard var document else { fatalError("no document to put an epoch into") }
        document.primary?.epoch = raft.term
        document.switchover = nil
        return document
    }

    /// Who could take over from a primary that does not start: nobody streams from a dead one.
    var restartCandidate: MemberID? { isPaused ? nil : candidates(streaming: false).first }

    /// Whether the Postgres of this primary can't be had back, and somebody else may do better.
    var mustLetGo: Bool {
        guard let reign, work == nil else { return false }
        if mayHaveGoneBack { return true }
        guard reign.restarts >= Node.restartLimit || postgres?.unusable != nil else { return false }
        return restartCandidate != nil
    }

    /// Who takes over when this node is stopped.
    var stopCandidate: MemberID? {
        guard !isPaused, let since = stoppingSince, now - since < raft.timings.switchoverTimeout,
            othersAreMajority
        else { return nil }
        return candidates.first
    }

    /// Whether those who are reachable can lead on without this member: who is left without a majority would
    /// only be led into a dead end.
    var othersAreMajority: Bool {
        document?.voters.isMajority { $0 != me && isReachable($0) } ?? false
    }

    /// Why a planned stop of the open primary hands over to nobody.
    var stopWithoutHandover: String? {
        guard stopping, holdsPrimacy, stopCandidate == nil else { return nil }
        if isPaused { return "the cluster is paused" }
        if candidates.isEmpty { return "nobody can take over" }
        if othersAreMajority { return "the hand-over did not come about in time" }
        let left = document?.voters.all.filter { $0 != me && isReachable($0) }.map(\.name) ?? []
        return "the other voters that can be reached (\(left.joined(separator: ", "))) are no majority"
    }

    /// Members that could take the role over now, the freshest first.
    var candidates: [MemberID] { candidates(streaming: true) }

    private func candidates(streaming: Bool) -> [MemberID] {
        guard let document else { return [] }
        var able: [(id: MemberID, lsn: LSN)] = []
        for member in document.members where member.id != me {
            guard refusal(of: member.id, unlessStreaming: streaming) == nil else { continue }
            able.append((member.id, report(of: member.id)?.report.position?.lsn ?? .zero))
        }
        // A planned hand-over loses nothing, whoever of them takes over: what operators prefer comes first.
        func order(_ line: (id: MemberID, lsn: LSN)) -> (Int, LSN) {
            (document.member(line.id)?.priority ?? 1, line.lsn)
        }
        able.sort { left, right in
            order(left) == order(right) ? left.id < right.id : order(left) > order(right)
        }
        return able.map(\.id)
    }

    /// Why the role can't be handed to this member now; nil when it can.
    func refusal(
        of target: MemberID, unlessStreaming: Bool = true, unlessVoter: Bool = true
    ) -> String? {
        guard let document, let member = document.member(target) else { return "\(target) is not a member" }
        if target == document.primary?.member { return "\(target) is the primary already" }
        if member.kind == .witness { return "\(target) is a witness: it holds no data" }
        if member.region != document.primaryRegion {
            return "\(target) is in region \(member.region), leaders come from \(document.primaryRegion) only"
        }
        if member.neverLeads { return "\(target) is tagged nofailover or priority=0" }
        if !document.voters.contains(target) {
            if unlessVoter { return "\(target) is not a voter (who is named gets a vote)" }
            if member.isLeaving { return "\(target) is being removed" }
        }
        guard let heard = report(of: target), isReachable(target) else { return "\(target) is not reachable" }
        if let unfit = heard.report.unfit { return "\(target) can't lead: \(unfit)" }
        guard heard.report.dataState == .valid else {
            return "\(target)'s data is \(heard.report.dataState.rawValue)"
        }
        guard heard.report.streaming || !unlessStreaming else { return "\(target) is not streaming" }
        if let mine = postgres?.position, let theirs = heard.report.position {
            let lag = theirs.lsn.behind(mine.lsn)
            if lag > document.maximumLagOnFailover {
                return "\(target) is \(lag) bytes behind, more than maximum_lag_on_failover "
                    + "(\(document.maximumLagOnFailover))"
            }
        }
        return nil
    }
}
