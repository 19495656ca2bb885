import Glibc
import Platform
import TestSupport
import Testing

/// What came over a link, in order.
private final class Transcript {
    var lines: [String] = []
}

/// The control thread's connection to the guard.
@Suite(.requiresPostgres, .serialized) struct GuardLinkTests {
    private let loop: EventLoop
    private let transcript = Transcript()

    init() throws { loop = try EventLoop() }

    private func link(to node: GuardedPostgres, until last: String) throws -> GuardLink {
        func note(_ line: String) {
            transcript.lines.append(line)
            if line == last { loop.stop() }
        }
        return try GuardLink(loop: loop, socketPath: node.program.socketPath) { event in
            note("event \(event.kind) \(event.state.mode)")
        } onClosed: { failure in
            note("closed \(failure)")
        }
    }

    private func send(_ request: GuardRequest, over link: GuardLink, seconds: Double = 20) {
        link.send(request, timeoutNanoseconds: Int64(seconds * 1e9)) { [transcript] result in
            switch result {
            case .success(.done(let state)): transcript.lines.append("done \(state.mode)")
            case .success(.pending): transcript.lines.append("pending")
            case .success(.refused(_, let reason, _)): transcript.lines.append("refused \(reason)")
            case .failure(let failure): transcript.lines.append("failed \(failure)")
            }
        }
    }

    private func runLoop(seconds: Double = 30) {
        let timer = loop.at(inSeconds(seconds)) { [loop] in
            Issue.record("the loop was not stopped by what was waited for")
            loop.stop()
        }
        loop.run()
        loop.cancel(timer)
    }

    @Test func answersComeInTheOrderOfTheirRequestsAndEventsBetween() throws {
        let node = try GuardedPostgres(standby: false)
        let fenced = "event fenced(reason: \"deadline\") stopped"
        let link = try link(to: node, until: fenced)
        send(.hello(session: 5), over: link)
        send(.renew(epoch: 1, deadline: inSeconds(60)), over: link)
        send(.arm(epoch: 1, deadline: inSeconds(0.3)), over: link)
        send(.state, over: link)
        runLoop()
        link.close()
        #expect(
            transcript.lines == [
                "done stopped", "refused unarmed", "done primary", "done primary", fenced,
            ])
    }

    @Test func aGuardThatDoesNotAnswerIsGivenUpInTime() throws {
        let node = try GuardedPostgres(standby: false)
        let link = try link(to: node, until: "closed the guard does not answer")
        send(.hello(session: 5), over: link)
        try node.process.signal(SIGSTOP)
        let start = BootClock.now()
        send(.state, over: link, seconds: 0.3)
        send(.state, over: link, seconds: 5)
        runLoop()
        #expect(BootClock.now() - start < 4 * GuardedPostgres.seconds)
        #expect(!link.isOpen)
        // The hello may have been answered before the guard was stopped, or not.
        #expect(
            transcript.lines.suffix(3) == [
                "failed the guard does not answer", "failed the guard does not answer",
                "closed the guard does not answer",
            ])
        try node.process.signal(SIGCONT)
    }

    @Test func theGuardsDeathFailsWhatWaitsAndIsToldOnce() throws {
        let node = try GuardedPostgres(standby: false)
        let closed = "closed the guard is gone: it has closed the connection"
        let link = try link(to: node, until: closed)
        try node.process.signal(SIGKILL)
        runLoop()
        send(.state, over: link)
        loop.at(inSeconds(0.05)) { [loop] in loop.stop() }
        loop.run()
        #expect(
            transcript.lines == [closed, "failed the guard is gone: the connection was lost before"])
    }

    @Test func withoutAGuardThereIsNoLink() throws {
        let directory = try TemporaryDirectory()
        #expect(throws: GuardFailure.self) {
            try GuardLink(
                loop: loop, socketPath: GuardProgram.socketPath(runtimeDirectory: directory.path),
                onEvent: { _ in },
                onClosed: { _ in })
        }
    }
}
