import FoundationEssentials
import Lab
import TestSupport
import Testing

extension RealPostgres {
    @Suite("Members", .serialized, .requiresRoot, .requiresPostgres, .requiresHerd)
    struct MemberTests {
        @Test(
            "A member is removed with its slot, is refused when it comes back, and joins again without state")
        func removed() throws {
            try Arena.trial { herd, trial in
                let primary = try herd.primary()
                let gone = herd.others(than: primary)[0]
                for (words, code, said) in [
                    (["member", "remove", primary.name], 1, "switchover"),
                    (["member", "remove", "nobody"], 1, "not a member"),
                    (["member", "remove"], 64, "NODE is missing"),
                ] {
                    let refused = try gone.command(words)
                    #expect(refused.status == code && refused.error.contains(said), "\(refused.error)")
                }
                let outcome = try gone.command("member", "remove", gone.name)
                #expect(outcome.status == 0, "\(outcome.error)")
                try herd.until("its Postgres is stopped") { try gone.postmasterIsGone() }
                #expect(try slots(on: primary, of: gone) == 0)
                try gone.stop()
                try gone.start()
                try herd.until("it says that it was removed") {
                    gone.log().contains("it was removed from this cluster")
                }
                #expect(try primary.view().member(gone.name) == nil)
                try gone.stop()
                for slot in ["state.a", "state.b"] {
                    try FileManager.default.removeItem(atPath: gone.stateDirectory + "/" + slot)
                }
                let marked = try Marked(gone)
                try gone.start()
                try herd.until(.replica(gone.name), within: Arena.patience)
                #expect(marked.isSameCopy, "what it had was part of the history")
                #expect(try slots(on: primary, of: gone) == 1)
                try trial.expectNothingLost()
            }
        }

        private func slots(on primary: HerdNode, of node: HerdNode) throws -> Int {
            let session = try Session(primary.database, within: .seconds(10))
            let rows = try session.run("select slot_name from pg_replication_slots")
            return rows.count { $0.first??.hasPrefix("matriarch_\(node.name)_") == true }
        }

        @Test("A vote is taken and given again")
        func votes() throws {
            try Arena.trial { herd, trial in
                let primary = try herd.primary()
                let member = herd.others(than: primary)[1]
                try herd.until("three vote") { try primary.view().members.filter(\.voter).count == 3 }
                let taken = try member.command("member", "demote-voter", member.name, "--json")
                #expect(taken.status == 0 && taken.output.contains("accepted"), "\(taken.error)")
                try herd.until("it votes no more") {
                    try primary.view().member(member.name)?.voter == false
                }
                let given = try member.command("member", "promote-voter", member.name)
                #expect(given.status == 0, "\(given.error)")
                try herd.until("three vote") { try primary.view().members.filter(\.voter).count == 3 }
                try trial.expectNothingLost()
            }
        }
    }
}

extension HerdNode {
    func postmasterIsGone() throws -> Bool {
        !FileManager.default.fileExists(atPath: dataDirectory + "/postmaster.pid")
    }
}
