import Glibc
import Platform
import TestSupport
import Testing

/// The guard against real Postgres. See docs/internals/guard.md.
@Suite(.requiresPostgres, .serialized) struct GuardTests {
    @Test func atTheDeadlineFiftyBusySessionsEndAndNothingCommitsAfterTheReport() throws {
        let node = try GuardedPostgres(standby: false)
        let client = try node.client()
        try node.run(client, primaryUntil: inSeconds(60))
        let busy = try node.startBusySessions(50)
        let deadline = inSeconds(0.5)
        // The epoch's own deadline only grows; a later epoch brings its own.
        try client.expectDone(.arm(epoch: 2, deadline: deadline))
        let fenced = try client.expectEvent(.fenced(reason: "deadline"))
        #expect(fenced.epoch == nil)
        #expect(fenced.disarmed == 2)
        let dead = try client.expectEvent(.killed)
        #expect(try node.processes.isEmpty)
        let reported = WallClock.now()
        let killedAt = try #require(dead.killedAt)
        #expect(dead.postmaster == nil)
        #expect(dead.mode == .stopped)
        #expect(killedAt >= deadline)
        #expect(killedAt - deadline < 2 * GuardedPostgres.seconds)
        _ = busy.wait(until: inSeconds(20))

        try client.expectDone(.arm(epoch: 3, deadline: inSeconds(60)))
        try client.expectDone(node.start(standby: false))
        try node.waitForConnections()
        let micros = reported.seconds * 1_000_000 + reported.nanoseconds / 1000
        let last = try node.query("SELECT (extract(epoch FROM max(at)) * 1000000)::bigint FROM writes")
        #expect(try #require(Int64(last)) < micros)
        #expect(try #require(Int64(try node.query("SELECT count(*) FROM writes"))) > 0)
    }

    @Test func aStandbyWhoseSignalFileIsRemovedIsKilled() throws {
        let node = try GuardedPostgres(standby: true)
        let client = try node.client()
        let state = try node.run(client, primaryUntil: nil)
        #expect(state.mode == .standby)
        let removed = BootClock.now()
        #expect(unlink(node.directory.file("data/standby.signal")) == 0)
        _ = try client.expectEvent(.fenced(reason: "standby-signal-missing"))
        let dead = try client.expectEvent(.killed)
        #expect(try #require(dead.killedAt) - removed < GuardedPostgres.seconds)
        #expect(try node.processes.isEmpty)
    }

    @Test func aStandbyPromotedWithoutALeaseIsKilled() throws {
        let node = try GuardedPostgres(standby: true)
        let client = try node.client()
        try node.run(client, primaryUntil: nil)
        // The session is cut by the kill or answered just before; either way the guard acts.
        _ = try? node.query("SELECT pg_promote()")
        _ = try client.expectEvent(.fenced(reason: "standby-signal-missing"))
        _ = try client.expectEvent(.killed)
    }

    @Test func losingTheAgentChangesNothingAndANewerOneTakesOver() throws {
        let node = try GuardedPostgres(standby: false)
        var first: GuardClient? = try node.client(session: 10)
        let deadline = inSeconds(60)
        let started = try node.run(try #require(first), primaryUntil: deadline)
        first = nil
        let second = try node.client(session: 11)
        let found = try second.expectDone(.state)
        #expect(found.postmaster == started.postmaster)
        #expect(found.startTime == started.startTime)
        #expect(found.deadline == deadline)
        #expect(found.isArmed(at: BootClock.now()))
        #expect(ProcessTable.entry(try #require(found.postmaster))?.startTime == found.startTime)
        #expect(try second.expectDone(.renew(epoch: 1, deadline: deadline + 5)).deadline == deadline + 5)
        #expect(try node.query("SELECT 1") == "1")
    }

    @Test func anOlderAgentIsRefusedAlsoOnTheConnectionThatItHas() throws {
        let node = try GuardedPostgres(standby: false)
        let old = try node.client(session: 10)
        try old.expectDone(.arm(epoch: 1, deadline: inSeconds(60)))
        let new = try node.client(session: 11)
        try old.expectRefused(.renew(epoch: 1, deadline: inSeconds(90)), "superseded")
        try old.expectRefused(.kill, "superseded")
        try old.expectRefused(.hello(session: 10), "superseded")
        #expect(throws: GuardFailure.self) { try node.client(session: 9) }
        #expect(try old.expectDone(.state).epoch == 1)
        try new.expectDone(.renew(epoch: 1, deadline: inSeconds(90)))
        // Several connections of one agent are fine.
        try node.client(session: 11).expectDone(.renew(epoch: 1, deadline: inSeconds(91)))
    }

    @Test func nothingButTheStateIsToldWithoutHello() throws {
        let node = try GuardedPostgres(standby: false)
        let client = try node.client(session: nil)
        try client.expectDone(.state)
        for request in [GuardRequest.kill, .arm(epoch: 1, deadline: inSeconds(60)), .disarm(epoch: 1)] {
            try client.expectRefused(request, "hello")
        }
    }

    @Test func armingObeysItsTable() throws {
        let node = try GuardedPostgres(standby: false)
        let client = try node.client()
        let (past, near, far) = (BootClock.now(), inSeconds(100), inSeconds(200))
        let table: [(GuardRequest, reason: String?, epoch: UInt64?, deadline: Int64)] = [
            (.renew(epoch: 1, deadline: far), "unarmed", nil, 0),
            (.disarm(epoch: 1), "stale", nil, 0),
            (.arm(epoch: 0, deadline: far), "epoch", nil, 0),
            (.arm(epoch: 5, deadline: 0), "forever", nil, 0),
            (.arm(epoch: 5, deadline: past), "late", nil, 0),
            (.arm(epoch: 5, deadline: near), nil, 5, near),
            (.arm(epoch: 4, deadline: far), "stale", 5, near),
            (.renew(epoch: 4, deadline: far), "stale", 5, near),
            (.renew(epoch: 6, deadline: far), "stale", 5, near),
            (.renew(epoch: 5, deadline: far), nil, 5, far),
            (.renew(epoch: 5, deadline: near), nil, 5, far),
            (.arm(epoch: 5, deadline: near), nil, 5, far),
            (.arm(epoch: 7, deadline: near), nil, 7, near),
            (.disarm(epoch: 5), "stale", 7, near),
            (.disarm(epoch: 7), nil, nil, 0),
            (.disarm(epoch: 7), nil, nil, 0),
            (.arm(epoch: 7, deadline: far), "over", nil, 0),
            (.arm(epoch: 6, deadline: far), "over", nil, 0),
            (.renew(epoch: 7, deadline: far), "unarmed", nil, 0),
            (.arm(epoch: 8, deadline: far), nil, 8, far),
            (.kill, nil, nil, 0),
            (.arm(epoch: 8, deadline: far), "over", nil, 0),
            (.arm(epoch: 9, deadline: far), nil, 9, far),
        ]
        for row in table {
            if let reason = row.reason {
                try client.expectRefused(row.0, reason)
            } else {
                try client.expectDone(row.0)
            }
            let state = try client.expectDone(.state)
            #expect(state.epoch == row.epoch, "\(row.0)")
            #expect(state.deadline == row.deadline, "\(row.0)")
            #expect(state.mode == (row.epoch == nil ? .stopped : .primary), "\(row.0)")
        }
    }

    @Test func aLeaseThatEndsBeforePostgresIsStartedIsOver() throws {
        let node = try GuardedPostgres(standby: false)
        let client = try node.client()
        try client.expectDone(.arm(epoch: 1, deadline: inSeconds(0.05)))
        let state = try client.expectEvent(.fenced(reason: "deadline"))
        #expect(state.epoch == nil)
        try client.expectRefused(node.start(standby: false), "unarmed")
        #expect(try node.processes.isEmpty)
    }

    @Test func startingObeysItsTable() throws {
        let node = try GuardedPostgres(standby: false)
        let client = try node.client()
        try client.expectRefused(node.start(standby: true), "standby-signal")
        try client.expectRefused(node.start(standby: false), "unarmed")
        try GuardedPostgres.runAsOwner("/usr/bin/touch", [node.directory.file("data/standby.signal")])
        try client.expectDone(.arm(epoch: 1, deadline: inSeconds(60)))
        try client.expectRefused(node.start(standby: false), "standby-signal")
        let lock = try Files.lockDirectory(node.program.dataDirectory)
        try client.expectRefused(node.start(standby: true), "locked")
        withExtendedLifetime(lock) {}
        try node.client(session: 1).expectDone(.state)
    }

    @Test func theDataDirectoryIsLockedWhilePostgresRuns() throws {
        let node = try GuardedPostgres(standby: true)
        let client = try node.client()
        try node.run(client, primaryUntil: nil)
        let error = #expect(throws: FileLock.Held.self) {
            try Files.lockDirectory(node.program.dataDirectory)
        }
        #expect(error?.holder == node.process.pid)
        try client.expectRefused(node.start(standby: true), "running")
        try client.expectDone(.kill)
        _ = try Files.lockDirectory(node.program.dataDirectory)
    }

    @Test func aPostgresThatTheGuardDidNotStartIsNamedAndNeverSignalled() throws {
        let node = try GuardedPostgres(standby: true)
        let client = try node.client()
        let foreign = try node.startForeignPostgres()
        waitUntil("the foreign Postgres runs") { Files.exists(node.directory.file("data/postmaster.pid")) }
        try client.expectRefused(node.start(standby: true), "foreign")
        try client.expectDone(.kill)
        try client.expectDone(.stop(.immediate, boundMilliseconds: 0))
        #expect(foreign.exitIfEnded() == nil)
        try foreign.signal(SIGQUIT)
        #expect(foreign.wait(until: inSeconds(30)) != nil)
        waitUntil("its children are gone") { (try? node.processes.isEmpty) == true }
        try client.expectDone(node.start(standby: true))
    }

    @Test func theGuardsDeathTakesThePostmasterAndTheAgentCanEndTheRest() throws {
        let node = try GuardedPostgres(standby: false)
        let client = try node.client()
        let state = try node.run(client, primaryUntil: inSeconds(60))
        let busy = try node.startBusySessions(5)
        let postmaster = try #require(state.postmaster)
        try node.process.signal(SIGKILL)
        waitUntil("the postmaster is gone") { ProcessTable.entry(postmaster).map { $0.state == "Z" } ?? true }
        let uid = try Files.owner(of: node.program.dataDirectory).uid
        try ProcessTable.killAll(inDirectory: node.program.dataDirectory, uid: uid, until: inSeconds(30))
        #expect(try node.processes.isEmpty)
        #expect(node.process.wait(until: inSeconds(20)) == .signal(SIGKILL))
        _ = busy.wait(until: inSeconds(20))
        // A new guard knows nothing of the old one's epochs, and nothing runs.
        try node.relaunch()
        #expect(try node.client().expectDone(.state).mode == .stopped)
    }

    @Test func aPostmasterThatDiesLeavesNothingBehindAndTheLeaseStands() throws {
        let node = try GuardedPostgres(standby: false)
        let client = try node.client()
        let state = try node.run(client, primaryUntil: inSeconds(60))
        let busy = try node.startBusySessions(20)
        kill(try #require(state.postmaster), SIGKILL)
        let ended = try client.expectEvent(.exited)
        #expect(try node.processes.isEmpty)
        #expect(ended.postmaster == nil)
        #expect(ended.exit?.code == -SIGKILL)
        #expect(ended.epoch == 1)
        _ = busy.wait(until: inSeconds(20))
        try client.expectDone(node.start(standby: false))
        try node.waitForConnections()
    }

    @Test func aFastStopIsReportedAsClean() throws {
        let node = try GuardedPostgres(standby: false)
        let client = try node.client()
        try node.run(client, primaryUntil: inSeconds(60))
        #expect(try client.expectDone(.stop(.fast, boundMilliseconds: 30_000)).ending == .stop)
        let state = try client.expectEvent(.exited)
        #expect(state.exit?.isClean == true)
        #expect(state.killedAt == nil)
        // The agent gives the right back itself.
        #expect(state.mode == .primary)
        #expect(try client.expectDone(.disarm(epoch: 1)).mode == .stopped)
    }

    @Test func aStopThatHangsEndsAtItsBound() throws {
        let node = try GuardedPostgres(standby: false)
        let client = try node.client()
        let postmaster = try #require(try node.run(client, primaryUntil: inSeconds(60)).postmaster)
        kill(postmaster, SIGSTOP)
        try client.expectDone(.stop(.fast, boundMilliseconds: 30_000))
        // A second stop shortens the first.
        try client.expectDone(.stop(.immediate, boundMilliseconds: 200))
        _ = try client.expectEvent(.fenced(reason: "stop-bound"))
        let state = try client.expectEvent(.killed)
        #expect(state.mode == .stopped)
        #expect(try node.processes.isEmpty)
    }

    @Test func aStopThatOutlastsTheLeaseEndsWithTheLease() throws {
        let node = try GuardedPostgres(standby: false)
        let client = try node.client()
        let postmaster = try #require(try node.run(client, primaryUntil: inSeconds(60)).postmaster)
        kill(postmaster, SIGSTOP)
        try client.expectDone(.arm(epoch: 2, deadline: inSeconds(0.3)))
        try client.expectDone(.stop(.fast, boundMilliseconds: 60_000))
        _ = try client.expectEvent(.fenced(reason: "deadline"))
        _ = try client.expectEvent(.killed)
    }

    @Test func aPromotionThatWasNotBegunCanBeTakenBackAndOneThatWasCannot() throws {
        let node = try GuardedPostgres(standby: true)
        let client = try node.client()
        try node.run(client, primaryUntil: nil)
        try client.expectDone(.arm(epoch: 1, deadline: inSeconds(60)))
        #expect(try client.expectDone(.disarm(epoch: 1)).mode == .standby)
        #expect(try node.query("SELECT pg_is_in_recovery()") == "t")
        try client.expectDone(.arm(epoch: 2, deadline: inSeconds(60)))
        #expect(try node.query("SELECT pg_promote()") == "t")
        try client.expectRefused(.disarm(epoch: 2), "writable")
        // Put back by hand, the file proves nothing.
        try GuardedPostgres.runAsOwner("/usr/bin/touch", [node.directory.file("data/standby.signal")])
        try client.expectRefused(.disarm(epoch: 2), "writable")
        let dead = try client.expectDone(.kill)
        #expect(dead.postmaster == nil)
        #expect(dead.disarmed == 2)
        #expect(dead.mode == .stopped)
    }

    @Test func aTerminatedGuardStopsPostgresCleanly() throws {
        let node = try GuardedPostgres(standby: false)
        let client = try node.client()
        try node.run(client, primaryUntil: inSeconds(60))
        for ignored in [SIGHUP, SIGUSR1, SIGUSR2, SIGPIPE] { try node.process.signal(ignored) }
        try client.expectDone(.state)
        try node.process.signal(SIGTERM)
        #expect(try client.expectEvent(.exited).exit?.isClean == true)
        #expect(node.process.wait(until: inSeconds(30)) == .status(0))
        #expect(try node.processes.isEmpty)
    }

    @Test func postgresHasNormalSchedulingSignalsAndEnvironment() throws {
        let node = try GuardedPostgres(standby: true)
        let client = try node.client()
        let postmaster = try #require(try node.run(client, primaryUntil: nil).postmaster)
        let status = try Files.readText("/proc/\(postmaster)/status")
        #expect(status.contains("SigBlk:\t0000000000000000"))
        #expect(try Files.readText("/proc/\(postmaster)/oom_score_adj") == "0\n")
        let environment = try Files.readText("/proc/\(postmaster)/environ")
        #expect(environment.split(separator: "\0").contains("MARK=guarded"))
        #expect(sched_getscheduler(postmaster) == SCHED_OTHER)
        #expect(getpriority(__priority_which_t(PRIO_PROCESS.rawValue), id_t(postmaster)) == 0)
        #expect(ProcessTable.entry(postmaster)?.parent == node.process.pid)
    }

    /// A process that the kernel does not let die is named; nobody may take Postgres for dead before it has.
    @Test(.requiresRoot, .enabled(if: Freezer.isAvailable, "needs the freezer cgroup"))
    func aKillThatCannotBeCompletedSaysWhoIsLeft() throws {
        let node = try GuardedPostgres(standby: false)
        let client = try node.client()
        try node.run(client, primaryUntil: inSeconds(60))
        let checkpointer = try #require(
            Int32(try node.query("SELECT pid FROM pg_stat_activity WHERE backend_type = 'checkpointer'")))
        let freezer = try Freezer(checkpointer)
        let answer = try client.request(.kill, timeoutNanoseconds: 20 * GuardedPostgres.seconds)
        guard case .pending(let state, let survivors) = answer else {
            Issue.record("\(answer)")
            return
        }
        #expect(state.postmaster != nil)
        #expect(state.ending == .kill)
        #expect(state.epoch == nil)
        #expect(survivors.contains(" \(checkpointer)("))
        try client.expectRefused(.arm(epoch: 2, deadline: inSeconds(60)), "killing")
        try client.expectRefused(node.start(standby: false), "running")
        try freezer.thaw()
        #expect(try client.expectEvent(.killed).postmaster == nil)
    }

    @Test(.requiresRoot) func anotherUsersConnectionIsCut() throws {
        let node = try GuardedPostgres(standby: false, extraArguments: ["--socket-mode", "0666"])
        #expect(chmod(node.directory.path, 0o755) == 0)
        let script = """
            use Socket; socket(my $s, AF_UNIX, SOCK_SEQPACKET, 0) or die;
            connect($s, pack_sockaddr_un($ARGV[0])) or die "connect: $!";
            send($s, "state", 0); my $n = sysread($s, my $answer, 1000); print "got <", $answer // "", ">";
            """
        let result = try ChildProcess.run(
            "/usr/bin/setpriv",
            [
                "--reuid=nobody", "--regid=nogroup", "--clear-groups", "/usr/bin/perl", "-e", script,
                node.program.socketPath,
            ],
            until: inSeconds(20))
        #expect(result.output == "got <>", "\(result)")
        try node.client().expectDone(.state)
    }

    @Test func malformedRequestsAreRefusedAndChangeNothing() throws {
        let node = try GuardedPostgres(standby: true)
        let requests = [
            " ", "hello", "hello x", "hello -1", "hello 99999999999999999999", "arm", "arm 1", "arm 1 x",
            "arm -1 5",
            "renew 1", "disarm", "stop", "stop fast", "stop smart 5", "stop fast 86400001", "start",
            "start replica",
            "start standby\u{1f}x", "start standby\u{1f}eNAME", "fork", "kill\0", "state\0state",
        ]
        let fd = try Sockets.connect(to: .unix(node.program.socketPath), kind: .packets)
        defer { close(fd) }
        let fresh = try exchange(fd, Array("hello 1".utf8)).dropFirst("OK ".count)
        for request in requests {
            let answer = try exchange(fd, Array(request.utf8))
            #expect(answer.hasPrefix("ERR malformed \(fresh) why="), "\(request): \(answer)")
        }
    }

    @Test func aRequestThatIsTooLongIsRefused() throws {
        let node = try GuardedPostgres(standby: true)
        let fd = try Sockets.connect(to: .unix(node.program.socketPath), kind: .packets)
        defer { close(fd) }
        #expect(try exchange(fd, Array("hello 1".utf8)).hasPrefix("OK "))
        let long = "start standby\u{1f}a" + String(repeating: "x", count: 40_000)
        #expect(try exchange(fd, Array(long.utf8)).hasPrefix("ERR malformed "))
        #expect(try exchange(fd, Array("state".utf8)).hasPrefix("OK "))
    }

    /// Sends a packet and reads one.
    private func exchange(_ fd: Int32, _ packet: [UInt8]) throws -> String {
        #expect(try Sockets.write(fd, packet) == .bytes(packet.count))
        var wait = pollfd(fd: fd, events: Int16(POLLIN), revents: 0)
        #expect(poll(&wait, 1, 20_000) == 1)
        var bytes = [UInt8](repeating: 0, count: 4096)
        guard case .bytes(let count) = try bytes.withUnsafeMutableBytes({ try Sockets.read(fd, into: $0) })
        else {
            return "closed"
        }
        return String(decoding: bytes[..<count], as: UTF8.self)
    }

    @Test func moreAgentsThanFitPushOutTheOldest() throws {
        let node = try GuardedPostgres(standby: false)
        let clients = try (1...20).map { try node.client(session: Int64($0)) }
        for client in clients.suffix(16) { try client.expectDone(.state) }
        #expect(throws: GuardFailure.self) { try clients[0].request(.state) }
    }

    @Test func aSecondGuardForTheSamePlaceEndsAtOnce() throws {
        let node = try GuardedPostgres(standby: false)
        let second = try GuardedPostgres.spawnAsOwner(node.program.executable, node.program.arguments)
        #expect(second.wait(until: inSeconds(20)) == .status(75))
        try node.client().expectDone(.state)
    }

    @Test(arguments: [
        [], ["--runtime-directory", "relative", "--data-directory", "/d", "--postgres", "/p"],
        ["--runtime-directory", "/r", "--data-directory", "/d"], ["--unknown"],
        ["--runtime-directory", "/r", "--data-directory", "/d", "--postgres", "/p", "--stop-bound", "x"],
        ["--runtime-directory", "/r", "--data-directory", "/d", "--postgres", "/p", "rest"],
    ])
    func aWrongCommandLineIsRefused(_ arguments: [String]) throws {
        let result = try ChildProcess.run(GuardedPostgres.guardExecutable, arguments, until: inSeconds(20))
        #expect(result.exit == .status(64))
        #expect(result.error.contains("usage: matriarch-guard --runtime-directory DIR"))
    }
}
