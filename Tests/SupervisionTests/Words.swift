import Consensus
import TestSupport

@testable import Supervision

/// Reads values out of a script's command: documents, reports, positions.
struct Words {
    let command: ScriptCommand

    init(_ command: ScriptCommand) { self.command = command }

    private static let documentKeys = [
        "members", "voters", "next", "primary", "epoch", "timeline", "switchover", "founding", "lag",
        "removed", "loan",
    ]
    private static let documentWords = ["reserved", "system-known", "paused"]

    static func changesDocument(_ word: String) -> Bool {
        documentKeys.contains { word.hasPrefix($0 + "=") } || documentWords.contains(word)
    }

    func optional<Value: FixedWidthInteger>(_ key: String) throws -> Value? {
        command[key] == nil ? nil : try command.number(key) as Value
    }

    func position(_ text: String) throws -> Position {
        let parts = text.split(separator: ":")
        guard parts.count == 2, let timeline = Timeline(parts[0]), let lsn = LSN(String(parts[1])) else {
            throw ScriptError(place: command.place, problem: "'\(text)' is no position such as 2:0/500")
        }
        return Position(timeline: timeline, lsn: lsn)
    }

    func duration(_ text: String) throws -> Duration {
        if text.hasSuffix("ms"), let value = Int(text.dropLast(2)) { return .milliseconds(value) }
        if text.hasSuffix("s"), let value = Int(text.dropLast()) { return .seconds(value) }
        throw ScriptError(place: command.place, problem: "'\(text)' is no duration such as 100ms or 2s")
    }

    func names(_ key: String) -> [MemberID]? {
        command[key]?.split(separator: ",").map { MemberID(String($0)) }
    }

    // MARK: the document

    /// The known document with what the command changes. Timeline N has the parents N-1 … 1, and timeline n
    /// began at 0/n00 (`reserved` leaves the newest reserved).
    func document(_ known: ClusterDocument?) throws -> ClusterDocument {
        var document = try known ?? Founders.document(members())
        if known != nil, command["members"] != nil {
            document.members = try members().sorted { $0.id < $1.id }
        }
        if let voters = names("voters") { document.voters = Voters(voters, next: names("next")) }
        if let next = names("next"), names("voters") == nil {
            document.voters = Voters(document.voters.current, next: next)
        }
        if let primary = command["primary"] {
            let epoch: Term = try command.number("epoch")
            let timeline: Timeline = try command.number("timeline")
            document.primary = PrimaryRecord(member: MemberID(primary), epoch: epoch, timeline: timeline)
            document.systemIdentifier = 7
            grow(&document, to: timeline, epoch: epoch, by: MemberID(primary))
        }
        if let wish = command["switchover"] {
            let from = document.primary?.member ?? ""
            document.switchover = SwitchoverIntent(
                target: MemberID(wish), from: from, term: try command.number("wished"), reason: "command")
        }
        if let target = command["loan"] {
            document.loan = VoteLoan(target: MemberID(target), before: names("before") ?? [])
        }
        if let attempt: Term = try optional("founding") {
            document.founding = Founding(attempt: attempt, member: MemberID(command["by"] ?? "a"))
        }
        if command.has("paused") { document.pause = Pause(since: .none) }
        for gone in names("removed") ?? [] {
            document.removed.append(RemovedMember(id: gone, instance: "\(gone)#1", incarnation: 1))
        }
        document.maximumLagOnFailover = try optional("lag") ?? document.maximumLagOnFailover
        return document
    }

    private func grow(
        _ document: inout ClusterDocument, to timeline: Timeline, epoch: Term, by member: MemberID
    ) {
        while document.maximumTimeline < timeline {
            let next = document.maximumTimeline + 1
            document.append(
                Lineage(
                    epoch: next == timeline ? epoch : Term(next), timeline: next,
                    parent: next == 1 ? nil : next - 1, switchLSN: LSN(UInt64(next) << 8), member: member,
                    status: .open))
            document.maximumTimeline = next
        }
        guard let place = document.lineages.firstIndex(where: { $0.timeline == timeline }) else { return }
        document.lineages[place].status = command.has("reserved") ? .reserved : .open
        document.lineages[place].switchLSN = command.has("reserved") ? nil : LSN(UInt64(timeline) << 8)
        document.lineages[place].startLSN = command["start"].flatMap { LSN($0) }
    }

    private func members() throws -> [Member] {
        try command.value("members").split(separator: ",").map { word in
            let parts = word.split(separator: ":").map(String.init)
            var member = Founders.member(MemberID(parts[0]))
            for part in parts.dropFirst() {
                switch part {
                case "witness": member.kind = .witness
                case "nofailover", "clonefrom": member.tags.append(part)
                case "leaving": member.isLeaving = true
                case "novote": member.ballot = .never
                case "copy": member.copiesAsked = 1
                case let word where word.hasPrefix("priority"):
                    member.tags = ["priority=\(word.dropFirst("priority".count))"]
                case "west": member.region = "west"
                default: member.instance = part
                }
            }
            return member
        }
    }

    // MARK: the disk and the settings

    func record() throws -> DataRecord {
        var record = DataRecord()
        record.state = command["data"].flatMap { DataState(rawValue: $0) } ?? .valid
        if command.has("bare") || command["primary"] == nil, command["data"] == nil { record.state = .none }
        record.frozenTerm = try optional("frozen") ?? 0
        let parts = (command["intent"] ?? "standby").split(separator: "/")
        switch (parts.first, parts.dropFirst().first.flatMap { Term($0) }) {
        case ("founding", let attempt?): record.intent = .founding(attempt: attempt)
        case ("primary", let epoch?): record.intent = .primary(epoch: epoch)
        default: record.intent = .standby
        }
        return record
    }

    func settings(_ me: MemberID, _ document: ClusterDocument?) throws -> NodeSettings {
        let seeds = command["seeds"]?.split(separator: ",") ?? []
        var member = document?.member(me) ?? Founders.member(me)
        member.instance = command["instance"] ?? member.instance
        member.address = command["address"] ?? member.address
        var settings = Founders.settings(
            member,
            seeds: seeds.map { PeerAddress(member: nil, host: "10.0.0.\($0)", port: 5501) },
            expected: try optional("expect"))
        settings.deadMemberRemoval = try command["dead-after"].map(duration)
        return settings
    }

    // MARK: reports

    func report(from known: PostgresReport, at now: Instant) throws -> PostgresReport {
        var report = known
        report.takenAt = now
        if let state = command.words.compactMap({ PostgresReport.State(rawValue: $0) }).first {
            if state != report.state { report = PostgresReport(state: state, takenAt: now) }
            if state != .absent { report.systemIdentifier = known.systemIdentifier ?? 7 }
        }
        if let gate = command["gate"] { report.gate = gate == "open" ? .open : .closed }
        if let text = command["settled"] { report.settled = text == "none" ? nil : try position(text) }
        if let text = command["at"] { report.position = text == "none" ? nil : try position(text) }
        if let from = command["streaming"] {
            report.streaming = from != "none"
            report.streamingFrom = report.streaming ? "10.0.0.\(from):5433" : nil
            report.streamingName = command["as"] ?? "matriarch:a:1"
        }
        report.systemIdentifier = try optional("system") ?? report.systemIdentifier
        report.foundingMarker = try optional("marker") ?? report.foundingMarker
        report.checkpointTimeline = try optional("checkpoint") ?? report.checkpointTimeline
        if let text = command["unusable"] { report.unusable = String(text.map { $0 == "_" ? " " : $0 }) }
        if let text = command["unpromotable"] {
            report.unpromotable = text == "none" ? nil : String(text.map { $0 == "_" ? " " : $0 })
        }
        report.isBelowRequirements = command.has("below")
        report.isReplayHeldUp = command.has("held-up")
        if let text = command["pending"] {
            report.pendingRestart = text == "none" ? [] : text.split(separator: ",").map(String.init)
        }
        if command.has("torn") { report.isTorn = true }
        return report
    }

    func memberReport() throws -> MemberReport {
        let state = command["data"].flatMap { DataState(rawValue: $0) } ?? .valid
        var report = MemberReport(
            dataState: state, state: .started, role: .replica, streaming: command.has("streaming"),
            frozenTerm: 0, agentVersion: "1")
        report.position = try command["at"].map(position)
        report.unfit = command["unfit"]
        report.replayed = try command["replayed"].map(position)?.lsn
        return report
    }
}

/// The people of the scripts: member x lives at 10.0.0.x in the region east.
enum Founders {
    static let clusterName = "herd"
    static let credentials = Credentials(
        operatorRole: "postgres", operatorPassword: "o", adminRole: "admin", replicationRole: "repl",
        replicationPassword: "r")

    static func member(_ id: MemberID) -> Member {
        Member(id: id, instance: "\(id)#1", address: "10.0.0.\(id)", region: "east")
    }

    static func settings(
        _ member: Member, seeds: [PeerAddress] = [], expected: Int? = nil
    ) -> NodeSettings {
        var settings = NodeSettings(
            member: member, clusterName: clusterName, seeds: seeds, foundersExpected: expected,
            primaryRegion: "east", lease: .seconds(1), heartbeat: nil, maximumLagOnFailover: 1 << 20,
            coldStartWait: .seconds(3), stopTimeout: .seconds(60), credentials: credentials,
            agentVersion: "1")
        settings.postgresMajor = 15
        return settings
    }

    static func document(_ members: [Member]) -> ClusterDocument {
        let voters = members.filter { $0.region == "east" && !$0.tags.contains("nofailover") }.map(\.id)
        return ClusterDocument(
            clusterID: "herd-1", clusterName: clusterName, members: members, voters: Voters(voters),
            primaryRegion: "east", lease: .seconds(1), maximumLagOnFailover: 1 << 20,
            credentials: credentials)
    }

    static func proposal(by proposer: MemberID, of founders: [MemberID]) -> FoundingProposal {
        FoundingProposal(document: document(founders.map(member)), proposer: proposer)
    }
}
