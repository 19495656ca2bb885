import Testing

@testable import Peers

@Suite struct HelloTests {
    static let here = LocalIdentity(
        clusterName: "main", nodeName: "pg1", instance: "i-1", nonce: 11, agentVersion: "0.1.0",
        advertised: Endpoint(host: "10.0.0.1", port: 5501), versions: 2...3)
    static let there = LocalIdentity(
        clusterName: "main", nodeName: "pg2", instance: "i-2", nonce: .max, agentVersion: "0.1.1",
        advertised: Endpoint(host: "fdaa::2", port: 5501), versions: 3...4)

    private func verdict(expecting expected: String? = nil, _ change: (inout LocalIdentity) -> Void)
        -> Verdict
    {
        var there = HelloTests.there
        change(&there)
        return Hello(there).judged(by: HelloTests.here, expecting: expected)
    }

    @Test func `a hello comes back from its bytes as it was`() throws {
        let hello = Hello(HelloTests.there)
        #expect(try Hello(payload: hello.payload) == hello)
        var unreachable = HelloTests.there
        unreachable.advertised = nil
        #expect(try Hello(payload: Hello(unreachable).payload).advertised == nil)
    }

    @Test func `fields of a later version are passed over`() throws {
        let hello = Hello(HelloTests.there)
        #expect(try Hello(payload: [200, 0, 2, 1, 2] + hello.payload + [201, 0, 0]) == hello)
    }

    @Test func `a hello that is cut anywhere is refused`() {
        let payload = Hello(HelloTests.there).payload
        for length in 0..<payload.count {
            // Only the advertised address, last, may be left out whole.
            let isWithoutAddress = (try? Hello(payload: Array(payload.prefix(length))))?.advertised == nil
            #expect(isWithoutAddress, "\(length) bytes")
        }
        #expect(throws: HelloError.missing("cluster name")) { try Hello(payload: []) }
        #expect(throws: HelloError.cutShort) { try Hello(payload: Array(payload.prefix(10))) }
    }

    @Test func `a hello with a field twice or with control characters is refused`() {
        let payload = Hello(HelloTests.there).payload
        #expect(throws: HelloError.repeated(1)) { try Hello(payload: payload + [1, 0, 1, 65]) }
        var there = HelloTests.there
        there.nodeName = "pg2\u{1B}[2J"
        #expect(throws: HelloError.unreadable("node name")) { try Hello(payload: Hello(there).payload) }
    }

    @Test func `random changes to a hello never crash`() {
        var random = SystemRandomNumberGenerator()
        let sound = Hello(HelloTests.there).payload
        var refused = 0
        for _ in 0..<20_000 {
            var payload = sound
            for _ in 0..<Int.random(in: 1...4, using: &random) {
                payload[Int.random(in: 0..<payload.count, using: &random)] = .random(
                    in: 0...255, using: &random)
            }
            if (try? Hello(payload: payload)) == nil { refused += 1 }
        }
        #expect(refused > 0)
    }

    @Test func `a peer of this cluster is welcome in the newest version that both speak`() {
        guard case .welcome(let peer) = verdict({ _ in }) else { Issue.record("refused"); return }
        #expect(peer.name == "pg2")
        #expect(peer.version == 3)
        #expect(peer.nonce == .max)
        #expect(peer.advertised == Endpoint(host: "fdaa::2", port: 5501))
    }

    @Test func `another cluster, another version and another node are refused by name`() {
        #expect(verdict { $0.clusterName = "test" } == .refused(.otherCluster(theirs: "test", ours: "main")))
        #expect(verdict { $0.versions = 4...5 } == .refused(.otherVersions(theirs: 4...5, ours: 2...3)))
        #expect(verdict { $0.versions = 1...1 } == .refused(.otherVersions(theirs: 1...1, ours: 2...3)))
        #expect(
            verdict(expecting: "pg3") { _ in } == .refused(.otherName(expected: "pg3", found: "pg2")))
    }

    @Test func `our own name is oneself only with our instance and nonce`() {
        func claim(instance: String, nonce: UInt64) -> Verdict {
            verdict { there in
                there.nodeName = "pg1"
                there.instance = instance
                there.nonce = nonce
            }
        }
        #expect(claim(instance: "i-1", nonce: 11) == .oneself)
        #expect(claim(instance: "i-1", nonce: 12) == .refused(.ownName("pg1", instance: "i-1")))
        #expect(claim(instance: "i-9", nonce: 11) == .refused(.ownName("pg1", instance: "i-9")))
    }
}
