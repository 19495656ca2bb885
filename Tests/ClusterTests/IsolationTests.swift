import Lab
import TestSupport
import Testing

extension RealPostgres {
    @Suite("What is cut off does no harm", .serialized, .requiresRoot, .requiresPostgres, .requiresHerd)
    struct IsolationTests {
        @Test("The primary is cut off: it stops writing before another begins, and follows when it is back")
        func primary() throws {
            try Arena.trial { herd, trial in
                let lonely = try herd.primary()
                let others = herd.others(than: lonely)
                let fault = Moment.current
                try lonely.cut(.everything)
                try herd.until(.primary(isNot: lonely.name), seenBy: others, within: Arena.patience)
                try trial.writesGoOn()
                #expect(!trial.watch.writable().contains(lonely.name))
                #expect(try lonely.get("/primary").status == 503)
                try lonely.heal()
                try herd.until(.replica(lonely.name), within: Arena.patience)
                try trial.expectLossOnlyAround(fault)
            }
        }

        @Test("The primary is heard but hears nothing: another takes over")
        func deafPrimary() throws {
            try Arena.trial { herd, trial in
                let deaf = try herd.primary()
                let fault = Moment.current
                try deaf.cut(.incoming)
                try herd.until(
                    .primary(isNot: deaf.name), seenBy: herd.others(than: deaf), within: Arena.patience)
                try trial.writesGoOn()
                try deaf.heal()
                try herd.until(.replica(deaf.name), within: Arena.patience)
                try trial.expectLossOnlyAround(fault)
            }
        }

        @Test("A standby is cut off: nothing changes for writers, no term is wasted, and it catches up")
        func standby() throws {
            try Arena.trial { herd, trial in
                let primary = try herd.primary()
                let term = try primary.view().term
                let lonely = herd.others(than: primary)[0]
                let fault = Moment.current
                try lonely.cut(.everything)
                try herd.until(
                    Condition("\(lonely.name) is told as unreachable") {
                        $0.member(lonely.name)?.reachable == false
                    }, seenBy: [primary], within: Arena.patience)
                try herd.until("some leases have passed") { Moment.current - fault > Arena.lease * 3 }
                try lonely.heal()
                try herd.until(.replica(lonely.name), seenBy: [primary], within: Arena.patience)
                #expect(trial.writer.longestGap(since: fault).length < Arena.lease)
                #expect(try primary.view().primary == primary.name)
                #expect(try primary.view().term == term)
                try trial.expectNothingLost()
            }
        }
    }
}
