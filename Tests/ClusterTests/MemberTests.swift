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
                try herd.until("its slot is dropped") { try slots(on: primary, of: gone) == 0 }
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

        @Test("A replica copies anew on demand, from the standby that is offered; the primary is refused")
        func reinit() throws {
            try Arena.trial { herd, trial in
                let primary = try herd.primary()
                let member = herd.others(than: primary)[0]
                let offered = herd.others(than: primary)[1]
                try offered.configure(["tags": "clonefrom"])
                try offered.stop()
                try offered.start()
                defer { try? offered.configure(["tags": nil]) }
                try herd.until("\(member.name) knows of the offer") {
                    try member.view().member(offered.name)?.tags == ["clonefrom"]
                }
                try herd.until(.replica(offered.name), within: Arena.patience)
                let refused = try member.command("reinit", primary.name)
                #expect(refused.status == 1 && refused.error.contains("is the primary"), "\(refused.error)")
                let marked = try Marked(member)
                let told = Story(member)
                let outcome = try primary.command("reinit", member.name)
                #expect(outcome.status == 0, "\(outcome.error)")
                #expect(!marked.isSameCopy)
                #expect(told.since.contains("copies \(offered.name)"), "\(told.since)")
                #expect(!told.since.contains("copies \(primary.name)"), "\(told.since)")
                try trial.expectNothingLost()
            }
        }

        @Test("A rolling restart puts into force what waits for one, on every member, and loses nothing")
        func rolling() throws {
            try Arena.trial { herd, trial in
                for node in herd.nodes {
                    let session = try Session(node.database, within: .seconds(10))
                    _ = try session.run("alter system set bgwriter_lru_maxpages = 100")
                    _ = try session.run("alter system set shared_buffers = '24MB'")
                    _ = try session.run("select pg_reload_conf()")
                }
                let before = try herd.primary()
                try herd.until("the status shows what waits for a restart") {
                    try before.view().members.allSatisfy(\.pendingRestart)
                }
                let told = try before.command("status").output
                #expect(told.contains("\(before.name): shared_buffers waits for"), "\(told)")
                let outcome = try before.command(["restart", "--rolling"], within: .seconds(180))
                #expect(outcome.status == 0, "\(outcome.error)")
                try herd.until("nothing waits for a restart any more") {
                    try before.view().members.allSatisfy { !$0.pendingRestart }
                }
                for node in herd.nodes {
                    let session = try Session(node.database, within: .seconds(10))
                    let rows = try session.run("select name from pg_settings where pending_restart")
                    #expect(rows.isEmpty, "\(node.name): \(rows)")
                    #expect(try session.run("show shared_buffers") == [["24MB"]])
                }
                #expect(try herd.primary().name != before.name)
                try trial.writesGoOn()
                try trial.expectNothingLost()
            }
        }

        @Test("A primary is restarted where it is; replicas that have less than it has now start again, too")
        func restart() throws {
            try Arena.trial { herd, trial in
                let primary = try herd.primary()
                let term = try primary.view().term
                let others = herd.others(than: primary)
                let session = try Session(primary.database, within: .seconds(10))
                let raised = try #require(Int(try session.value("show max_connections") ?? "")) + 20
                _ = try session.run("alter system set max_connections = \(raised)")
                let outcome = try others[0].command("restart", primary.name)
                #expect(outcome.status == 0, "\(outcome.error)")
                #expect(try primary.view().term == term)
                #expect(try herd.primary().name == primary.name)
                try trial.writesGoOn()
                try herd.until("the replicas have what the log asks for") {
                    try others.allSatisfy { node in
                        let session = try? Session(node.database, within: .seconds(10))
                        return try session?.value("show max_connections") == String(raised)
                    }
                }
                try herd.until(herd.isSettled, within: Arena.patience)
                #expect(others[0].log().contains("could not take over: max_connections"))
                try trial.expectNothingLost()
            }
        }

        @Test("While paused a dead primary is replaced by nobody; resumed, by another")
        func pause() throws {
            try Arena.trial { herd, trial in
                let primary = try herd.primary()
                let others = herd.others(than: primary)
                #expect(try others[0].command("pause", "--for", "soon").status == 64)
                let paused = try others[0].command("pause")
                #expect(paused.status == 0, "\(paused.error)")
                #expect(try others[0].command("status").output.contains("PAUSED"))
                let refused = try others[0].command("switchover", "--to", others[0].name)
                #expect(refused.status == 1 && refused.error.contains("matriarch resume"))
                try primary.losePower()
                let end = Moment.current + Arena.lease * 4
                try herd.until("four leases are over") {
                    for other in others {
                        let view = try other.view()
                        #expect(!view.writable || view.primary == primary.name)
                    }
                    return Moment.current > end
                }
                let resumed = try others[0].command("resume")
                #expect(resumed.status == 0, "\(resumed.error)")
                try herd.until(.primary(isNot: primary.name), seenBy: others, within: Arena.patience)
                try primary.returnPower()
                try herd.until(.replica(primary.name), within: Arena.patience)
            }
        }

        @Test("A vote is taken; who has none is lent one to become primary, and is given it for good")
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
                let steps = try primary.command("switchover", "--to", member.name, "--dry-run")
                #expect(steps.output.contains("gets the vote of \(primary.name)"), "\(steps.output)")
                let moved = try primary.command("switchover", "--to", member.name)
                #expect(moved.status == 0, "\(moved.error)")
                try herd.until(.primary(is: member.name), within: Arena.patience)
                try trial.writesGoOn()
                try herd.until("three vote") { try member.view().members.filter(\.voter).count == 3 }
                let given = try member.command("member", "promote-voter", member.name)
                #expect(given.status == 0, "\(given.error)")
                let back = try member.command("switchover", "--to", primary.name)
                #expect(back.status == 0, "\(back.error)")
                try herd.until(.replica(member.name), within: Arena.patience)
                #expect(try primary.view().members.filter(\.voter).count == 3)
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
