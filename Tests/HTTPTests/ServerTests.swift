import Glibc
import Platform
import Supervision
import TestSupport
import Testing

@testable import HTTP

struct ServerTests {
    @Test func curlSeesStatusTypeAndBody() throws {
        let served = try ServedReport(.healthy(.primary))
        let primary = try served.curl("/primary")
        #expect(primary.status == 200)
        #expect(primary.body.contains("\"role\":\"primary\""))
        #expect(try served.curl("/replica?lag=16MB").status == 503)
        #expect(try served.curl("/flycheck/role").body == "primary")
        let head = try served.curl("/", ["-I"])
        #expect(head.body.hasPrefix("HTTP/1.1 200"))
        #expect(head.body.contains("Cache-Control: no-store"))
    }

    @Test func argumentsAreDecoded() throws {
        let served = try ServedReport(.healthy(.replica))
        #expect(try served.curl("/replica?lag=16%4DB&replication_state=streaming").status == 200)
        #expect(try served.curl("/replica?lag=1&lag=16MB").status == 503)
        #expect(try served.curl("/replica?lag").status == 503)
    }

    @Test func haproxysBareCheckGetsItsAnswer() throws {
        let served = try ServedReport(.healthy(.primary))
        let client = try served.connect()
        try client.send("OPTIONS / HTTP/1.0\r\n\r\n")
        let answer = try client.receiveToEnd()
        #expect(answer.hasPrefix("HTTP/1.0 200") || answer.hasPrefix("HTTP/1.1 200"))
        #expect(answer.hasSuffix("\r\n\r\n"), "a body that nobody asked for")
    }

    @Test func aNewReportCountsForTheNextRequestOfAnOpenConnection() throws {
        let served = try ServedReport(.healthy(.primary))
        let client = try served.connect()
        try client.send("HEAD /primary HTTP/1.1\r\nHost: x\r\n\r\n")
        #expect(try client.receiveHead().hasPrefix("HTTP/1.1 200"))
        served.published.value = .healthy(.replica)
        try client.send("HEAD /primary HTTP/1.1\r\nHost: x\r\n\r\n")
        let second = try client.receiveHead()
        #expect(second.hasPrefix("HTTP/1.1 503"))
    }

    @Test func aStuckAgentReadsAsNotWritableOnceTheLeaseIsOver() throws {
        var report = HTTPReport.healthy(.primary)
        report.writableUntil = BootClock.now() + 700_000_000
        let served = try ServedReport(report)
        #expect(try served.curl("/primary").status == 200)
        // Nobody publishes any more.
        try waitUntil("the lease is over") { try served.curl("/primary").status == 503 }
        #expect(BootClock.now() >= report.writableUntil)
    }

    @Test func whatIsNotThereIs404WithAListOfWhatIs() throws {
        let served = try ServedReport(.healthy(.primary))
        for path in [
            "/nothing", "/primary/", "/primaryx", "/../primary", "//primary", "/%00primary", "/flycheck",
        ] {
            let answer = try served.curl(path, ["--path-as-is"])
            #expect(answer.status == 404, "\(path)")
            #expect(answer.body.contains("\"/flycheck/role\""), "\(path)")
        }
    }

    @Test(arguments: ["POST", "PUT", "PATCH", "DELETE", "TRACE", "BREW"])
    func nothingCanBeChanged(method: String) throws {
        let served = try ServedReport(.healthy(.primary))
        let answer = try served.curl("/primary", ["-X", method, "-d", "x=1", "-i"])
        #expect(answer.status == 405)
        #expect(answer.body.contains("Allow: GET, HEAD, OPTIONS"))
    }

    @Test func aPortInUseIsNamed() throws {
        let served = try ServedReport(.healthy(.primary))
        let error = #expect(throws: HTTPServer.StartError.self) {
            try HTTPServer(listen: "127.0.0.1", port: served.port) { .healthy(.primary) }
        }
        #expect(error?.code == EADDRINUSE)
        #expect(error?.description.contains("127.0.0.1:\(served.port)") == true)
        #expect(error?.description.contains("http_port") == true)
    }

    @Test func bothFamiliesAnswerOnOnePort() throws {
        let server = try HTTPServer(listen: "*", port: 0) { .healthy(.replica) }
        for host in ["127.0.0.1", "[::1]"] {
            let result = try ChildProcess.run(
                "/usr/bin/curl", ["-s", "http://\(host):\(server.port)/flycheck/role"],
                until: BootClock.now() + 10_000_000_000)
            #expect(result.output == "replica", "\(host)")
        }
    }
}

/// What strangers do to it.
struct ServerAbuseTests {
    @Test(arguments: [
        "\u{0}\u{1}\u{2}\u{3}\r\n\r\n", "GET\r\n\r\n", "GET /primary\r\n\r\n", "\r\n\r\n\r\n",
        "GET / HTTP/9.9\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        "POST /primary HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\nabc",
        "GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nZZZ\r\n",
    ])
    func garbageHurtsNobodyElse(text: String) throws {
        let served = try ServedReport(.healthy(.primary))
        let client = try served.connect()
        try client.send(text)
        #expect(try served.curl("/primary").status == 200)
    }

    @Test func aRequestThatIsTooLargeIsRefused() throws {
        let served = try ServedReport(.healthy(.primary))
        let header = try served.connect()
        let sent = try header.send(
            "GET /primary HTTP/1.1\r\nHost: x\r\nX: \(String(repeating: "x", count: 1 << 20))\r\n\r\n")
        let answer = sent ? try header.receiveToEnd() : ""
        #expect(answer.isEmpty || answer.hasPrefix("HTTP/1.1 4"))
        #expect(try served.curl("/" + String(repeating: "x", count: 100_000)).status != 200)
        #expect(try served.curl("/primary").status == 200)
    }

    @Test func twoHundredIdleConnectionsDoNotKeepACheckOut() throws {
        let served = try ServedReport(.healthy(.primary))
        let idle = try (0..<200).map { _ in try served.connect() }
        for client in idle.prefix(100) { try client.send("GET /primary HTTP/1.1\r\nHo") }
        #expect(try served.curl("/primary").status == 200)
        // They may go on, too.
        try idle[0].send("st: x\r\n\r\n")
        #expect(try idle[0].receiveHead().hasPrefix("HTTP/1.1 200"))
    }

    @Test func connectionsAboveTheLimitWaitUntilIdleOnesAreClosed() throws {
        let served = try ServedReport(.healthy(.primary))
        let idle = try (0..<Int(HTTPServer.connectionLimit)).map { _ in try served.connect() }
        let start = BootClock.now()
        #expect(try served.curl("/primary", ["-m", "30"]).status == 200)
        let limit = Int64(HTTPServer.idleSeconds + 10) * 1_000_000_000
        #expect(BootClock.now() - start < limit)
        #expect(try idle[0].receiveToEnd() == "")
    }

    @Test func aReaderThatNeverReadsHoldsNobodyUp() throws {
        var report = HTTPReport.healthy(.primary)
        report.reason = String(repeating: "long ", count: 200_000)
        let served = try ServedReport(report)
        let lazy = try (0..<20).map { _ in try served.connect() }
        for client in lazy { try client.send("GET /primary HTTP/1.1\r\nHost: x\r\n\r\n") }
        for _ in 0..<5 { #expect(try served.curl("/primary").body.count > 1_000_000) }
    }

    @Test func aNewConnectionIsAnsweredWithoutWaitingForAcknowledgements() throws {
        let served = try ServedReport(.healthy(.primary))
        var fastest = Int64.max
        for _ in 0..<10 {
            let client = try served.connect()
            let start = BootClock.now()
            try client.send("GET /flycheck/role HTTP/1.1\r\nHost: x\r\n\r\n")
            _ = try client.receiveHead()
            fastest = min(fastest, BootClock.now() - start)
        }
        // Without TCP_NODELAY it is 40 ms each time.
        #expect(fastest < 20_000_000)
    }
}
