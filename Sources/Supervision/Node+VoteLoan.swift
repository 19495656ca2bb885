import Consensus

/// A switchover to a member that has no vote: it is lent another voter's before anything is closed, and gives
/// it back when it does not take over (protocol: Switchover to a member without a vote).
extension Rule {
    static let lendVote = Rule(
        name: "lend-vote",
        why: "Only a voter is elected: the target of the switchover gets the vote of another.",
        applies: { $0.isLoanWanted },
        action: { node in
            guard var document = node.document, let target = node.handover?.target,
                let voters = node.voters(lendingTo: target, in: document)
            else { return .wait(nil) }
            guard node.hasJustPromised(target) else {
                return .wait("waiting for a fresh word of \(target), without which nobody could lead")
            }
            document.loan = VoteLoan(target: target, before: document.voters.current)
            document.voters = Voters(document.voters.current, next: voters)
            return .propose(document, "voters become \(voters.map(\.name).joined(separator: ", "))")
        })

    static let finishVoters = Rule(
        name: "finish-voters", why: "A joint voter set is left as soon as it is committed.",
        applies: { $0.writesAsPrimary && $0.document?.voters.isJoint == true },
        action: { node in
            guard var document = node.document, let voters = node.concludedVoters else { return .wait(nil) }
            document.voters = Voters(voters)
            if voters == document.loan?.before { document.loan = nil }
            return .propose(document, "voters are now \(voters.map(\.name).joined(separator: ", "))")
        })

    static let awaitTarget = Rule(
        name: "switchover-await-target",
        why: "Who does not know yet that it votes, or what was decided, would not be elected.",
        applies: { node in
            guard let handover = node.handover, !handover.isClosed else { return false }
            return !node.raft.holdsNewest(handover.target)
        },
        action: { .wait("waiting for \($0.handover?.target.name ?? "") to know what was decided") })

    static let returnVote = Rule(
        name: "return-vote", why: "A vote that was lent is kept by a primary, and else goes back.",
        applies: { node in
            guard node.writesAsPrimary, node.handover == nil, let document = node.document else {
                return false
            }
            return document.loan != nil && document.switchover == nil && !document.voters.isJoint
        },
        action: { node in
            guard var document = node.document, let target = document.loan?.target else { return .wait(nil) }
            if let voters = node.votersBeforeLoan {
                document.voters = Voters(document.voters.current, next: voters)
                return .propose(document, "\(target) did not take over and gives the vote back")
            }
            document.loan = nil
            return .propose(document, "")
        })
}

extension Node {
    fileprivate var isLoanWanted: Bool {
        guard let handover, !handover.isClosed, let document else { return false }
        return !document.voters.isJoint && !document.voters.contains(handover.target)
    }

    /// Acknowledged a round that was sent within two heartbeats: while the sets are joint, and after, its
    /// word may be the only one that counts.
    fileprivate func hasJustPromised(_ member: MemberID) -> Bool {
        guard let sent = raft.promised(by: member) else { return false }
        return now - sent <= raft.timings.heartbeat * 2
    }

    /// The voters with `target` in the place of one of them; nil when it votes already.
    ///
    /// Who gives its vote: one that can't be heard before others, then a witness, then who never leads, then
    /// the last by name; this leader only when there is nobody else.
    func voters(lendingTo target: MemberID, in document: ClusterDocument) -> [MemberID]? {
        let current = document.voters.current
        guard !current.contains(target) else { return nil }
        func dispensability(_ member: MemberID) -> (Int, Int, MemberID) {
            (isReachable(member) ? 0 : 1, document.member(member).map(uselessness) ?? 0, member)
        }
        let giver = current.filter { $0 != me }.max { dispensability($0) < dispensability($1) } ?? me
        return (current.filter { $0 != giver } + [target]).sorted()
    }

    /// What a dry run says of the loan; nothing when the target votes already.
    func loanSteps(_ target: MemberID, _ document: ClusterDocument) -> [String] {
        guard let voters = voters(lendingTo: target, in: document) else { return [] }
        let givers = document.voters.current.filter { !voters.contains($0) }.map(\.name)
        let line = "\(target) gets the vote of \(givers.joined(separator: ", ")), which it keeps as primary"
        guard !Voters(voters).isMajority({ $0 != target }) else { return [line] }
        return [line, "until \(target) is primary nobody can lead without it: it must not be lost now"]
    }

    /// What a joint set becomes: the new one, or for a loan whose target does not take over the old one.
    fileprivate var concludedVoters: [MemberID]? {
        guard let document, let next = document.voters.next else { return nil }
        guard let loan = document.loan, next != loan.before else { return next }
        let isUsed = handover?.target == loan.target || document.primary?.member == loan.target
        return isUsed ? next : document.voters.current
    }

    /// Who voted before, when the loan is to be undone; nil when the voters stay as they are. Too many of the
    /// former voters may have gone silent meanwhile: a majority must be there.
    fileprivate var votersBeforeLoan: [MemberID]? {
        guard let document, let loan = document.loan, document.primary?.member != loan.target,
            document.voters.current != loan.before, Voters(loan.before).isMajority(isReachable)
        else { return nil }
        return loan.before
    }

    /// Nobody leads, and nobody can without the member that a vote was lent to: what a person may do.
    var strandedByLoan: String? {
        guard raft.leader == nil, let document = raft.hard.accepted?.document, let loan = document.loan,
            !document.voters.isMajority({ $0 != loan.target })
        else { return nil }
        return "nobody leads, and nobody can without \(loan.target), which was given the vote for the "
            + "switchover to it: bring it back; if it is gone for good, the way out is `matriarch quorum "
            + "force` on another member"
    }
}
