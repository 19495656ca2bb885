import Consensus
import Peers
import Supervision
import Testing

@Suite struct EnvelopeCodecTests {
    static let credentials = Credentials(
        operatorRole: "postgres", operatorPassword: "a \"quoted\" \u{1F411} pass\\word",
        adminRole: "matriarch_admin",
        replicationRole: "repluser", replicationPassword: "geheim")

    static func member(_ number: Int) -> Member {
        Member(
            id: MemberID("pg\(number)"), instance: "b3f1e2aa-0000-4000-8000-00000000000\(number % 10)",
            address: "10.0.0.\(number)", region: "iad", tags: ["priority=1"], joined: 1_795_000_000)
    }

    static func document(members: Int = 3, lineages: Int = 4) -> ClusterDocument {
        let all = (1...members).map(member)
        var document = ClusterDocument(
            clusterID: "c-1", clusterName: "main", members: all, voters: Voters(all.prefix(3).map(\.id)),
            primaryRegion: "iad", lease: .seconds(5), maximumLagOnFailover: 16 << 20, credentials: credentials
        )
        document.systemIdentifier = .max
        for number in 1...lineages {
            document.append(
                Lineage(
                    epoch: Term(number), timeline: Timeline(number),
                    parent: number > 1 ? Timeline(number - 1) : nil,
                    switchLSN: LSN(UInt64(number) << 24), member: "pg1", status: .open))
        }
        return document
    }

    static let entry = Entry(version: Version(term: 7, index: 3), document: document())
    static let position = Position(timeline: 5, lsn: LSN(.max))

    static var report: MemberReport {
        var report = MemberReport(
            dataState: .valid, state: .started, role: .replica, streaming: true, frozenTerm: 6,
            agentVersion: "0.1.0")
        report.position = position
        report.replayed = LSN(0x5_0001_48)
        report.systemIdentifier = 7_340_000_000_000_000_001
        report.checksPassing = 3
        return report
    }

    static func freezeAnswer(_ verdict: FreezeAnswer.Verdict) -> FreezeAnswer {
        FreezeAnswer(
            term: 7, verdict: verdict, dataState: .joining, unpromotable: "nofailover", isLastPrimary: true,
            lastPrimary: position)
    }

    /// Every case of a body and of a consensus message, and the ends of the ranges of numbers.
    static let bodies: [Envelope.Body] = [
        .consensus(.preVote(VoteRequest(term: .max, accepted: .none, releasedTerm: 0))),
        .consensus(.vote(VoteRequest(term: 8, accepted: Version(term: 7, index: .max), releasedTerm: 7))),
        .consensus(
            .voteAnswer(
                VoteAnswer(
                    term: 8, requestedTerm: 8, isPreVote: false, refusal: .promised, newer: entry,
                    committed: .none))),
        .consensus(
            .append(
                Append(
                    term: 7, sequence: .max, version: entry.version, entry: entry, committed: .none,
                    lease: .milliseconds(4999)))),
        .consensus(
            .appendAnswer(AppendAnswer(term: 7, sequence: 9, stored: entry.version, coversLease: true))),
        .consensus(.timeoutNow(TimeoutNow(term: 7))),
        .consensus(.release(term: 7)),
        .consensus(.offer(term: 7, entry, committed: entry.version)),
        .freeze(term: 7),
        .frozen(freezeAnswer(.frozen(position))),
        .frozen(freezeAnswer(.pending("replaying"))),
        .frozen(freezeAnswer(.noData)),
        .frozen(freezeAnswer(.refused("an older term"))),
        .join(JoinRequest(member: member(4), systemIdentifier: 1)),
        .joinAnswer(JoinAnswer(refusal: "another database", leaderAddress: "fdaa::1", leaderPeerPort: 5501)),
        .founder(FounderHello(member: member(1), expected: 3, isBlank: true)),
        .foundingProposal(FoundingProposal(document: document(), proposer: "pg1")),
        .foundingGrant(cluster: "c-1"),
        .command(id: .max, .switchover(target: "pg2", dryRun: true, reason: "line\nbreak")),
        .command(id: 0, .signalSwitchover),
        .command(id: 1, .stop),
        .commandAnswer(
            id: 1, CommandAnswer(verdict: .refused, reason: "no", lines: ["a", ""], target: "pg2")),
    ]

    @Test(arguments: bodies)
    func `every message comes back from its bytes as it was`(body: Envelope.Body) throws {
        var envelope = Envelope(cluster: nil, body: body)
        #expect(try EnvelopeCodec.decode(EnvelopeCodec.encode(envelope)) == envelope)
        envelope.cluster = "c-1"
        envelope.beacon = Beacon(term: 7, sequence: .max)
        envelope.beacon?.position = EnvelopeCodecTests.position
        envelope.report = EnvelopeCodecTests.report
        envelope.roster = [RosterLine(member: "pg2", report: EnvelopeCodecTests.report, ageMilliseconds: -1)]
        #expect(try EnvelopeCodec.decode(EnvelopeCodec.encode(envelope)) == envelope)
    }

    @Test func `the largest cluster's document fits into a frame`() throws {
        let document = EnvelopeCodecTests.document(members: 32, lineages: 128)
        let entry = Entry(version: Version(term: .max, index: .max), document: document)
        var envelope = Envelope(
            cluster: "c-1", body: .consensus(.offer(term: .max, entry, committed: entry.version)))
        envelope.roster = (1...32).map {
            RosterLine(member: MemberID("pg\($0)"), report: EnvelopeCodecTests.report, ageMilliseconds: 250)
        }
        #expect(try EnvelopeCodec.encode(envelope).count < EnvelopeCodec.maxBytes / 2)
    }

    @Test func `what is too large is neither written nor read`() {
        let huge = String(repeating: "x", count: EnvelopeCodec.maxBytes)
        #expect(throws: EnvelopeError.tooLarge(EnvelopeCodec.maxBytes + 1)) {
            try EnvelopeCodec.decode([UInt8](repeating: 0x20, count: EnvelopeCodec.maxBytes + 1))
        }
        #expect(throws: EnvelopeError.self) {
            try EnvelopeCodec.encode(Envelope(cluster: nil, body: .foundingGrant(cluster: huge)))
        }
    }

    @Test func `unknown fields are passed over`() throws {
        let text = #"{"body":{"freeze":{"term":7}},"cluster":"c-1","fromTheFuture":{"a":[1,2]}}"#
        let expected = Envelope(cluster: "c-1", body: .freeze(term: 7))
        #expect(try EnvelopeCodec.decode(Array(text.utf8)) == expected)
    }

    @Test func `an error names the place and never quotes the message`() throws {
        let text = #"{"body":{"freeze":{"term":"hunter2"}},"cluster":"c-1"}"#
        do {
            _ = try EnvelopeCodec.decode(Array(text.utf8))
            Issue.record("a term in letters was read")
        } catch {
            #expect("\(error)".contains("body.freeze"))
            #expect(!"\(error)".contains("hunter2"))
        }
    }

    @Test(arguments: [
        "", "null", "{}", "[", #"{"body":{}}"#, #"{"body":{"noSuch":{}}}"#,
        #"{"body":{"freeze":{"term":-1}}}"#,
        #"{"body":{"freeze":{"term":1e400}}}"#, #"{"body":{"freeze":{"term":18446744073709551616}}}"#,
        String(repeating: "[", count: 100_000),
    ])
    func `bytes that are no envelope throw`(text: String) {
        #expect(throws: EnvelopeError.self) { try EnvelopeCodec.decode(Array(text.utf8)) }
    }

    @Test func `random changes to a message never crash`() throws {
        var random = SeededRandom(seed: 7)
        let sound = try EnvelopeCodec.encode(Envelope(cluster: "c-1", body: EnvelopeCodecTests.bodies[3]))
        for _ in 0..<2000 {
            var bytes = sound
            for _ in 0..<Int.random(in: 1...3, using: &random) {
                bytes[Int.random(in: 0..<bytes.count, using: &random)] = .random(in: 0...255, using: &random)
            }
            _ = try? EnvelopeCodec.decode(bytes)
        }
    }

    @Test func `only messages that a newer one makes worthless have a key`() {
        let keys = EnvelopeCodecTests.bodies.map { Envelope(cluster: nil, body: $0).coalescing }
        let commands = keys.suffix(5)
        #expect(commands.allSatisfy { $0 == nil })
        #expect(keys[3] != nil && keys[3] != keys[4])
        #expect(keys[5] == nil && keys[6] == nil)
    }
}
