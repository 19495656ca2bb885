import Glibc
import Platform
import TestSupport
import Testing

struct ChildProcessTests {
    @Test func outputAndExitStatusComeBack() throws {
        let result = try ChildProcess.run(
            "/bin/sh", ["-c", "echo out; echo err >&2; exit 3"], until: inSeconds(20))
        #expect(result.exit == .status(3))
        #expect(result.output == "out\n")
        #expect(result.error == "err\n")
    }

    @Test func onlyTheTailOfALongOutputIsKept() throws {
        let script = "i=0; while [ $i -lt 3000 ]; do echo line $i; i=$((i+1)); done"
        let result = try ChildProcess.run(
            "/bin/sh", ["-c", script], until: inSeconds(20), captureLimit: 100)
        #expect(result.output.utf8.count == 100)
        #expect(result.output.hasSuffix("line 2999\n"))
    }

    @Test func aProgramThatIsNotThereIsNamed() {
        let error = #expect(throws: SystemError.self) {
            try ChildProcess.spawn(executable: "/nonexistent/postgres")
        }
        #expect(error?.description == "execve: No such file or directory: /nonexistent/postgres")
    }

    @Test func aWorkingDirectoryThatIsNotThereIsToldApart() {
        let error = #expect(throws: SystemError.self) {
            try ChildProcess.spawn(executable: "/bin/true", workingDirectory: "/nonexistent")
        }
        #expect(error?.call == "chdir")
    }

    @Test func atTheDeadlineTheProgramIsKilled() throws {
        let start = BootClock.now()
        let result = try ChildProcess.run("/bin/sleep", ["60"], until: inSeconds(0.2))
        #expect(result.exit == .signal(SIGKILL))
        #expect(BootClock.now() - start < 10_000_000_000)
    }

    @Test func waitingEndsThoughAGrandchildKeepsThePipeOpen() throws {
        let start = BootClock.now()
        let child = try ChildProcess.spawn(
            executable: "/bin/sh", arguments: ["-c", "sleep 30 & echo $!"],
            standardOutput: .capture(limit: 100))
        #expect(child.wait(until: inSeconds(20)) == .status(0))
        #expect(BootClock.now() - start < 10_000_000_000)
        let sleeper = try #require(Int32(child.captured(.output).dropLast()))
        kill(sleeper, SIGKILL)
    }

    @Test func aChildHasCleanSignalsItsOwnGroupAndNoStrayDescriptors() throws {
        var ends: [Int32] = [-1, -1]
        #expect(pipe(&ends) == 0)
        defer { for end in ends { close(end) } }
        let script = """
            echo $$; grep -E '^Sig(Blk|Ign|Cgt)' /proc/self/status
            ls /proc/self/fd | tr '\\n' ' '; ps -o pgid= -p $$
            """
        let result = try ChildProcess.run("/bin/sh", ["-c", script], until: inSeconds(20))
        let lines = result.output.split(separator: "\n").map(String.init)
        try #require(lines.count == 5, "\(result)")
        #expect(lines[1].hasSuffix("0000000000000000"))
        // glibc keeps signal 32 to itself, so what the test run's parents ignore there stays.
        #expect(lines[2].hasSuffix("0000000"))
        // 3 is the directory that ls itself reads.
        #expect(lines[4].hasPrefix("0 1 2 3 "))
        #expect(lines[4].hasSuffix(lines[0]))
    }

    @Test func theEnvironmentIsExactlyWhatWasGiven() throws {
        let result = try ChildProcess.run(
            "/usr/bin/env", environment: ["B": "2", "A": "1=1"], until: inSeconds(20))
        #expect(result.output == "A=1=1\nB=2\n")
    }

    @Test func aDetachedProgramIsNoChildOfOursAndItsEndIsStillSeen() throws {
        let child = try ChildProcess.spawn(
            executable: "/bin/sleep", arguments: ["60"], standardOutput: .discard, standardError: .discard,
            detached: true)
        let entry = try #require(ProcessTable.entry(child.pid))
        #expect(entry.command == "sleep")
        #expect(entry.parent != getpid())
        #expect(getsid(child.pid) != getsid(0))
        #expect(child.exitIfEnded() == nil)
        try child.signal(SIGKILL)
        #expect(child.wait(until: inSeconds(20)) == .unknown)
        try child.signal(SIGKILL)
    }

    @Test func progressIsSeenWhileTheProgramRuns() throws {
        let child = try ChildProcess.spawn(
            executable: "/bin/sh", arguments: ["-c", "echo one; read line < /dev/null; echo two >&2"],
            standardOutput: .capture(limit: 10), standardError: .capture(limit: 10))
        var seen: [String] = []
        let exit = child.wait(until: inSeconds(20)) { stream, piece in
            seen.append("\(stream) \(String(decoding: piece, as: UTF8.self))")
        }
        #expect(exit == .status(0))
        #expect(seen.sorted() == ["error two\n", "output one\n"])
    }

    @Test func allProcessesInADirectoryAreFoundAndEnded() throws {
        let directory = try TemporaryDirectory()
        let other = try TemporaryDirectory()
        let bystander = try ChildProcess.spawn(
            executable: "/bin/sleep", arguments: ["60"], workingDirectory: other.path)
        let family = try ChildProcess.spawn(
            executable: "/bin/sh", arguments: ["-c", "sleep 60 & sleep 60 & sleep 60 & wait"],
            workingDirectory: directory.path, standardOutput: .discard)
        waitUntil("the shell and its three sleepers run") {
            (try? ProcessTable.processes(inDirectory: directory.path))?.count == 4
        }
        let ended = try ProcessTable.killAll(
            inDirectory: directory.path, uid: getuid(), until: inSeconds(20))
        #expect(ended == 4)
        #expect(try ProcessTable.processes(inDirectory: directory.path).isEmpty)
        #expect(family.wait(until: inSeconds(20)) == .signal(SIGKILL))
        #expect(bystander.exitIfEnded() == nil)
        try bystander.signal(SIGKILL)
        #expect(bystander.wait(until: inSeconds(20)) != nil)
    }
}
