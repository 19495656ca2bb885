import Consensus

extension Rule {
    /// Data that is copied anew or taken back to the history (protocol: Rejoining). The record on disk says
    /// so before the first byte changes.
    static let copying: [Rule] = [
        Rule(
            name: "witness", why: "A witness holds no data.",
            applies: { $0.view.isWitness }, action: { _ in .wait(nil) }),
        Rule(
            name: "adopt-data",
            why: "Data found without the state that vouched for it must prove itself again.",
            applies: { node in
                node.data.state == .none && node.postgresState != .absent
                    && node.postgres?.systemIdentifier != nil
                    && node.postgres?.systemIdentifier == node.document?.systemIdentifier
            },
            action: { node in
                var record = node.data
                record.state = .joining
                return .write(record)
            }),
        Rule(
            name: "await-primary-elsewhere",
            why: "Without an open primary there is nobody to follow or to copy from.",
            applies: { !$0.mayFollow },
            action: { node in
                if node.isPrimaryOnRecord, node.hasOpenLineage, !node.isAlive {
                    return .wait("the last primary waits for an election before it starts")
                }
                return .wait(node.strandedByLoan ?? "no open primary is known")
            }),
        Rule(
            name: "reinitialize", why: "An operator wants this member to copy its data anew.",
            applies: { $0.isCopyAsked && $0.isSourceReachable },
            action: { node in
                var record = node.cloningRecord
                record.copiesBegun = node.myRecord?.copiesAsked
                return .giveUp(record, "an operator asked for a new copy")
            }),
        Rule(
            name: "clone", why: "Nothing usable is here, and the record says so on disk.",
            applies: {
                $0.data.state == .cloning && !$0.isAlive && $0.mayTry("clone") && $0.isSourceReachable
                    && $0.hasCopyTurn
            },
            action: { node in node.clonePlan.map { .order(.clone($0)) } ?? .wait(nil) }),
        Rule(
            name: "stop-for-clone", why: "A directory is replaced only while nothing runs in it.",
            applies: { $0.data.state == .cloning && $0.isAlive },
            action: { .order(.stop(bound: $0.settings.stopTimeout)) }),
        Rule(
            name: "await-clone", why: "The next attempt waits for its time, its source, or its turn.",
            applies: { $0.data.state == .cloning },
            action: { .wait(($0.mayTry("clone") ? nil : $0.failureText) ?? $0.copyWait) }),
        Rule(
            name: "stop-for-rewind", why: "Only what was stopped cleanly can be taken back.",
            applies: { $0.data.state == .rewinding && $0.isRewindAhead && $0.isAlive },
            action: { .order(.stop(bound: $0.settings.stopTimeout)) }),
        Rule(
            name: "rewind",
            why: "Only what differs from the primary is copied, and the record says so on disk.",
            applies: { $0.data.state == .rewinding && $0.isRewindAhead },
            action: { node in
                guard node.hasCheckpointedSource else { return .wait("waiting for the primary to rewind to") }
                guard let plan = node.rewindPlan else {
                    return .giveUp(node.cloningRecord, "the document does not know its log any more")
                }
                return .order(.rewind(plan))
            }),
        Rule(
            name: "torn-rewind", why: "What a rewind was interrupted in is neither the old nor the new data.",
            applies: { $0.data.state == .rewinding || $0.postgres?.isTorn == true },
            action: { .giveUp($0.cloningRecord, "a rewind was interrupted: the data is copied anew") }),
        Rule(
            name: "mark-cloning",
            why: "The record says that the data does not count before the first byte changes.",
            applies: { $0.postgresState == .absent && $0.data.state != .cloning },
            action: { node in .write(node.cloningRecord) }),
    ]

    /// A log that left the history, once it is known where it ends and what the primary has.
    static let diverging: [Rule] = [
        Rule(
            name: "mark-rewinding",
            why: "WAL that is not part of the history is taken back, with what it did to the data.",
            applies: { $0.hasDiverged && $0.isWorthRewinding },
            action: { node in
                guard node.mayTry("rewind") else { return .wait(node.failureText) }
                guard node.hasCheckpointedSource else {
                    return .wait("waiting for the primary's first checkpoint on its timeline, to rewind to")
                }
                return .giveUp(node.rewindingRecord, node.divergence?.description ?? "")
            }),
        Rule(
            name: "diverged",
            why: "WAL that is not part of the history and can't be taken back: the data is replaced.",
            applies: { $0.hasDiverged },
            action: { node in
                let reason = node.failures.reason("rewind").map { "can't be rewound (\($0))" }
                if node.data.isStray == true {
                    return .giveUp(node.cloningRecord, "what was written by hand is not part of the history")
                }
                return .giveUp(
                    node.cloningRecord,
                    "the log that ends at \(node.postgres?.settled?.description ?? "") is not part of the "
                        + "history and \(reason ?? "the document does not know how it left it")")
            }),
    ]
}

extension Node {
    /// Attempts at a rewind that changed nothing, in a row, before the data is copied instead.
    private static let rewindLimit = 3

    var hasDiverged: Bool {
        guard postgres?.gate == .closed, let settled = postgres?.settled, let document else { return false }
        if data.isStray == true { return true }
        switch document.standing(of: settled) {
        case .diverged, .unknown: return true
        case .current, .ancestor: return false
        }
    }

    /// Nil for a log that only seems to be on a timeline of ours.
    var divergence: Divergence? {
        data.isStray == true ? nil : postgres?.settled.flatMap { document?.divergence(of: $0) }
    }

    /// This agent left the data as a standby's.
    var isKnownStandby: Bool { data.state == .valid && data.intent == .standby && data.isStray != true }

    /// Somebody promoted it by hand, or started it without us: it may hold other bytes under a timeline's
    /// number that the cluster gives to another promotion later.
    mutating func noteStray(_ reason: String) {
        var record = data
        record.isStray = true
        self.record(.init("stray", .warning, "\(me)'s data is copied anew: \(reason)"))
        write(record)
    }

    var isWorthRewinding: Bool { divergence != nil && failures.count("rewind") < Node.rewindLimit }

    /// The data is of no use any more. What is known of where it left the history stays known.
    var cloningRecord: DataRecord {
        var record = data
        record.state = .cloning
        record.intent = .standby
        if hasDiverged { record.divergence = divergence }
        return record
    }

    var rewindingRecord: DataRecord {
        var record = cloningRecord
        record.state = .rewinding
        return record
    }

    var isSourceReachable: Bool {
        guard let beacon = freshBeacon else { return false }
        return beacon.primary?.member == document?.primary?.member && beacon.opened
    }

    var isCopyAsked: Bool { myRecord.map { $0.copiesAsked > data.copiesBegun ?? 0 } ?? false }

    /// The primary has its data on its own timeline: right after a promotion Postgres takes it for a copy of
    /// what it is compared with.
    var hasCheckpointedSource: Bool {
        isSourceReachable && freshBeacon?.checkpointTimeline == document?.primary?.timeline
    }

    var clonePlan: ClonePlan? {
        guard let source = copySource, let system = document?.systemIdentifier,
            let configuration = managedConfiguration(asPrimary: false)
        else { return nil }
        return ClonePlan(
            member: me, source: source, systemIdentifier: system, configuration: configuration,
            divergence: data.divergence)
    }

    /// By the newest document: the primary may have changed since the record was written.
    var rewindPlan: RewindPlan? {
        guard let source = view.joiningUpstream, let document, let system = document.systemIdentifier,
            let end = data.divergence?.end, let divergence = document.divergence(of: end)
        else { return nil }
        let others = document.members.filter { $0.kind == .data && $0.id != me && $0.id != source.member }
        let siblings = others.map { other in
            var sibling = source
            (sibling.member, sibling.address, sibling.port) = (other.id, other.address, other.postgresPort)
            return sibling
        }
        return RewindPlan(
            member: me, source: source, siblings: siblings, systemIdentifier: system, divergence: divergence)
    }

    mutating func concludeClone(_ outcome: PostgresOutcome) {
        guard outcome.result == .done, data.state == .cloning else { return }
        failures.clear("rewind")
        becomeJoining()
    }

    mutating func concludeRewind(_ outcome: PostgresOutcome) {
        isRewindAhead = false
        guard data.state == .rewinding else { return }
        switch outcome.result {
        // Where nothing was changed the data is judged once more, from the start.
        case .done, .failed, .promoted: becomeJoining()
        case .impossible(let reason):
            var record = data
            record.state = .cloning
            self.record(.init("cloning", .warning, "\(me) can't be rewound and is copied anew: \(reason)"))
            write(record)
        }
    }

    private mutating func becomeJoining() {
        var record = data
        record.state = .joining
        record.divergence = nil
        record.isStray = nil
        write(record)
    }
}
