import Consensus

/// Finding each other: founding a cluster, and joining one (protocol: Bootstrap; Joining).
extension Node {
    /// Repeats, while there is no place in a cluster, what would lead to one.
    mutating func seekCluster() {
        connectPeers(document)
        if let mine = myRecord {
            if !isLeader, !mine.isDescribed(by: ownRecord) { tellWhereIAm() }
            if mine.isDescribed(by: ownRecord) { joinRefusal = nil }
            return
        }
        guard lastSeek.map({ now - $0 >= Node.seekInterval }) ?? true else { return }
        lastSeek = now
        if document == nil, let expected = settings.foundersExpected {
            found(expected)
        }
        guard document != nil || grant == nil else { return }
        guard document != nil || !settings.seeds.isEmpty || !hintedPeers.isEmpty else { return }
        // Who lets it in must be told if its data is another cluster's: not before that was looked at.
        guard postgres != nil || settings.member.kind == .witness else { return }
        askToJoin()
    }

    private mutating func askToJoin() {
        var request = JoinRequest(member: ownRecord, systemIdentifier: postgres?.systemIdentifier)
        request.postgresMajor = settings.postgresMajor
        effects.append(.send(Envelope(cluster: clusterID, body: .join(request)), to: .everyone))
    }

    /// Between two rounds of asking around.
    private static let seekInterval: Duration = .milliseconds(200)

    /// The others look for this member where it no longer is.
    var hasMoved: Bool { myRecord.map { $0.address != settings.member.address } ?? false }

    /// The document has another address, region or tags for this very instance: the leader is asked to take
    /// down the new ones.
    private mutating func tellWhereIAm() {
        guard lastSeek.map({ now - $0 >= .seconds(1) }) ?? true else { return }
        lastSeek = now
        // To all: whoever is looked for at the wrong address hears no leader.
        askToJoin()
    }

    private var isBlank: Bool {
        document == nil && raft.hard.accepted == nil && origin == nil
            && postgres.map { $0.state == .absent } ?? false
    }

    /// What the settings say of this node.
    var ownRecord: Member {
        var member = settings.member
        member.instance = instance
        return member
    }

    // MARK: founding

    private mutating func found(_ expected: Int) {
        let hello = FounderHello(member: ownRecord, expected: expected, isBlank: isBlank)
        if !settings.seeds.isEmpty {
            effects.append(.send(Envelope(cluster: nil, body: .founder(hello)), to: .everyone))
        }
        foundersHeard.removeAll { now - $0.at > .seconds(5) }
        if let grant {
            // A proposer that stays silent after it was agreed with may be dead: whoever has its proposal on
            // disk can see it through.
            let isMine = grant.proposer == me
            if isMine || now - proposerHeard >= Node.proposerPatience { pressProposal(grant) }
            return
        }
        guard isBlank else { return }
        let others = foundersHeard.map(\.hello).filter { $0.isBlank && $0.expected == expected }.map(\.member)
        let founders = ([ownRecord] + others).sorted { $0.id < $1.id }.prefix(expected)
        guard founders.count == expected, founders.first?.id == me, now - startedAt >= settlingTime else {
            return
        }
        propose(Array(founders))
    }

    /// Long enough for slower founders to be heard, so that everyone counts the same ones.
    private var settlingTime: Duration { settings.seeds.isEmpty ? .zero : .seconds(1) }

    private mutating func propose(_ founders: [Member]) {
        let document = ClusterDocument(
            clusterID: settings.clusterName + "-" + instance, clusterName: settings.clusterName,
            members: founders,
            voters: Voters(foundingVoters(of: founders)),
            primaryRegion: settings.primaryRegion, lease: settings.lease,
            maximumLagOnFailover: settings.maximumLagOnFailover, credentials: settings.credentials)
        guard document.voters.contains(me) else { return }
        let proposal = FoundingProposal(document: document, proposer: me)
        grant = proposal
        grants = [me]
        persist()
        record(
            .init(
                "founding", .notice,
                "proposing a new cluster of \(founders.map(\.id.name).joined(separator: ", "))"))
        pressProposal(proposal)
    }

    /// An even set is lost as soon as a smaller odd one, and has one more that can be lost. Who could lead
    /// has a vote before a witness.
    private func foundingVoters(of founders: [Member]) -> [MemberID] {
        let able = founders.filter { $0.region == settings.primaryRegion }
        let ordered = able.filter { !$0.neverLeads } + able.filter(\.neverLeads)
        return (able.count.isMultiple(of: 2) ? ordered.dropLast() : ordered[...]).map(\.id)
    }

    /// How long the others leave a proposal to the founder who made it.
    private static let proposerPatience: Duration = .seconds(3)

    /// The founders whose agreement is not known. Who made a proposal agreed to it, on disk, before anybody
    /// else could hear of it.
    private func missingGrants(_ proposal: FoundingProposal) -> [MemberID] {
        proposal.founders.filter { $0 != me && $0 != proposal.proposer && !grants.contains($0) }
    }

    /// Asks the founders that have not granted yet; installs the document once all have, this one durably.
    private mutating func pressProposal(_ proposal: FoundingProposal) {
        let missing = missingGrants(proposal)
        if !missing.isEmpty {
            sendWhenDurable(
                .send(Envelope(cluster: nil, body: .foundingProposal(proposal)), to: .everyone))
        }
        guard ledger.isClean, missing.isEmpty else { return }
        let entry = Entry(version: Version(term: 0, index: 1), document: proposal.document)
        drive(.install(entry))
        let offer = Message.offer(term: 0, entry, committed: entry.version)
        sendWhenDurable(.send(Envelope(cluster: clusterID, body: .consensus(offer)), to: .everyone))
        connectPeers(document)
        record(.init("founded", .notice, "cluster \(proposal.document.clusterID) is founded"))
    }

    mutating func takeFounder(_ hello: FounderHello, from sender: Sender, on channel: Channel?) {
        guard hello.member.id == sender.member, hello.member.instance == sender.instance else { return }
        if document != nil {
            redirect(on: channel, refusal: nil)
            return
        }
        foundersHeard.removeAll { $0.hello.member.id == sender.member }
        foundersHeard.append(HeardFounder(hello: hello, at: now))
        foundersHeard.sort { $0.hello.member.id < $1.hello.member.id }
        if foundersHeard.count > 64 { foundersHeard.removeLast() }
    }

    /// One grant, ever: whoever asked first with this node among its founders.
    mutating func takeProposal(_ proposal: FoundingProposal, from sender: Sender, on channel: Channel?) {
        guard proposal.document.clusterName == settings.clusterName,
            proposal.document.instance(of: me) == instance,
            proposal.document.instance(of: sender.member) == sender.instance,
            settings.foundersExpected == proposal.founders.count
        else { return }
        if proposal.proposer == sender.member { proposerHeard = now }
        if grant == nil {
            guard isBlank else { return }
            grant = proposal
            persist()
        }
        guard grant == proposal, let channel else { return }
        sendWhenDurable(
            .send(
                Envelope(cluster: nil, body: .foundingGrant(cluster: proposal.document.clusterID)),
                to: .channel(channel)))
    }

    mutating func takeGrant(_ cluster: String, from sender: Sender) {
        guard let grant, grant.document.clusterID == cluster, document == nil,
            grant.document.instance(of: sender.member) == sender.instance, !grants.contains(sender.member)
        else { return }
        grants.append(sender.member)
        pressProposal(grant)
    }

    var seekingReason: String {
        if let joinRefusal { return joinRefusal }
        if let grant {
            let missing = missingGrants(grant)
            if missing.isEmpty, grant.proposer == me { return "writing the new cluster down" }
            return grant.proposer == me
                ? "waiting for \(missing.map(\.name).joined(separator: ", ")) to agree to the new cluster"
                : "agreed to the cluster that \(grant.proposer) proposes, waiting for it"
        }
        if let expected = settings.foundersExpected, expected > 1 {
            return "found \(foundersHeard.count + 1) of the \(expected) founders"
        }
        return "looking for a cluster to join"
    }

    // MARK: joining

    mutating func takeJoin(_ request: JoinRequest, from sender: Sender, on channel: Channel?) {
        guard let document, request.member.id == sender.member, request.member.instance == sender.instance,
            isMember(identity)
        else { return }
        guard isLeader else { return redirect(on: channel, refusal: nil) }
        if let refusal = refusalToJoin(request, from: sender, document) {
            tellRefused(sender, refusal)
            return redirect(on: channel, refusal: refusal)
        }
        joinsRefused.removeAll { $0.sender.member == sender.member }
        pendingJoins.removeAll { $0.member.id == request.member.id }
        let known = document.member(request.member.id)
        if known?.instance != request.member.instance || known?.isDescribed(by: request.member) == false {
            pendingJoins.append(request)
        }
        if pendingJoins.count > 16 { pendingJoins.removeFirst() }
        redirect(on: channel, refusal: nil)
    }

    /// Once for each reason, though who is refused goes on asking.
    private mutating func tellRefused(_ sender: Sender, _ refusal: String) {
        if joinsRefused.contains(where: { $0.sender == sender && $0.reason == refusal }) { return }
        joinsRefused.removeAll { $0.sender == sender }
        joinsRefused.append((sender, refusal))
        if joinsRefused.count > 16 { joinsRefused.removeFirst() }
        record(.init("join-refused", .warning, "\(sender.member) may not join: \(refusal)"))
    }

    private func refusalToJoin(
        _ request: JoinRequest, from sender: Sender, _ document: ClusterDocument
    ) -> String? {
        let joining = request.member
        // A member stays one, whatever was done to its data since: where it is must be known all the same.
        if let system = request.systemIdentifier, let known = document.systemIdentifier, system != known,
            document.instance(of: joining.id) != joining.instance
        {
            return "its data directory belongs to another system (\(system), this cluster's is \(known)): "
                + "move it away, or point data_directory elsewhere"
        }
        if let theirs = request.postgresMajor, let ours = settings.postgresMajor, theirs != ours {
            return
                "it has PostgreSQL \(theirs), this cluster runs \(ours): install postgresql-\(ours) there, "
                + "and set postgres_bin_directory if it is not the newest"
        }
        if document.removed.contains(where: { $0.id == joining.id && $0.instance == joining.instance }) {
            return "it was removed from this cluster. To join again, as a new member, it must forget what "
                + "it was: stop matriarchd there, move state.a and state.b out of its state_directory, start"
        }
        guard let known = document.member(joining.id) else { return nil }
        if known.instance == joining.instance { return refusalToChange(joining, of: sender) }
        if known.id == me { return "\(me) is the name of the leader: give this node a node_name of its own" }
        guard known.address != joining.address else { return nil }
        return "the name \(known.id) belongs to the machine at \(known.address): "
            + "give this one a node_name of its own; if that machine is gone for good, free its name with "
            + "`matriarch member remove \(known.id)`"
    }

    /// Why a member may not be put down as `described` now; nil when it may.
    func refusalToChange(_ described: Member, of sender: Sender) -> String? {
        guard let document, let known = document.member(described.id) else { return "it is not a member" }
        if known.kind != described.kind {
            return "\(known.id) joined as \(known.kind.rawValue): remove it, move its state away and let it "
                + "join again as \(described.kind.rawValue)"
        }
        if known.region != described.region, document.primary?.member == known.id {
            return "\(known.id) is the primary: hand over before it moves to region \(described.region)"
        }
        if known.address != described.address, let heard = report(of: known.id), isReachable(known.id),
            heard.nonce != nil, heard.nonce != sender.nonce
        {
            return "\(known.id) still answers at \(known.address) (\(heard.report.state.rawValue)): if this "
                + "is a copy of that machine, give it a node_name of its own and an empty state_directory"
        }
        return nil
    }

    private mutating func redirect(on channel: Channel?, refusal: String?) {
        guard let channel else { return }
        let leader = raft.leader.flatMap { document?.member($0) }
        let answer = JoinAnswer(
            refusal: refusal, leaderAddress: leader?.address, leaderPeerPort: leader?.peerPort)
        effects.append(.send(Envelope(cluster: clusterID, body: .joinAnswer(answer)), to: .channel(channel)))
    }

    mutating func takeJoinAnswer(_ answer: JoinAnswer, from sender: Sender) {
        guard myRecord == nil || hasMoved else { return }
        if joinRefusal != answer.refusal, let refusal = answer.refusal {
            record(.init("join-refused", .alarm, "\(sender.member) refuses to let this node in: \(refusal)"))
        }
        joinRefusal = answer.refusal
        guard let host = answer.leaderAddress, let port = answer.leaderPeerPort else { return }
        let hint = PeerAddress(member: nil, host: host, port: port)
        guard !hintedPeers.contains(hint) else { return }
        hintedPeers.append(hint)
        if hintedPeers.count > 16 { hintedPeers.removeFirst() }
        connectPeers(document)
    }
}
