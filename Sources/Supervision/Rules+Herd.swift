import Consensus

extension Rule {
    /// What a primary that writes looks after.
    static let primaryDuties: [Rule] = [
        Rule(
            name: "configure-primary",
            why: "Slots, pg_hba and roles follow the document; clients come in after that.",
            applies: { node in
                node.writesAsPrimary && node.background == nil && node.mayTry("configure")
                    && node.managedConfiguration(asPrimary: true) != node.applied
            },
            action: { node in
                guard let configuration = node.managedConfiguration(asPrimary: true) else {
                    return .wait(nil)
                }
                return .background(.configure(configuration))
            }),
        Rule(
            name: "intent-primary", why: "After a crash the member must know that it was the primary.",
            applies: { $0.writesAsPrimary && $0.data.intent != .primary(epoch: $0.raft.term) },
            action: { node in
                var record = node.data
                record.intent = .primary(epoch: node.raft.term)
                return .write(record)
            }),
        Rule(
            name: "start-switchover", why: "The wish is committed: now it is carried out.",
            applies: { $0.isHandoverPending },
            action: { node in .beginHandover(node.document?.switchover?.target ?? node.me) }),
        Rule(
            name: "checkpoint-after-promotion", why: "pg_rewind and restarts need one on the new timeline.",
            applies: { node in
                node.writesAsPrimary && node.isOpen && node.background == nil
                    && node.reign?.checkpointed == false
                    && node.postgres?.checkpointTimeline != node.document?.primary?.timeline
                    && node.mayTry("checkpoint")
            },
            action: { _ in .background(.checkpoint) }),
        returnVote,
        Rule(
            name: "retire-instance",
            why: "Who lost its memory may not vote with one: it leaves the voters first.",
            applies: { $0.writesAsPrimary && $0.retiringVoters != nil },
            action: { node in
                guard var document = node.document, let voters = node.retiringVoters else {
                    return .wait(nil)
                }
                document.voters = Voters(document.voters.current, next: voters)
                return .propose(document, "a voter came back without its memory and leaves the voters")
            }),
        Rule(
            name: "shrink-voters", why: "Who must not vote any more gives its vote to those who may.",
            applies: { $0.writesAsPrimary && $0.shrunkVoters != nil },
            action: { node in
                guard var document = node.document, let voters = node.shrunkVoters else { return .wait(nil) }
                document.voters = Voters(document.voters.current, next: voters)
                return .propose(document, "voters become \(voters.map(\.name).joined(separator: ", "))")
            }),
        Rule(
            name: "remove-member", why: "Without a vote and by an operator's wish: it leaves the cluster.",
            applies: { $0.writesAsPrimary && $0.nextRemoval != nil },
            action: { node in
                guard let document = node.document, let member = node.nextRemoval else { return .wait(nil) }
                return .propose(document.removing(member), "\(member) is removed from the cluster")
            }),
        Rule(
            name: "admit", why: "A node with the secret and the cluster's name is let in as a learner.",
            applies: { $0.writesAsPrimary && $0.nextAdmission != nil },
            action: { node in
                guard let member = node.nextAdmission, let document = node.document else { return .wait(nil) }
                return .propose(
                    document.admitting(member), "\(member.id) joins (\(member.address), \(member.region))")
            }),
        Rule(
            name: "redescribe", why: "Where a member is and what it is for is taken down as it says itself.",
            applies: { $0.writesAsPrimary && $0.nextDescription != nil },
            action: { node in
                guard let member = node.nextDescription, let document = node.document else {
                    return .wait(nil)
                }
                return .propose(
                    document.redescribing(member),
                    "\(member.id) is now at \(member.address) in \(member.region)"
                        + (member.tags.isEmpty ? "" : ", tags \(member.tags.joined(separator: ", "))"))
            }),
        removeDead,
        Rule(
            name: "grow-voters",
            why: "The voters are the largest odd set of valid members of the primary region.",
            applies: { $0.writesAsPrimary && $0.grownVoters != nil },
            action: { node in
                guard var document = node.document, let voters = node.grownVoters else { return .wait(nil) }
                document.voters = Voters(document.voters.current, next: voters)
                return .propose(document, "voters become \(voters.map(\.name).joined(separator: ", "))")
            }),
        Node.primarySlotKeeping,
        Rule(
            name: "primary", why: "The lease is held and Postgres writes: nothing to do.",
            applies: { $0.holdsPrimacy }, action: { _ in .wait(nil) }),
    ]

    /// Holding still for a later leader, and as that leader.
    static let freezing: [Rule] = [
        Rule(
            name: "start-frozen",
            why: "Where a stopped member's log ends is only known once it has replayed it.",
            applies: { node in
                node.postgresState == .stopped && node.hasUsableData && !node.canReopen
                    && node.mayTry("start-standby")
            },
            action: { node in
                guard var configuration = node.managedConfiguration(asPrimary: false) else {
                    return .wait(nil)
                }
                configuration.isKnownStandby = node.isKnownStandby
                return .order(.startStandby(configuration))
            }),
        Rule(
            name: "freeze", why: "An older primary must not get one more acknowledgement from here.",
            applies: { node in
                node.postgresState == .standby && node.isHeldFrozen && node.postgres?.gate == .open
                    && node.mayTry("freeze")
            },
            action: { _ in .order(.freeze) }),
        Rule(
            name: "clear-replay",
            why: "A session in the way of replay keeps everybody from knowing where the log ends.",
            applies: { node in
                node.postgresState == .standby && node.postgres?.gate == .closed
                    && node.postgres?.settled == nil && node.postgres?.isReplayHeldUp == true
                    && node.armedEpoch == nil && node.mayTry("freeze")
            },
            action: { _ in .order(.freeze) }),
        Rule(
            name: "raise-settings",
            why: "Replay stands still below the settings that the log asks for; a start takes them.",
            applies: { $0.mustRaiseSettings },
            action: { .order(.stop(bound: $0.settings.stopTimeout)) }),
        Rule(
            name: "held-frozen",
            why: "Only a committed document with an open primary of that term lifts the freeze.",
            applies: { $0.isHeldFrozen && !$0.isLeader },
            action: { node in
                let leader = node.raft.leader?.name ?? "a leader"
                return .wait("frozen for term \(node.data.frozenTerm), waiting for \(leader)")
            }),
    ]

    /// The leader's way from frozen members to a new primary (protocol: Promotion).
    static let choosing: [Rule] = [
        Rule(
            name: "burn-promotion", why: "A promotion that went another way than reserved is never followed.",
            applies: { node in
                guard let promoted = node.reign?.promoted, node.isReservedHere else { return false }
                return promoted.timeline != node.document?.primary?.timeline
            },
            action: { node in
                .kill(
                    "it was promoted to timeline \(node.reign?.promoted?.timeline ?? 0), not the reserved one"
                )
            }),
        Rule(
            name: "open-lineage", why: "The promotion is proven: from here on members may follow.",
            applies: { $0.isReservedHere && $0.reign?.promoted != nil && $0.isAlive },
            action: { node in
                guard let document = node.document, let promoted = node.reign?.promoted else {
                    return .wait(nil)
                }
                return .propose(
                    document.opening(promoted.timeline, at: promoted.switchLSN),
                    "\(node.me) is primary on timeline \(promoted.timeline) from \(promoted.switchLSN)")
            }),
        Rule(
            name: "promotion-failed",
            why: "Its timeline is burnt and its epoch spent; another term may do better.",
            applies: {
                $0.isReservedHere && $0.reign?.promotionFailed == true && $0.isAlive && $0.armedEpoch != nil
            },
            action: { _ in .kill("its promotion failed") }),
        Rule(
            name: "promote", why: "Frozen, chosen, reserved, armed and recorded: now it may become writable.",
            applies: { node in
                node.isReservedHere && node.armedEpoch == node.raft.term && node.postgresState == .standby
                    && node.data.intent == node.promotionIntent && node.reign?.promoted == nil
                    && node.reign?.promotionFailed != true
            },
            action: { node in
                guard let document = node.document, let primary = document.primary else { return .wait(nil) }
                return .order(.promote(document.promotionPlan(to: primary.timeline)))
            }),
        Rule(
            name: "await-promotion", why: "The role is this member's and its way there is not finished.",
            applies: { $0.isReservedHere }, action: { node in .wait(node.failureText ?? "being promoted") }),
        Rule(
            name: "paused", why: "While paused nobody else becomes primary: who was it leads on.",
            applies: { $0.pausedPrimary != nil },
            action: { .release(to: $0.pausedPrimary, "paused: the primary on record leads") }),
        Rule(
            name: "transfer", why: "The one with the freshest data leads.",
            applies: { node in
                guard node.needsFrozenHerd, node.raft.canPropose, node.armedEpoch == nil,
                    case .promote(let member) = node.chooseFreshest().verdict
                else { return false }
                return member != node.me
            },
            action: { node in
                guard case .promote(let member) = node.chooseFreshest().verdict else { return .wait(nil) }
                return .release(to: member, "\(member) has fresher data")
            }),
        Rule(
            name: "reserve-timeline", why: "A timeline is used once in the cluster's life.",
            applies: { node in
                guard node.needsFrozenHerd, case .promote(let member) = node.chooseFreshest().verdict else {
                    return false
                }
                return member == node.me && node.postgres?.settled != nil
            },
            action: { node in
                guard let document = node.document, let position = node.postgres?.settled else {
                    return .wait(nil)
                }
                return .reserve(document.reserving(for: node.me, term: node.raft.term, from: position))
            }),
        Rule(
            name: "step-aside",
            why: "A leader that can't say where its own log ends keeps the others from choosing.",
            applies: { $0.standIn != nil },
            action: { node in
                .release(to: node.standIn, "\(node.me) can't say where its own log ends")
            }),
        Rule(
            name: "await-freeze", why: "Who leads must know what everyone has before anyone writes.",
            applies: { $0.needsFrozenHerd },
            action: { node in
                guard case .wait(let reason) = node.chooseFreshest().verdict else { return .wait(nil) }
                return .wait(reason)
            }),
    ]
}

extension Node {
    /// Between two starts for the sake of settings: a bound, should a start not bring what is asked for.
    static let raiseInterval: Duration = .seconds(10)

    /// A standby that replays no more, and could not be promoted, because of its settings.
    var mustRaiseSettings: Bool {
        guard postgresState == .standby, armedEpoch == nil, postgres?.isBelowRequirements == true,
            hasUsableData
        else { return false }
        return standbyStartedAt.map { now - $0 >= Node.raiseInterval } ?? true
    }

    /// This leader reserved a timeline for itself in its own term and has not opened it.
    var isReservedHere: Bool {
        guard isLeader, let primary = view.primary else { return false }
        return primary.member == me && primary.epoch == raft.term && view.lineage?.status == .reserved
    }

    var promotionIntent: Intent {
        .promoting(epoch: raft.term, timeline: document?.primary?.timeline ?? 0)
    }
}
