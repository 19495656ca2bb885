import Lab
import Platform
import TestSupport
import Testing

extension RealPostgres {
    @Suite("What is put back", .serialized, .requiresRoot, .requiresPostgres, .requiresHerd)
    struct RollbackTests {
        private static let slots = ["state.a", "state.b"]

        /// Keeps owner and mode.
        private func copy(_ names: [String], from: String, to: String) throws {
            let words = ["-p"] + names.map { "\(from)/\($0)" } + [to]
            let deadline = BootClock.now() + 10_000_000_000
            let (exit, _, error) = try ChildProcess.run("/bin/cp", words, until: deadline)
            #expect(exit.isSuccess, "\(error)")
        }

        @Test("A standby's machine comes back with an older state file: it is let in as a new instance")
        func standby() throws {
            try Arena.trial { herd, trial in
                let old = try herd.primary()
                let (target, victim) = (herd.others(than: old)[0], herd.others(than: old)[1])
                let kept = try TemporaryDirectory("put-back")
                try copy(Self.slots, from: victim.stateDirectory, to: kept.path)
                // Something that everybody writes down.
                #expect(try old.command("switchover", "--to", target.name).status == 0)
                try herd.until(herd.isWhole, within: Arena.patience)
                try victim.losePower()
                try copy(Self.slots, from: kept.path, to: victim.stateDirectory)
                try victim.returnPower()
                try herd.until("\(victim.name) starts over", within: Arena.patience) {
                    victim.log().contains("starting over as a new instance")
                }
                try herd.until(.replica(victim.name), within: Arena.patience)
                try trial.writesGoOn()
                try trial.expectNothingLost()
            }
        }
    }
}
