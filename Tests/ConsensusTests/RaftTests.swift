import Consensus
import Testing

/// What is easier said in code than in a script.
@Suite struct RaftTests {
    private func raft(
        hard: HardState<TestDocument> = .init(), promise: Promise? = nil, sameBoot: Bool = false,
        now: Instant = .zero
    ) -> Raft<TestDocument> {
        Raft(
            identity: Sender(member: "a", instance: "a#1", nonce: 1), hard: hard, rememberedPromise: promise,
            sameBoot: sameBoot, heartbeat: nil, seed: 1, now: now)
    }

    private func entry(_ voters: [MemberID], _ version: Version = Version(term: 0, index: 1)) -> Entry<
        TestDocument
    > {
        Entry(version: version, document: TestDocument(voters: Voters(voters), recipients: voters))
    }

    @Test func theFirstDocumentIsInstalledOnlyIntoAnEmptyRegister() {
        var raft = raft()
        let first = entry(["a", "b"])
        #expect(raft.step(.install(first), at: .zero) == [.committed(first), .persist(1)])
        #expect(raft.step(.install(entry(["a"])), at: .zero) == [])
        #expect(raft.hard.committed == first)
    }

    @Test func anEmptyMemberSleepsForEver() {
        let raft = raft()
        #expect(raft.nextWake == .distantFuture)
    }

    /// tmpfs may know a later term than the disk: the promise still binds, and so does its term.
    @Test func aRememberedPromiseRaisesTheTermWithoutItsLeader() {
        var hard = HardState<TestDocument>()
        hard.term = 3
        hard.accepted = entry(["a", "b", "c"], Version(term: 3, index: 7))
        hard.committed = hard.accepted
        let promise = Promise(leader: "b", instance: "b#1", term: 5, until: Instant.zero + .seconds(1))
        var raft = raft(hard: hard, promise: promise, sameBoot: true)
        _ = raft.step(.guardChanged(.disarmed), at: .zero)
        #expect(raft.term == 5 && raft.leader == nil)
        let request = VoteRequest(term: 6, accepted: hard.acceptedVersion, releasedTerm: 0)
        let rival = Sender(member: "c", instance: "c#1", nonce: 9)
        let effects = raft.step(.received(.preVote(request), from: rival), at: .zero)
        #expect(effects.contains { isRefusal($0, .promised) })
    }

    private func isRefusal(_ effect: Raft<TestDocument>.Effect, _ refusal: VoteRefusal) -> Bool {
        switch effect {
        case .send(.voteAnswer(let answer), _), .sendWhenDurable(.voteAnswer(let answer), _):
            answer.refusal == refusal
        default: false
        }
    }

    /// A hung disk must not make the queue of writes grow with every message.
    @Test func writesInFlightAreBoundedAndLearnedOfLateRatherThanEarly() {
        var raft = raft()
        _ = raft.step(.install(entry(["a", "b", "c"])), at: .zero)
        let rival = Sender(member: "b", instance: "b#1", nonce: 2)
        for term in 1...1000 {
            _ = raft.step(.received(.release(term: Term(term)), from: rival), at: .zero)
        }
        #expect(raft.durable.term == 0)
        _ = raft.step(.persisted(900), at: .zero)
        #expect(raft.durable.term < 900)
        _ = raft.step(.persisted(1001), at: .zero)
        #expect(raft.durable.term == 1000)
    }

    @Test func aClockThatGoesBackEndsTheProcess() async {
        await #expect(processExitsWith: .failure) {
            var raft = Raft<TestDocument>(
                identity: Sender(member: "a", instance: "a#1", nonce: 1), hard: HardState(),
                rememberedPromise: nil,
                sameBoot: false, heartbeat: nil, seed: 1, now: Instant(nanoseconds: 5))
            _ = raft.step(.tick, at: Instant(nanoseconds: 4))
        }
    }

    /// The simulator lives on this: the same events give the same effects, whatever the process.
    @Test func oneSeedGivesOneTrace() {
        func trace() -> [String] {
            let adversary = Adversary(seed: 7, isTracing: true)
            adversary.run(for: .seconds(10))
            return adversary.trace
        }
        let first = trace()
        #expect(first.count > 100)
        #expect(first == trace())
    }
}
