import Consensus

/// What an operator asks of the members, judged by the leader (protocol: Joining and voters). A refusal
/// changes nothing and says why.
extension Node {
    /// Why no change of the members can begin now, though a later try may; nil when one can.
    func changesBlocked(_ document: ClusterDocument) -> String? {
        if !isOpen { return "\(me) is not open as primary yet: \(lastDecision.rule)" }
        if handover != nil || document.switchover != nil { return "a switchover is under way" }
        if isDocumentChanging(document) { return "the document is being changed" }
        if let leaving = document.members.first(where: \.isLeaving) {
            return "\(leaving.id) is being removed"
        }
        return nil
    }

    func isDocumentChanging(_ document: ClusterDocument) -> Bool {
        document.voters.isJoint || document.loan != nil || !raft.canPropose
    }

    private func refused(_ reason: String) -> CommandAnswer {
        CommandAnswer(verdict: .refused, reason: reason)
    }

    mutating func judgeRemoval(of member: MemberID, _ document: ClusterDocument) -> CommandAnswer {
        guard document.member(member) != nil else { return refused("\(member) is not a member") }
        if member == me || member == document.primary?.member {
            return refused(
                "\(member) is the primary: hand over first with `matriarch switchover`, then remove it")
        }
        if let reason = changesBlocked(document) { return CommandAnswer(verdict: .tryAgain, reason: reason) }
        let next = document.changing(member) { $0.isLeaving = true }
        if let reason = quorumLost(with: next) { return refused(reason) }
        record(.init("member-leaving", .notice, "\(member) is to be removed (asked by command)"))
        drive(.propose(next))
        var lines = votersText(document, next)
        lines.append("drop its slot on \(me), end its replication, refuse it from now on")
        return CommandAnswer(verdict: .accepted, lines: lines, target: member)
    }

    mutating func judgeVoteTaken(from member: MemberID, _ document: ClusterDocument) -> CommandAnswer {
        guard let record = document.member(member) else { return refused("\(member) is not a member") }
        if member == me || member == document.primary?.member {
            return refused("\(member) is the primary, which votes: hand over first")
        }
        if record.ballot == .never {
            return CommandAnswer(verdict: .accepted, lines: ["\(member) has no vote already"], target: member)
        }
        if let reason = changesBlocked(document) { return CommandAnswer(verdict: .tryAgain, reason: reason) }
        let next = document.changing(member) { $0.ballot = .never }
        if let reason = quorumLost(with: next) { return refused(reason) }
        self.record(.init("vote-taken", .notice, "\(member) is to vote no more (asked by command)"))
        drive(.propose(next))
        return CommandAnswer(verdict: .accepted, lines: votersText(document, next), target: member)
    }

    mutating func judgeVote(for member: MemberID, _ document: ClusterDocument) -> CommandAnswer {
        guard let record = document.member(member) else { return refused("\(member) is not a member") }
        if document.voters.contains(member), record.ballot != .never {
            return CommandAnswer(verdict: .accepted, lines: ["\(member) votes already"], target: member)
        }
        if record.region != document.primaryRegion {
            return refused(
                "\(member) is in region \(record.region): voters are of \(document.primaryRegion)")
        }
        if let reason = changesBlocked(document) { return CommandAnswer(verdict: .tryAgain, reason: reason) }
        if document.voters.contains(member) {
            // As primary, though its vote was taken: now it keeps it as any other.
            drive(.propose(document.changing(member) { $0.ballot = .preferred }))
            return CommandAnswer(verdict: .accepted, lines: ["\(member) keeps its vote"], target: member)
        }
        if let reason = unableToVote(record) { return refused("\(member) can't vote now: \(reason)") }
        let next = document.changing(member) { $0.ballot = .preferred }
        guard let grown = voters(grownIn: next), grown.contains(member) else {
            let others = document.voters.current.filter { $0 != me }.map(\.name)
            return refused(
                "\(document.voters.current.count + 1) voters bear no more failures than "
                    + "\(document.voters.current.count): first take the vote of "
                    + "\(others.joined(separator: " or ")) (`matriarch member demote-voter NODE`), "
                    + "or let one more member join")
        }
        self.record(.init("vote-given", .notice, "\(member) is to vote (asked by command)"))
        drive(.propose(next))
        let names = grown.map(\.name).joined(separator: ", ")
        return CommandAnswer(verdict: .accepted, lines: ["voters become \(names)"], target: member)
    }

    mutating func judgeCopy(of member: MemberID, _ document: ClusterDocument) -> CommandAnswer {
        guard let record = document.member(member) else { return refused("\(member) is not a member") }
        if member == me || member == document.primary?.member {
            return refused("\(member) is the primary: its data is what the others copy; hand over first")
        }
        if record.kind == .witness { return refused("\(member) is a witness: it holds no data") }
        guard let heard = report(of: member)?.report, isReachable(member) else {
            return refused("\(member) is not reachable: start it first")
        }
        if [.cloning, .rewinding, .joining].contains(heard.dataState) {
            return refused("\(member) is \(heard.dataState.rawValue) already")
        }
        if let reason = changesBlocked(document) { return CommandAnswer(verdict: .tryAgain, reason: reason) }
        self.record(.init("reinit", .notice, "\(member) is to copy its data anew (asked by command)"))
        drive(.propose(document.changing(member) { $0.copiesAsked += 1 }))
        return CommandAnswer(
            verdict: .accepted,
            lines: ["\(member) copies its data anew; until it is done it can't take over"], target: member)
    }

    private func unableToVote(_ member: Member) -> String? {
        guard isReachable(member.id) else { return "it is not reachable" }
        if member.kind == .witness { return nil }
        guard let heard = report(of: member.id)?.report else { return "it is not reachable" }
        if heard.dataState != .valid { return "its data is \(heard.dataState.rawValue)" }
        return heard.streaming ? nil : "it is not streaming"
    }

    /// What would be left without a reachable majority, in words; nil when the voters can go on.
    private func quorumLost(with next: ClusterDocument) -> String? {
        guard let voters = voters(of: next) else { return nil }
        let left = Voters(voters)
        if left.isMajority(isReachable) { return nil }
        let silent = voters.filter { !isReachable($0) }.map(\.name).joined(separator: ", ")
        let all = voters.map(\.name).joined(separator: ", ")
        return "the voters would be \(all), and \(silent) can't be reached: no majority would be left. "
            + "Bring them back first"
    }

    private func votersText(_ document: ClusterDocument, _ next: ClusterDocument) -> [String] {
        guard let voters = voters(of: next) else { return [] }
        let names = voters.map(\.name).joined(separator: ", ")
        let able = voters.compactMap(next.member).filter { !$0.neverLeads }
        let warning =
            voters.count < 3 || able.count < 2 ? "no automatic failover from then on: too few voters" : nil
        return ["voters become \(names)"] + (warning.map { [$0] } ?? [])
    }
}
