import Glibc
import Lab
import TestSupport
import Testing

extension RealPostgres {
    @Suite("Two nodes and a witness", .serialized, .requiresRoot, .requiresPostgres, .requiresHerd)
    struct WitnessTests {
        @Test("The witness runs no Postgres, leads clients to the primary, and lets the other node take over")
        func takesOver() throws {
            let herd = try Arena.makeHerd()
            let witness = herd.nodes[2]
            // Nothing of Postgres is there for it.
            try witness.configure(["node_kind": "witness", "postgres_bin_directory": "/nonexistent"])
            do {
                try herd.start()
                try herd.until(herd.isWhole, within: Arena.patience)
                let primary = try herd.primary()
                #expect(primary.name != witness.name)
                let seen = try #require(try primary.view().member(witness.name))
                #expect(seen.role == "witness" && seen.voter)
                let session = try Session(witness.entrance, within: .seconds(10))
                #expect(try session.run("select pg_is_in_recovery()") == [["f"]])
                try herd.until("the others are no longer bound by promises") {
                    herd.nodes.allSatisfy { $0.age.map { $0 > Arena.lease * 2 } == true }
                }
                try primary.losePower()
                let left = herd.others(than: primary)
                try herd.until(.primary(isNot: primary.name), seenBy: left, within: Arena.patience)
                let refused = try witness.command("failover", "--to", witness.name)
                #expect(refused.status == 1 && refused.error.contains("witness"), "\(refused.error)")
                try primary.returnPower()
                try herd.until(.replica(primary.name), within: Arena.patience)
            } catch {
                Issue.record("logs: \(try herd.keepLogs())")
                try herd.destroy()
                throw error
            }
            try herd.destroy()
        }
    }
}
