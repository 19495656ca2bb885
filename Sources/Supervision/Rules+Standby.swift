import Consensus

extension Rule {
    /// Rejoining (protocol: Rejoining). Every start is with the gate closed, so that where the own log ends
    /// is known before anything is received.
    static let settling: [Rule] = [
        Rule(
            name: "await-standby", why: "Replaying the local log comes first.",
            applies: { $0.postgresState != .standby },
            action: { node in .wait(node.failureText ?? "Postgres is \(node.postgresState.rawValue)") }),
        Rule(
            name: "close-gate",
            why: "Before another history is followed it must be known where this log ends.",
            applies: { node in
                node.postgres?.gate == .open && !node.streamsAsDesired && !node.followsDesiredHistory
            },
            action: { node in
                node.mayTry("freeze")
                    ? .order(.freeze) : .wait(node.failureText ?? "the walreceiver is being stopped")
            }),
        Rule(
            name: "await-settled", why: "Where the own log ends decides between following and copying.",
            applies: { $0.postgres?.gate == .closed && $0.postgres?.settled == nil },
            action: { _ in .wait("local WAL is being replayed") }),
        Rule(
            name: "await-primary-word",
            why: "An old document alone is no ground for following anyone, and none for giving data up.",
            applies: { $0.postgres?.gate == .closed && !$0.hasPrimaryWord },
            action: { node in
                .wait("waiting for the word of \(node.document?.primary?.member.name ?? "the primary")")
            }),
    ]

    static let following: [Rule] = [
        Rule(
            name: "ahead-of-primary",
            why: "A primary that went back in time must not be followed, nor this data wiped.",
            applies: { $0.isAheadOfPrimary },
            action: { _ in
                .wait("this member holds more of the current timeline than the primary: a person must look")
            }),
        Rule(
            name: "follow", why: "The history is the same: only what is missing is streamed.",
            applies: { !$0.streamsAsDesired && $0.mayTry("follow") },
            action: { node in
                guard let upstream = node.desiredUpstream else { return .wait(nil) }
                return .order(.follow(upstream))
            }),
        Rule(
            name: "become-valid",
            why: "It streams, and holds all that the primary had after the copy was made.",
            applies: { $0.data.state == .joining && $0.hasCaughtUp },
            action: { node in
                var record = node.data
                record.state = .valid
                record.intent = .standby
                return .write(record)
            }),
        Rule(
            name: "intent-standby", why: "After a crash the member must know that it was no primary.",
            applies: { $0.data.intent != .standby },
            action: { node in
                var record = node.data
                record.intent = .standby
                return .write(record)
            }),
        Rule(
            name: "configure-standby", why: "pg_hba and settings follow the document here too.",
            applies: { node in
                node.background == nil && node.mayTry("configure")
                    && node.managedConfiguration(asPrimary: false) != node.applied
            },
            action: { node in
                guard let configuration = node.managedConfiguration(asPrimary: false) else {
                    return .wait(nil)
                }
                return .background(.configure(configuration))
            }),
        Node.standbySlotKeeping,
        Rule(
            name: "standby", why: "It follows the primary: nothing to do.",
            applies: { _ in true },
            action: { node in
                if node.postgres?.streaming != true { return .wait("not streaming yet") }
                return .wait(node.data.state == .joining ? "catching up" : nil)
            }),
    ]
}

extension Node {
    /// Frozen for a term whose primary is not open yet.
    var isHeldFrozen: Bool {
        guard data.frozenTerm > 0 else { return false }
        guard hasOpenLineage, let primary = view.primary else { return true }
        return primary.epoch < data.frozenTerm
    }

    /// Data that Postgres can be started on as a standby.
    var hasUsableData: Bool {
        guard data.state == .valid || data.state == .joining, postgres?.unusable == nil,
            postgres?.isTorn != true
        else { return false }
        return !waitsToReopen
    }

    /// The last primary does not start as a standby while it may be about to start as primary again.
    private var waitsToReopen: Bool {
        guard isPrimaryOnRecord, hasOpenLineage, let primary = view.primary,
            data.frozenTerm <= primary.epoch,
            unfit == nil
        else { return false }
        if isPaused { return raft.leader != me || canReopen || !raft.canPropose }
        if raft.leader == me { return canReopen || !raft.canPropose }
        return raft.leader == nil && now - max(raft.lastHeard, startedAt) < raft.timings.promise * 3
    }

    /// The primary on record was heard to write within a lease.
    var hasPrimaryWord: Bool {
        guard let word = freshBeacon?.primary, let primary = view.primary else { return false }
        return word.member == primary.member && word.timeline == primary.timeline
    }

    /// Another name or upstream of the same history: following it needs no closed gate.
    var followsDesiredHistory: Bool {
        guard let followed, let desired = desiredUpstream else { return false }
        return followed.upstream.timeline == desired.timeline && followed.upstream.member == desired.member
    }

    var isAheadOfPrimary: Bool {
        guard postgres?.gate == .closed, let settled = postgres?.settled, let heard = beacon,
            let theirs = heard.beacon.position, theirs.timeline == settled.timeline,
            document?.primary?.timeline == theirs.timeline, heard.beacon.opened
        else { return false }
        return settled.lsn > theirs.lsn
    }

    /// Streaming, and past a position that the primary had after this copy was made.
    var hasCaughtUp: Bool {
        guard let mark = joiningMark, let postgres, postgres.streaming, streamsAsDesired,
            let position = postgres.position, position.timeline == mark.position.timeline
        else { return false }
        return position.lsn >= mark.position.lsn
    }

    /// Called with each beacon: remembers the first position heard since the data began to join.
    mutating func markJoining(_ beacon: Beacon) {
        guard data.state == .joining, work == nil, postgresState == .standby else {
            joiningMark = nil
            return
        }
        guard joiningMark?.term != beacon.term, beacon.opened, let position = beacon.position else { return }
        joiningMark = JoiningMark(term: beacon.term, position: position)
    }

    mutating func concludeStop(_ outcome: PostgresOutcome) {
        guard outcome.result == .done else {
            if handover != nil {
                record(.init("stop-bounded", .warning, "Postgres did not stop in time and was ended"))
            }
            return
        }
        // The order ends with the guard's proof of death, which may overtake the guard's own word here.
        guard var known = guardian, known.isPostgresAlive else { return }
        known.isPostgresAlive = false
        learn(known)
        learn(outcome.report)
    }

    mutating func concludePromotion(_ plan: PromotionPlan, _ outcome: PostgresOutcome) {
        // Whatever the guard has to say about it by now: this is the promotion that was reserved in this
        // term.
        guard isReservedHere, document?.primary?.timeline == plan.timeline else { return }
        switch outcome.result {
        case .promoted(let timeline, let switchLSN): reign?.promoted = (timeline, switchLSN)
        case .done: reign?.promotionFailed = true
        case .failed, .impossible: failPromotion()
        }
    }

    private mutating func failPromotion() {
        reign?.promotionFailed = true
        unfitUntil = now + .seconds(60)
    }

    /// Gives up a promotion that can't even be ordered, because Postgres answers nobody: the term would be
    /// held for it for ever, though others could lead.
    mutating func boundPromotion() {
        guard let since = reign?.reservedAt, isReservedHere, work == nil, reign?.promoted == nil,
            reign?.promotionFailed == false, now - since >= raft.timings.promoteTimeout
        else { return }
        failPromotion()
        let waited = raft.timings.promoteTimeout.milliseconds / 1000
        record(.init("failed", .warning, "\(me) could not be promoted within \(waited) s"))
    }
}
