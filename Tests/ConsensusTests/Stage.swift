import Consensus
import TestSupport

/// A herd that is moved by the commands of a script and writes down what happens.
///
/// `herd voters=a,b,c [learners=d] [lease=1s] [primary=a] [stopped]` · `start a…` · `crash a [machine]` ·
/// `fit a rank=1` · `unfit a` · `guard a disarmed|unknown|armed=3` · `tick 100ms` (messages stay in flight) ·
/// `run 2s [quietly]` · `deliver [from=] [to=] [kind=] [sequence=]` · `drop …` · `keep …` and `replay` · `cut
/// [from=] [to=]` · `heal` · `slow a` · `persist a` · `propose a voters=… [next=…] [lease=…]` · `release a
/// [to=b]` · `resume a` · `stepdown a` · `inject to=a from=b [instance=] [nonce=] kind=vote|pre-vote term=3
/// accepted=1.1 [released=2]` · `show`
final class Stage {
    var herd = Herd()
    private var lines: [String] = []
    private var isQuiet = false
    var kept: [Herd.Envelope] = []
    var proposals = 0

    func run(_ command: ScriptCommand) throws -> String {
        lines = []
        isQuiet = command.has("quietly")
        switch command.name {
        case "herd": try found(command)
        case "start": try each(command) { herd.start($0) }
        case "crash": try crash(command)
        case "fit", "unfit": try changeFitness(command)
        case "guard": try changeGuard(command)
        case "tick": herd.run(until: herd.now + (try duration(command)), delivering: false)
        case "run": herd.run(until: herd.now + (try duration(command)))
        case "deliver": deliver(command)
        case "drop": drop(command)
        case "keep": kept = matching(command)
        case "replay": for envelope in kept { herd.deliver(envelope) }
        case "cut": cut(command)
        case "heal": herd.cuts = []
        case "slow": try each(command) { herd[$0].isDiskSlow = true }
        case "persist": try each(command, fastDisk)
        case "propose": try propose(command)
        case "release": try each(command) { herd.step($0, .release(to: command["to"].map { MemberID($0) })) }
        case "resume": try each(command) { herd.step($0, .resume) }
        case "stepdown": try each(command) { herd.step($0, .stepDown) }
        case "inject": try inject(command)
        case "show": return show()
        default: throw command.unknown()
        }
        return lines.joined(separator: "\n")
    }

    private func saw(_ member: HerdMember, _ happening: Herd.Happening) {
        guard case .effect(let effect) = happening, !isQuiet || isNotable(effect) else { return }
        lines.append("\(TraceText.time(herd.now)) \(TraceText.line(member.id, happening))")
    }

    private func isNotable(_ effect: Raft<TestDocument>.Effect) -> Bool {
        switch effect {
        case .becameLeader, .steppedDown, .committed: true
        case .persist, .storePromise, .send, .sendWhenDurable, .leaseExtended: false
        }
    }

    private func show() -> String {
        herd.all.map { member in
            guard let raft = member.raft else { return "\(member.id) is down" }
            let role =
                switch raft.role {
                case .follower: raft.leader.map { "follows \($0)" } ?? "knows no leader"
                case .candidate(let candidate): "asks to lead term \(candidate.term)"
                case .leader: "leads"
                }
            let lease = raft.leaseEnd.map { " lease until \(TraceText.time($0))" } ?? ""
            return "\(member.id) term \(raft.term) \(role), accepted \(raft.hard.acceptedVersion)"
                + " (on disk \(raft.durable.accepted)), committed \(raft.hard.committedVersion)" + lease
        }.joined(separator: "\n")
    }
}

// MARK: commands

extension Stage {
    private func found(_ command: ScriptCommand) throws {
        herd = Herd()
        herd.observe = { [unowned self] member, happening in saw(member, happening) }
        let voters = members(try command.value("voters"))
        let learners = members(command["learners"] ?? "")
        let document = TestDocument(
            voters: Voters(voters), recipients: (voters + learners).sorted(),
            lease: try command["lease"].map { try parse($0, command) } ?? .seconds(1),
            primaryMember: command["primary"].map { MemberID($0) })
        for (rank, id) in (voters + learners).enumerated() {
            let member = HerdMember(id)
            member.fitness = Fitness(mayLead: true, rank: rank)
            member.disk.accepted = Entry(version: Version(term: 0, index: 1), document: document)
            member.disk.committed = member.disk.accepted
            herd.add(member)
        }
        if !command.has("stopped") { for id in voters + learners { herd.start(id) } }
    }

    private func crash(_ command: ScriptCommand) throws {
        for word in command.bare where word != "machine" {
            herd.crash(try known(word, command), machine: command.has("machine"))
        }
    }

    private func changeFitness(_ command: ScriptCommand) throws {
        try each(command) { id in
            let rank = command["rank"].flatMap { Int($0) } ?? 0
            herd[id].fitness = Fitness(mayLead: command.name == "fit", rank: rank)
            herd.step(id, .fitnessChanged(herd[id].fitness))
        }
    }

    private func changeGuard(_ command: ScriptCommand) throws {
        let id = try known(command.words.first ?? "", command)
        if command.has("unknown") {
            herd[id].standing = .unknown
        } else if let epoch = command["armed"].flatMap({ Term($0) }) {
            herd[id].standing = .armed(epoch: epoch)
        } else {
            herd[id].standing = .disarmed
        }
        herd.step(id, .guardChanged(herd[id].standing))
    }

    /// Writes what waits, and keeps the disk fast from here on.
    private func fastDisk(_ id: MemberID) {
        herd[id].isDiskSlow = false
        herd.persist(id)
    }

    private func propose(_ command: ScriptCommand) throws {
        try each(command) { id in
            guard var document = herd[id].raft?.hard.accepted?.document else { return }
            proposals += 1
            document.history.append(proposals)
            let current = command["voters"].map(members) ?? document.voters.current
            document.voters = Voters(current, next: command["next"].map(members))
            if let lease = command["lease"] { document.lease = try parse(lease, command) }
            if let id = command["readmit"] { document.readmitted[MemberID(id)] = "\(id)#2" }
            if let id = command["leave"] { document.recipients.removeAll { $0.name == id } }
            if let objection = herd[id].raft?.objection(to: document) {
                lines.append("\(id) objects: \(objection)")
            }
            herd.step(id, .propose(document))
        }
    }

    private func inject(_ command: ScriptCommand) throws {
        let from = try command.value("from")
        let sender = Sender(
            member: MemberID(from),
            instance: command["instance"] ?? TestDocument.firstInstance(of: MemberID(from)),
            nonce: command["nonce"].flatMap { BootNonce($0) } ?? 1)
        let numbers = try command.value("accepted").split(separator: ".").compactMap { UInt64($0) }
        guard numbers.count == 2 else {
            throw ScriptError(place: command.place, problem: "accepted=TERM.INDEX expected")
        }
        let request = VoteRequest(
            term: try command.number("term"), accepted: Version(term: numbers[0], index: numbers[1]),
            releasedTerm: command["released"].flatMap { Term($0) } ?? 0)
        let isVote = try command.value("kind") == "vote"
        let to = try known(try command.value("to"), command)
        herd.step(to, .received(isVote ? .vote(request) : .preVote(request), from: sender))
    }

    // MARK: messages

    private func matching(_ command: ScriptCommand) -> [Herd.Envelope] {
        herd.inFlight.filter { envelope in
            (command["from"].map { envelope.from.member.name == $0 } ?? true)
                && (command["to"].map { envelope.to.name == $0 } ?? true)
                && (command["kind"].map { TraceText.kind(envelope.message) == $0 } ?? true)
                && (command["sequence"].map { isRound($0, envelope.message) } ?? true)
        }
    }

    private func isRound(_ sequence: String, _ message: Message<TestDocument>) -> Bool {
        if case .append(let append) = message { UInt64(sequence) == append.sequence } else { false }
    }

    /// Hands over what is in flight now; the answers stay in flight.
    private func deliver(_ command: ScriptCommand) {
        for envelope in matching(command) { herd.deliver(envelope) }
    }

    private func drop(_ command: ScriptCommand) {
        let numbers = matching(command).map(\.number)
        herd.inFlight.removeAll { numbers.contains($0.number) }
    }

    /// `cut from=a`: nobody hears a; `cut to=a`: a hears nobody; `cut a`: both; `cut from=a to=b`: just that.
    private func cut(_ command: ScriptCommand) {
        for from in herd.order {
            for to in herd.order where from != to {
                let isNamed = command.bare.contains(from.name) || command.bare.contains(to.name)
                let isDirected =
                    (command["from"] ?? from.name) == from.name && (command["to"] ?? to.name) == to.name
                if command.bare.isEmpty ? isDirected : isNamed { herd.cuts.insert([from, to]) }
            }
        }
    }

    // MARK: words

    private func each(_ command: ScriptCommand, _ act: (MemberID) throws -> Void) throws {
        for word in command.bare { try act(try known(word, command)) }
    }

    private func known(_ name: String, _ command: ScriptCommand) throws -> MemberID {
        let id = MemberID(name)
        guard herd.order.contains(id) else {
            throw ScriptError(place: command.place, problem: "no member '\(name)' in this herd")
        }
        return id
    }

    private func members(_ list: String) -> [MemberID] {
        list.split(separator: ",").map { MemberID(String($0)) }
    }

    private func duration(_ command: ScriptCommand) throws -> Duration {
        try parse(command.words.first ?? "", command)
    }

    private func parse(_ text: String, _ command: ScriptCommand) throws -> Duration {
        if text.hasSuffix("ms"), let value = Int(text.dropLast(2)) { return .milliseconds(value) }
        if text.hasSuffix("s"), let value = Int(text.dropLast()) { return .seconds(value) }
        throw ScriptError(place: command.place, problem: "'\(text)' is no duration such as 100ms or 2s")
    }
}
