import Consensus
import Testing

/// The inequalities that the times must keep at every lease that can be set (protocol: Times).
@Suite struct TimingsTests {
    static let leases: [Duration] = [
        .seconds(1), .milliseconds(1500), .seconds(5), .seconds(30), .seconds(60),
    ]

    @Test(arguments: leases)
    func aPromiseOutlivesTheLeaseHoweverTheClocksDrift(_ lease: Duration) {
        let timings = Timings(lease: lease)
        let slowLeader = lease.scaled(by: 1 / (1 - Timings.clockRateError))
        let fastVoter = timings.promise.scaled(by: 1 / (1 + Timings.clockRateError))
        #expect(fastVoter > slowLeader)
        #expect(timings.bootWait >= timings.promise)
    }

    @Test(arguments: leases)
    func marginsLeaveRoomForEachOther(_ lease: Duration) {
        let timings = Timings(lease: lease)
        #expect(timings.demoteMargin >= timings.killMargin + .milliseconds(250))
        #expect(timings.roundTripBudget >= .milliseconds(100))
        #expect(timings.rankStep * 5 <= timings.electionSpread)
        #expect(timings.heartbeat * 3 < lease - timings.demoteMargin)
    }

    @Test func atOneSecondAndAtFiveTheTimesAreTheDocumentedOnes() {
        let short = Timings(lease: .seconds(1))
        #expect(short.killMargin == .milliseconds(300) && short.demoteMargin == .milliseconds(550))
        #expect(short.roundTripBudget == .milliseconds(150))
        #expect(short.promise + short.electionSpread <= .milliseconds(1222))
        let long = Timings(lease: .seconds(5))
        #expect(long.killMargin == .milliseconds(750) && long.demoteMargin == .seconds(2))
        #expect(long.promise == .milliseconds(5030))
    }
}
