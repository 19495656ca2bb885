import Lab
import TestSupport
import Testing

extension RealPostgres {
    @Suite("Disks that take nothing", .serialized, .requiresRoot, .requiresPostgres, .requiresHerd)
    struct FullDiskTests {
        @Test("A standby whose disks are full, then read-only, bears the primary's lease and calls a person")
        func troubledStandby() throws {
            try Arena.trial { herd, trial in
                let primary = try herd.primary()
                let (troubled, other) = (herd.others(than: primary)[0], herd.others(than: primary)[1])
                try troubled.stop()
                let disks = try [troubled.stateDirectory, troubled.runtimeDirectory].map {
                    try SmallDisk(at: $0, kilobytes: 256)
                }
                defer { disks.forEach { try? $0.remove() } }
                try troubled.start()
                try herd.until(herd.isWhole, within: Arena.patience)
                let (term, start) = (try primary.view().term, Moment.current)

                // What is written in place has its room already.
                for disk in disks { try disk.fill() }
                try changeDocument(by: primary)
                try livesOnPromises(herd, of: troubled, without: other)
                #expect(troubled.agentPID != nil, "\(troubled.logTail())")
                for disk in disks { try disk.makeRoom() }

                try troubled.makeStateReadOnly(true)
                try changeDocument(by: primary)
                try herd.until("it calls a person") { troubled.log().contains("event=state-unwritten") }
                try herd.until(
                    Condition("the primary's status says why") {
                        $0.member(troubled.name)?.reason?.contains("Permission denied") == true
                    }, seenBy: [primary], within: Arena.patience)
                try livesOnPromises(herd, of: troubled, without: other)
                try troubled.makeStateReadOnly(false)
                try herd.until("it writes its state down again") {
                    troubled.log().contains("event=state-written")
                }
                #expect(try primary.view().term == term)
                #expect(trial.writer.longestGap(since: start).length < Arena.lease)

                try troubled.stop()
                for disk in disks { try disk.remove() }
                // The state of before lies there again: it is found out as such, and nobody is harmed.
                try troubled.start()
                try herd.until(.replica(troubled.name), within: Arena.patience)
                try trial.expectNothingLost()
            }
        }

        /// With the other standby away, only what `member` promises keeps the lease going.
        private func livesOnPromises(
            _ herd: Herd, of member: HerdNode, without other: HerdNode
        ) throws {
            let primary = try herd.primary()
            try other.cut(.everything)
            let alone = Moment.current
            try herd.until("some leases have passed") { Moment.current - alone > Arena.lease * 3 }
            #expect(try primary.view().primary == primary.name)
            try other.heal()
            try herd.until(.replica(other.name), seenBy: [primary], within: Arena.patience)
        }

        /// Each change is to be written down by everybody.
        private func changeDocument(by primary: HerdNode) throws {
            for command in [["pause", "--for", "1h"], ["resume"]] {
                let outcome = try primary.command(command)
                #expect(outcome.status == 0, "\(outcome.error)")
            }
        }
    }
}
