import Glibc
import Platform
import Synchronization
import TestSupport
import Testing

/// What handlers saw; only touched by the loop's thread and after `run`.
private final class Notes {
    var lines: [String] = []
}

struct EventLoopTests {
    @Test func timersFireInTheOrderOfTheirTimes() throws {
        let loop = try EventLoop()
        let notes = Notes()
        let start = BootClock.now()
        for milliseconds in [30, 10, 20, 10] {
            loop.at(start + Int64(milliseconds) * 1_000_000) { notes.lines.append("\(milliseconds)") }
        }
        loop.at(start + 40_000_000) { loop.stop() }
        loop.run()
        #expect(notes.lines == ["10", "10", "20", "30"])
        #expect(BootClock.now() >= start + 40_000_000)
    }

    @Test func aTimerInThePastFiresAtOnce() throws {
        let loop = try EventLoop()
        loop.at(-5) { loop.stop() }
        loop.run()
    }

    @Test func aCancelledTimerDoesNotFireEvenWhenItIsDueInTheSameTurn() throws {
        let loop = try EventLoop()
        let notes = Notes()
        let second = Mutex<TimerID?>(nil)
        loop.at(1) {
            notes.lines.append("first")
            if let timer = second.withLock({ $0 }) { loop.cancel(timer) }
        }
        let timer = loop.at(2) { notes.lines.append("second") }
        second.withLock { $0 = timer }
        loop.at(inSeconds(0.01)) { loop.stop() }
        loop.run()
        #expect(notes.lines == ["first"])
    }

    @Test func aTimerThatSetsItselfAgainInThePastDoesNotStarvePostedWork() throws {
        let loop = try EventLoop()
        func again() { loop.at(1) { again() } }
        again()
        try Thread.start(name: "poster") { loop.post { loop.stop() } }.join()
        loop.run()
    }

    @Test func manyTimersOfWhichMostAreCancelledStillFireInOrder() throws {
        let loop = try EventLoop()
        let notes = Notes()
        var timers: [TimerID] = []
        for number in 0..<2000 {
            timers.append(loop.at(Int64((number * 7919) % 2000) + 1) { notes.lines.append("\(number)") })
        }
        for (number, timer) in timers.enumerated() where number % 100 != 0 { loop.cancel(timer) }
        loop.at(2001) { loop.stop() }
        loop.run()
        let wanted = stride(from: 0, to: 2000, by: 100).sorted { ($0 * 7919) % 2000 < ($1 * 7919) % 2000 }
        #expect(notes.lines == wanted.map(String.init))
    }

    @Test func aHandlerMayUnwatchAnotherDescriptorOfTheSameBatch() throws {
        let loop = try EventLoop()
        let notes = Notes()
        var pipes: [[Int32]] = []
        for _ in 0..<2 {
            var ends: [Int32] = [-1, -1]
            #expect(pipe(&ends) == 0)
            #expect(write(ends[1], "x", 1) == 1)
            pipes.append(ends)
        }
        for (index, ends) in pipes.enumerated() {
            let other = pipes[1 - index][0]
            try loop.watch(ends[0], .read) { _ in
                notes.lines.append("read")
                loop.unwatch(ends[0])
                loop.unwatch(other)
            }
        }
        loop.at(inSeconds(0.05)) { loop.stop() }
        loop.run()
        #expect(notes.lines == ["read"])
        for end in pipes.joined() { close(end) }
    }

    @Test func aClosedPeerIsReportedAsHangupAndReadable() throws {
        let loop = try EventLoop()
        let notes = Notes()
        var ends: [Int32] = [-1, -1]
        #expect(pipe(&ends) == 0)
        close(ends[1])
        try loop.watch(ends[0], .read) { ready in
            notes.lines.append("\(ready.contains(.hangup)) \(ready.contains(.read))")
            loop.unwatch(ends[0])
            loop.stop()
        }
        loop.run()
        #expect(notes.lines == ["true true"])
        close(ends[0])
    }

    @Test func workPostedByManyThreadsRunsOnTheLoopOnceAndInEachThreadsOrder() throws {
        let loop = try EventLoop()
        let seen = Mutex<[[Int]]>(Array(repeating: [], count: 4))
        var threads: [Platform.Thread] = []
        for thread in 0..<4 {
            threads.append(
                try Thread.start(name: "poster") {
                    for number in 0..<1000 {
                        loop.post {
                            #expect(loop.isCurrent)
                            let all = seen.withLock { lists in
                                lists[thread].append(number)
                                return lists.joined().count
                            }
                            if all == 4000 { loop.stop() }
                        }
                    }
                })
        }
        loop.run()
        for thread in threads { thread.join() }
        #expect(seen.withLock { $0 } == Array(repeating: Array(0..<1000), count: 4))
    }

    @Test func aWorkersResultsComeBackInOrderOnTheLoop() throws {
        let loop = try EventLoop()
        let worker = try WorkerThread(name: "worker", loop: loop, capacity: 8)
        let notes = Notes()
        for number in 0..<5 {
            try worker.submit {
                #expect(!loop.isCurrent || number < 0)
                return number * number
            } then: { square in
                notes.lines.append("\(square)")
                if number == 4 { loop.stop() }
            }
        }
        loop.run()
        worker.stop()
        #expect(notes.lines == ["0", "1", "4", "9", "16"])
    }

    @Test func aWorkerRefusesWhatItsBoundDoesNotHold() throws {
        let loop = try EventLoop()
        let worker = try WorkerThread(name: "worker", loop: loop, capacity: 2)
        let gate = Mutex(false)
        let running = Atomic(false)
        try worker.submit {
            running.store(true, ordering: .releasing)
            waitUntil("the gate opens") { gate.withLock { $0 } }
        } then: {
        }
        waitUntil("the first job runs") { running.load(ordering: .acquiring) }
        try worker.submit {
        } then: {
        }
        try worker.submit {
        } then: {
        }
        #expect(throws: WorkerThread.Overloaded.self) {
            try worker.submit {
            } then: {
            }
        }
        gate.withLock { $0 = true }
        worker.stop()
    }

    @Test func signalsArriveAsEvents() throws {
        // The test runner's other threads do not block the signal, so it is sent to this one.
        let loop = try EventLoop()
        let notes = Notes()
        let watch = try SignalWatch([SIGUSR2], on: loop) { number in
            notes.lines.append("\(number)")
            loop.stop()
        }
        pthread_kill(pthread_self(), SIGUSR2)
        loop.run()
        watch.stop()
        #expect(notes.lines == ["\(SIGUSR2)"])
    }
}
