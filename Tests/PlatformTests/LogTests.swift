import Glibc
import TestSupport
import Testing

@testable import Platform

struct LogTests {
    @Test func aLineForTheJournalBeginsWithItsLevel() {
        let line = LogWriter.line(
            .warning, "lost the lease", [("term", "4"), ("why", "no acks")], journal: true)
        #expect(line == "<4>lost the lease term=4 why=\"no acks\"\n")
    }

    @Test func aLineForPeopleBeginsWithTimeAndWord() {
        let line = LogWriter.line(.error, "two\nlines", [("q", "say \"hi\""), ("e", "")], journal: false)
        #expect(line.dropFirst(25) == "error: two\\nlines q=\"say \\\"hi\\\"\" e=\"\"\n")
    }

    /// A reader that does not read must not hold up the writer; the loss is told once it reads again.
    @Test func aStuckReaderCostsLinesButNeverTime() throws {
        var ends: [Int32] = [-1, -1]
        #expect(pipe(&ends) == 0)
        let writer = LogWriter(descriptor: ends[1], capacity: 100)
        let start = BootClock.now()
        let text = String(repeating: "x", count: 1000)
        for _ in 0..<2000 { writer.write(.info, text, []) }
        #expect(BootClock.now() - start < 5_000_000_000)
        #expect(fcntl(ends[0], F_SETFL, O_NONBLOCK) == 0)
        var read = ""
        var buffer = [UInt8](repeating: 0, count: 65_536)
        func drain() {
            let count = Glibc.read(ends[0], &buffer, buffer.count)
            read += String(decoding: buffer[..<max(0, count)], as: UTF8.self)
        }
        waitUntil("all that was kept is written, and the loss is told") {
            drain()
            return !writer.isBusy && read.contains("log lines were dropped lines=")
        }
        for end in ends { close(end) }
    }
}
