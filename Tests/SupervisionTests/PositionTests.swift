import Consensus
import FoundationEssentials
import Testing

@testable import Supervision

@Suite struct PositionTests {
    @Test(arguments: [
        (0, "0/0"), (0x500_0148, "0/5000148"), (0xFFFF_FFFF, "0/FFFFFFFF"), (0x1_0000_0000, "1/0"),
        (0xABCD_0000_0001, "ABCD/1"), (UInt64.max, "FFFFFFFF/FFFFFFFF"),
    ])
    func anLSNReadsAsItIsPrinted(_ bytes: UInt64, _ text: String) {
        #expect(LSN(bytes).description == text)
        #expect(LSN(text) == LSN(bytes))
        #expect(LSN(text.lowercased()) == LSN(bytes))
    }

    @Test(arguments: [
        "", "0", "/", "0/", "/0", "0/0/0", "0/100000000", "g/0", " 0/0", "-1/0", "0/-1", "0 /0",
    ])
    func whatIsNoLSNIsRefused(_ text: String) {
        #expect(LSN(text) == nil)
    }

    @Test func laggingIsCountedInBytesAndNeverNegative() {
        #expect(LSN(100).behind(LSN(250)) == 150)
        #expect(LSN(250).behind(LSN(100)) == 0)
        #expect(LSN(0x1_0000_0000) > LSN(0xFFFF_FFFF))
    }

    @Test func aBrokenPositionFromAPeerNamesWhatIsWrong() throws {
        let text = #"{"timeline":2,"lsn":"0-500"}"#
        let error = #expect(throws: DecodingError.self) {
            try JSONDecoder().decode(Position.self, from: Data(text.utf8))
        }
        #expect(String(describing: try #require(error)).contains("0-500 is not a WAL position"))
    }

    /// What a crash must not take comes back equal, whatever is in it.
    @Test func theDurableStateIsReadAsItWasWritten() throws {
        var document = Founders.document(["a", "b"].map { Founders.member(MemberID($0)) })
        document.systemIdentifier = .max
        document.founding = Founding(attempt: 3, member: "a")
        document.switchover = SwitchoverIntent(target: "b", from: "a", term: 9, reason: "stop")
        document = document.reserving(for: "b", term: 9, from: Position(timeline: 1, lsn: LSN(0x5_0000_0148)))
        document.voters = Voters(["a"], next: ["a", "b"])
        var state = DurableState(instance: "a#1", member: "a")
        state.hard.term = .max
        state.hard.votedFor = .init(candidate: "b", nonce: .max)
        state.hard.accepted = Entry(version: Version(term: 9, index: 12), document: document)
        state.hard.committed = state.hard.accepted
        state.grant = FoundingProposal(document: document, proposer: "b")
        state.sequence = .max
        for intent in [
            Intent.standby, .founding(attempt: 3), .promoting(epoch: 9, timeline: 4), .primary(epoch: 9),
        ] {
            state.data.intent = intent
            for dataState in [DataState.none, .cloning, .rewinding, .joining, .valid] {
                state.data.state = dataState
                let bytes = try JSONEncoder().encode(state)
                #expect(try JSONDecoder().decode(DurableState.self, from: bytes) == state)
            }
        }
    }
}

/// The names that Postgres sees: legal, and never the same for two members.
@Suite struct MemberNameTests {
    static let names = [
        "pg1", "PG1", "pg-1", "pg_1", "pg.1", "pg 1", "db-eu-west", "db_eu_west", "ünïcode", "データ", "",
        String(repeating: "x", count: 60), String(repeating: "x", count: 60) + "-1",
        String(repeating: "x", count: 60) + "-2", String(repeating: "é", count: 80),
    ]

    @Test func slotNamesAreLegalAndTellMembersApart() {
        let slots = Self.names.map { Member.slotName(for: MemberID($0)) }
        #expect(Set(slots).count == slots.count)
        for slot in slots {
            #expect(!slot.isEmpty && slot.utf8.count <= 63)
            #expect(
                slot.utf8.allSatisfy { "abcdefghijklmnopqrstuvwxyz0123456789_".utf8.contains($0) }, "\(slot)")
        }
    }

    /// Postgres cuts what is longer than 63 bytes, and would see one member where there are two.
    @Test func applicationNamesAreWholeAndTellMembersApart() {
        let members = Self.names.map { name in
            var member = Founders.member("b")
            member.id = MemberID(name)
            member.incarnation = 1_000_000
            return member
        }
        let names = members.flatMap { [$0.synchronousName, $0.joiningName] }
        #expect(Set(names).count == names.count)
        #expect(names.allSatisfy { $0.utf8.count <= 63 })
    }

    /// Only a valid standby's walreceiver may bear the name that commits may count on.
    @Test func theSynchronousNameIsThatOfOneIncarnation() {
        var member = Founders.member("b")
        let first = member.synchronousName
        member.incarnation = 2
        #expect(member.synchronousName != first && member.joiningName != first)
        #expect(!member.joiningName.hasPrefix("matriarch:"))
    }
}
