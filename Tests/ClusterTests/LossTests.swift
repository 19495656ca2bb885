import Glibc
import Lab
import Platform
import TestSupport
import Testing

extension RealPostgres {
    @Suite("What is lost is replaced", .serialized, .requiresRoot, .requiresPostgres, .requiresHerd)
    struct LossTests {
        @Test("The primary's machine is lost: another takes over; the old one comes back as a replica")
        func machine() throws {
            try Arena.trial { herd, trial in
                let lost = try herd.primary()
                let fault = Moment.current
                try lost.losePower()
                try herd.until(.primary(isNot: lost.name), within: Arena.patience)
                try trial.writesGoOn()
                try lost.returnPower()
                try herd.until(.replica(lost.name), within: Arena.patience)
                try trial.expectLossOnlyAround(fault)
            }
        }

        @Test("A standby's machine is lost: writes do not even pause")
        func standbyMachine() throws {
            try Arena.trial { herd, trial in
                let primary = try herd.primary()
                let lost = herd.others(than: primary)[0]
                let fault = Moment.current
                try lost.losePower()
                try herd.until(
                    Condition("\(lost.name) is told as unreachable") {
                        $0.member(lost.name)?.reachable == false
                    }, seenBy: [primary], within: Arena.patience)
                try trial.writesGoOn()
                #expect(trial.writer.longestGap(since: fault).length < Arena.lease)
                #expect(try herd.primary().name == primary.name)
                try lost.returnPower()
                try herd.until(.replica(lost.name), within: Arena.patience)
                try trial.expectNothingLost()
            }
        }

        @Test("The postmaster, then one backend is killed under load: it starts again there, nothing is lost")
        func postmaster() throws {
            try Arena.trial { herd, trial in
                try herd.primary().kill(.postmaster)
                try trial.writesGoOn()
                let primary = try herd.primary()
                // As the kernel does when memory runs out; Postgres ends with it (restart_after_crash = off).
                let session = try Session(primary.database, within: .seconds(5))
                let backend = try #require(Int32(try session.value("select pg_backend_pid()") ?? ""))
                #expect(Glibc.kill(backend, SIGKILL) == 0)
                try trial.writesGoOn()
                #expect(try herd.primary().name == primary.name)
                #expect(primary.log().contains("one of its processes crashed or was killed"))
                try trial.expectNothingLost()
            }
        }

        @Test("The agent is killed and started again: same primary, same Postgres, writes go on")
        func agent() throws {
            try Arena.trial { herd, trial in
                let primary = try herd.primary()
                let postmaster = try primary.process(.postmaster)
                let fault = Moment.current
                try primary.kill(.agent)
                try primary.start()
                try herd.until(herd.isWhole, within: Arena.patience)
                try trial.writesGoOn()
                #expect(try herd.primary().name == primary.name)
                #expect(try primary.process(.postmaster) == postmaster)
                #expect(trial.writer.longestGap(since: fault).length < Arena.lease)
                try trial.expectNothingLost()
            }
        }

        @Test("A standby's agent is killed: its Postgres goes on following")
        func standbyAgent() throws {
            try Arena.trial { herd, trial in
                let node = herd.others(than: try herd.primary())[0]
                let postmaster = try node.process(.postmaster)
                try node.kill(.agent)
                let session = try Session(node.database, within: .seconds(5))
                let before = try session.value("select count(*) from \(Writer.table)")
                try herd.until("rows still arrive without the agent") {
                    try session.value("select count(*) from \(Writer.table)") != before
                }
                try node.start()
                try herd.until(.replica(node.name), within: Arena.patience)
                #expect(try node.process(.postmaster) == postmaster)
                try trial.expectNothingLost()
            }
        }

        @Test("The guard is killed: Postgres dies with it and writes come back")
        func guardian() throws {
            try Arena.trial { herd, trial in
                let primary = try herd.primary()
                let postmaster = try primary.process(.postmaster)
                let fault = Moment.current
                try primary.kill(.guardian)
                try herd.until("the guard's Postgres is gone") { !Processes.isAlive(postmaster) }
                try trial.writesGoOn()
                try trial.expectLossOnlyAround(fault)
            }
        }

        @Test("The guard is frozen: the agent ends it together with its Postgres, and writes come back")
        func frozenGuard() throws {
            try Arena.trial { herd, trial in
                let primary = try herd.primary()
                let frozen = try primary.process(.guardian)
                let postmaster = try primary.process(.postmaster)
                let fault = Moment.current
                try primary.signal(SIGSTOP, .guardian)
                try herd.until("the frozen guard and its Postgres are gone", within: Arena.patience) {
                    !Processes.isAlive(frozen) && !Processes.isAlive(postmaster)
                }
                try trial.writesGoOn()
                try herd.until(herd.isWhole, within: Arena.patience)
                try trial.expectLossOnlyAround(fault)
            }
        }

        @Test("Agent and guard are killed at once: the agent that returns ends a backend that commits on")
        func orphan() throws {
            try Arena.trial { herd, trial in
                let primary = try herd.primary()
                let session = try Session(primary.database, within: .seconds(5))
                _ = try session.run("create table if not exists spin (n int)")
                let pid = try #require(Int32(try session.value("select pg_backend_pid()") ?? ""))
                // The client gives up; a backend that never reads its socket does not notice.
                let loop = "do $$ begin loop insert into spin values (1); commit; end loop; end $$"
                #expect(throws: SessionError.self) { try session.run(loop, within: .milliseconds(300)) }
                let backend = try #require(ProcessTable.entry(pid))
                let postmaster = try primary.process(.postmaster)
                let fault = Moment.current
                try primary.kill(.agent)
                try primary.kill(.guardian)
                try herd.until("the guard's postmaster is gone", within: Arena.patience) {
                    !Processes.isAlive(postmaster)
                }
                #expect(Processes.isAlive(backend), "without an orphan this shows nothing")
                try primary.start()
                try herd.until("the orphan is gone", within: Arena.patience) { !Processes.isAlive(backend) }
                try trial.writesGoOn()
                try herd.until(herd.isWhole, within: Arena.patience)
                try trial.expectLossOnlyAround(fault)
            }
        }

        @Test("The agent is frozen for 30 s: one writer only, and it rejoins when it thaws")
        func frozenAgent() throws {
            try Arena.trial { herd, trial in
                let frozen = try herd.primary()
                let fault = Moment.current
                try frozen.signal(SIGSTOP, .agent)
                let others = herd.others(than: frozen)
                try herd.until(.primary(isNot: frozen.name), seenBy: others, within: Arena.patience)
                try trial.writesGoOn()
                try herd.until("30 s are over") { Moment.current - fault > .seconds(30) }
                try frozen.signal(SIGCONT, .agent)
                try herd.until(.replica(frozen.name), seenBy: others, within: Arena.patience)
                try trial.expectLossOnlyAround(fault)
            }
        }
    }
}
