import FoundationEssentials
import Glibc
import Lab
import Platform
import TestSupport
import Testing

extension BadInput {
    @Suite("What a running node owes its operator", .serialized, .requiresPostgres, .requiresHerd)
    struct LoneNodeTests {
        @Test(
            "A port in use is named with its setting, exit 78, before anything is made",
            arguments: ["postgres_port": 5433, "proxy_port": 5432, "http_port": 5500, "peer_port": 5501]
                as [String: UInt16])
        func portInUse(_ key: String, _ port: UInt16) throws {
            let lone = try LoneNode()
            let address = try #require(SocketAddress(host: lone.node.address, port: port))
            let taken = try Sockets.listen(on: address)
            defer { close(taken) }
            let (exit, words) = try lone.refusal()
            #expect(exit == .status(configurationExit))
            for word in [key, String(port), "in use"] { #expect(words.contains(word), "\(words)") }
            #expect(!Files.exists(lone.node.dataDirectory))
            #expect(lone.node.processes.isEmpty, "something was started all the same")
            try lone.herd.destroy()
        }

        @Test("The command and GET /status answer with the same keys")
        func oneForm() throws {
            let lone = try LoneNode()
            try lone.node.start()
            try lone.herd.until(lone.herd.isWhole, within: LoneNode.patience)
            let told = try lone.node.command("status", "--json").output
            let served = try lone.node.get("/status").body
            #expect(lone.keys(told) == lone.keys(served), "\(told)\n\(served)")
            #expect(lone.keys(told).contains("lag_seconds"))
            try lone.herd.destroy()
        }

        @Test("SIGUSR2: another agent, the same Postgres, and a session through the proxy that goes on")
        func replacedAgent() throws {
            let lone = try LoneNode()
            try lone.node.start()
            try lone.herd.until(lone.herd.isWhole, within: LoneNode.patience)
            let held = try Session(lone.node.entrance, within: .seconds(5))
            let backend = try held.run("select pg_backend_pid()")
            let before = lone.node.log().count
            try lone.node.signalAgent(SIGUSR2)
            try lone.herd.until("the new agent leads again") {
                lone.node.log().dropFirst(before).contains("takes writes as primary")
            }
            try lone.herd.until(lone.herd.isWhole, within: LoneNode.patience)
            #expect(try held.run("select pg_backend_pid()") == backend)
            try lone.herd.destroy()
        }

        @Test("SIGUSR2 with a broken settings file: refused, and the old agent goes on")
        func notReplaced() throws {
            let lone = try LoneNode()
            try lone.node.start()
            try lone.herd.until(lone.herd.isWhole, within: LoneNode.patience)
            try lone.node.configure(["lease_duration": "soon"])
            let before = lone.node.log().count
            try lone.node.signalAgent(SIGUSR2)
            try lone.herd.until("the refusal is logged") {
                lone.node.log().dropFirst(before).contains("SIGUSR2: the binary on disk would not start")
            }
            #expect(try lone.node.view().writable)
            try lone.herd.destroy()
        }

        @Test("A primary_region that differs from the cluster's is told and not acted on")
        func differingRegion() throws {
            let lone = try LoneNode()
            try lone.foundAndStop()
            try lone.node.configure(["primary_region": "elsewhere"])
            try lone.node.start()
            try lone.herd.until(lone.herd.isWhole, within: LoneNode.patience)
            let events = try lone.node.command("events").output
            #expect(events.contains("setting-differs") && events.contains("elsewhere"), "\(events)")
            #expect(try lone.node.view().primaryRegion == "here")
            try lone.herd.destroy()
        }

        @Test("A node that may not use its data still stops when it is told to")
        func foreignDataStops() throws {
            let lone = try LoneNode()
            try lone.foundAndStop()
            let data = lone.node.dataDirectory
            try FileManager.default.moveItem(atPath: data, toPath: data + ".own")
            let identifier = try lone.node.makeForeignDatabase()
            try lone.node.start()
            try lone.herd.until("status tells whose database it is", within: LoneNode.patience) {
                let status = try lone.node.command("status")
                return status.output.contains("failed") && status.output.contains(identifier)
            }
            #expect(try lone.node.stop() == .status(0))
            try lone.herd.destroy()
        }
    }
}

extension LoneNode {
    /// Every key of a JSON text, whatever it is nested in.
    func keys(_ json: String) -> Set<String> {
        Set(json.matches(of: #/"([a-z_]+)":/#).map { String($0.output.1) })
    }
}
