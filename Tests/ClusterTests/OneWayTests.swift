import Lab
import TestSupport
import Testing

extension RealPostgres {
    @Suite("Cables that work one way", .serialized, .requiresRoot, .requiresPostgres, .requiresHerd)
    struct OneWayTests {
        @Test(
            "Each direction between each two of three is cut in turn: same primary, same term, writes go on")
        func everyDirection() throws {
            try Arena.trial { herd, trial in
                let primary = try herd.primary()
                let before = try primary.view()
                let start = Moment.current
                for sender in herd.nodes {
                    for hearer in herd.others(than: sender) {
                        let fault = Moment.current
                        try hearer.cut(from: sender)
                        try herd.until("more than a lease has passed") {
                            Moment.current - fault > Arena.lease * 1.5
                        }
                        let (view, direction) = (try primary.view(), "\(sender.name) to \(hearer.name)")
                        #expect(view.primary == primary.name && view.writable, "\(direction)")
                        #expect(view.term == before.term, "\(direction)")
                        #expect(trial.writer.longestGap(since: fault).length < Arena.lease, "\(direction)")
                        try hearer.heal()
                        try herd.until(herd.isWhole, within: Arena.patience)
                    }
                }
                #expect(try primary.view().term == before.term, "a term was brought back")
                #expect(try primary.view().timeline == before.timeline)
                #expect(trial.writer.longestGap(since: start).length < Arena.lease)
                try trial.expectNothingLost()
            }
        }
    }
}
