import Consensus
import Simulator
import Supervision
import Testing

/// Networks that fail in one direction, for a moment, again and again, or just a little. Agents' messages are
/// datagrams here: what passes one way passes, which is harsher than the links that they really use.
@Suite("Half-broken networks")
struct NetworkTroubleTests {
    /// A herd, who is who in it, and what it was like before.
    private struct Scene {
        let herd: Herd
        let primary: MemberID
        let standbys: [MemberID]
        let term: Term

        init(lease: Duration = .seconds(5), cutsReplication: Bool = true) throws {
            herd = Herd(3, lease: lease) { $0.weather.cutsReplication = cutsReplication }
            expectWhole(herd, within: .seconds(60))
            herd.run(for: .seconds(3))
            primary = try #require(herd.primary)
            standbys = (["a", "b", "c"] as [MemberID]).filter { [primary] in $0 != primary }
            term = herd.highestTerm
            herd.forgetGaps()
        }

        func member(_ role: String) -> MemberID {
            switch role {
            case "primary": primary
            case "one standby": standbys[0]
            default: standbys[1]
            }
        }

        /// Same primary, same term, writes never away, nobody objects.
        func expectNothing(after what: String, sourceLocation: SourceLocation = #_sourceLocation) {
            let story = "\(what)\n\(herd.traceTail)"
            #expect(herd.violation == nil, "\(story)", sourceLocation: sourceLocation)
            #expect(herd.primary == primary, "\(story)", sourceLocation: sourceLocation)
            #expect(herd.highestTerm == term, "\(story)", sourceLocation: sourceLocation)
            // Clients pause for up to a second themselves.
            #expect(herd.longestGap < .milliseconds(1500), "\(story)", sourceLocation: sourceLocation)
        }

        func expectWholeAgain(sourceLocation: SourceLocation = #_sourceLocation) {
            herd.heal()
            expectWhole(herd, within: .seconds(60), sourceLocation: sourceLocation)
        }
    }

    static let roles = ["primary", "one standby", "the other standby"]
    static let directions: [(from: String, to: String)] = roles.flatMap { from in
        roles.filter { $0 != from }.map { (from, $0) }
    }

    // MARK: one pair, one direction

    @Test(arguments: directions, [true, false])
    func oneWayBetweenTwoChangesNothing(_ cut: (from: String, to: String), _ cutsReplication: Bool) throws {
        let scene = try Scene(cutsReplication: cutsReplication)
        scene.herd.cut(scene.member(cut.from), scene.member(cut.to))
        scene.herd.run(for: .seconds(20))
        scene.expectNothing(after: "\(cut.from) is not heard by \(cut.to)")
        scene.expectWholeAgain()
        #expect(scene.herd.highestTerm == scene.term, "whoever was cut off brought a term back")
    }

    @Test(arguments: directions.filter { $0.from < $0.to })
    func aPairThatDoesNotHearEachOtherChangesNothing(_ cut: (from: String, to: String)) throws {
        let scene = try Scene()
        scene.herd.cut(scene.member(cut.from), scene.member(cut.to))
        scene.herd.cut(scene.member(cut.to), scene.member(cut.from))
        scene.herd.run(for: .seconds(20))
        scene.expectNothing(after: "\(cut.from) and \(cut.to) do not hear each other")
        scene.expectWholeAgain()
        #expect(scene.herd.highestTerm == scene.term)
    }

    /// A standby that hears nothing stands for election again and again, and nobody is disturbed.
    @Test(arguments: [true, false], roles.dropFirst())
    func aDeafOrMuteStandbyWastesNoTerm(_ isDeaf: Bool, _ role: String) throws {
        let scene = try Scene()
        let standby = scene.member(role)
        isDeaf ? scene.herd.cutTo(standby) : scene.herd.cutFrom(standby)
        scene.herd.run(for: .seconds(30))
        scene.expectNothing(after: "\(role) is \(isDeaf ? "deaf" : "mute")")
        scene.expectWholeAgain()
        #expect(scene.herd.highestTerm == scene.term)
    }

    // MARK: a direction that takes the majority

    @Test(arguments: [true, false], [true, false])
    func aDeafOrMutePrimaryIsFencedBeforeOneOtherTakesOver(_ isDeaf: Bool, _ cutsReplication: Bool) throws {
        let scene = try Scene(cutsReplication: cutsReplication)
        let (herd, old) = (scene.herd, scene.primary)
        isDeaf ? herd.cutTo(old) : herd.cutFrom(old)
        // It must be gone within its lease; the judge of two writers watches the rest.
        #expect(herd.run(within: .seconds(5)) { !$0.isPostgresAlive(old) } != nil, "\(herd.traceTail)")
        #expect(herd.primary == nil, "another wrote before the first was gone")
        let took = herd.run(within: .seconds(5)) { $0.primary != nil }
        #expect(took != nil && herd.primary != old, "\(herd.traceTail)")
        let (new, term) = (herd.primary, herd.highestTerm)
        herd.run(for: .seconds(30))
        #expect(herd.primary == new && herd.highestTerm == term, "once, and no more")
        scene.expectWholeAgain()
        #expect(herd.primary == new, "it comes back as a standby")
        #expect(herd.highestTerm == term)
        #expect(herd.violation == nil)
    }

    /// With one standby down, one direction to the other one is the majority.
    @Test(arguments: [true, false])
    func withoutAMajorityThePrimaryIsFencedAndGoesOnAfterwards(_ isHeard: Bool) throws {
        let scene = try Scene()
        let (herd, old) = (scene.herd, scene.primary)
        herd.crash(scene.standbys[1])
        herd.run(for: .seconds(2))
        isHeard ? herd.cut(scene.standbys[0], old) : herd.cut(old, scene.standbys[0])
        #expect(herd.run(within: .seconds(6)) { !$0.isPostgresAlive(old) } != nil, "\(herd.traceTail)")
        #expect(herd.run(within: .seconds(20)) { $0.primary != nil } == nil, "nobody has a majority")
        herd.heal()
        #expect(herd.run(within: .seconds(30)) { $0.primary != nil } != nil, "\(herd.traceTail)")
        herd.boot(scene.standbys[1])
        scene.expectWholeAgain()
        #expect(herd.violation == nil)
    }

    // MARK: blips and flapping

    /// Of the longest silence that a lease allows: three heartbeats less than what is left before demotion.
    @Test(arguments: [Duration.seconds(1), .seconds(5), .seconds(20)])
    func aBlipShorterThanTheLeaseAllowsIsNoFailover(_ lease: Duration) throws {
        let scene = try Scene(lease: lease)
        let timings = Timings(lease: lease)
        let blip = timings.roundTripBudget
        for _ in 0..<6 {
            scene.herd.isolate(scene.primary)
            scene.herd.run(for: blip)
            scene.herd.heal()
            scene.herd.run(for: lease)
        }
        scene.expectNothing(after: "six blips of \(blip)")
    }

    @Test(arguments: directions)
    func aFlappingLinkWastesNoTerm(_ cut: (from: String, to: String)) throws {
        let scene = try Scene()
        let (from, to) = (scene.member(cut.from), scene.member(cut.to))
        for half in [Duration.milliseconds(150), .milliseconds(400), .milliseconds(1200), .seconds(4)] {
            scene.herd.cut(from, to)
            scene.herd.run(for: half)
            scene.herd.mend(from, to)
            scene.herd.run(for: half)
        }
        scene.expectNothing(after: "\(cut.from) to \(cut.to) flapped")
        scene.expectWholeAgain()
        #expect(scene.herd.highestTerm == scene.term)
    }

    /// The promises outlast each silence, so the one that comes and goes is never asked to leave.
    @Test func aStandbyThatComesAndGoesWastesNoTerm() throws {
        let scene = try Scene()
        for _ in 0..<3 {
            scene.herd.isolate(scene.standbys[0])
            scene.herd.run(for: .seconds(8))
            scene.herd.heal()
            scene.herd.run(for: .seconds(3))
        }
        scene.expectNothing(after: "a standby came and went")
        scene.expectWholeAgain()
        #expect(scene.herd.highestTerm == scene.term)
    }

    /// Each time it is cut off for long, another takes over: by one election, or by two when the less fresh
    /// of the others won the first and gave way.
    @Test func aPrimaryThatComesAndGoesCostsAnElectionEachTime() throws {
        let scene = try Scene()
        let herd = scene.herd
        for _ in 0..<3 {
            let (old, term) = (try #require(herd.primary), herd.highestTerm)
            herd.isolate(old)
            #expect(herd.run(within: .seconds(10)) { ![nil, old].contains($0.primary) } != nil)
            let now = herd.highestTerm
            #expect(now <= term + 2, "\(herd.traceTail)")
            herd.heal()
            expectWhole(herd, within: .seconds(60))
            #expect(herd.highestTerm == now, "whoever was cut off brought a term back")
        }
        #expect(herd.violation == nil)
    }

    // MARK: slow and lossy

    @Test(arguments: [Duration.milliseconds(50), .milliseconds(200), .milliseconds(400)])
    func aSlowNetworkIsNoFailover(_ slower: Duration) throws {
        let scene = try Scene()
        scene.herd.weather(slower: slower)
        scene.herd.run(for: .seconds(100))
        #expect(scene.herd.violation == nil, "\(scene.herd.traceTail)")
        #expect(scene.herd.primary == scene.primary, "\(scene.herd.traceTail)")
        #expect(scene.herd.highestTerm == scene.term)
    }

    /// At worst a few elections, and never two who write.
    @Test(arguments: [0.1, 0.3])
    func aLossyNetworkIsAFewElectionsAtWorst(_ loss: Double) throws {
        let scene = try Scene()
        scene.herd.weather(slower: .milliseconds(200), loss: loss)
        scene.herd.run(for: .seconds(100))
        #expect(scene.herd.violation == nil, "\(scene.herd.traceTail)")
        #expect(scene.herd.highestTerm <= scene.term + 3, "\(scene.herd.traceTail)")
        scene.expectWholeAgain()
    }
}
