import Lab
import TestSupport
import Testing

extension RealPostgres {
    @Suite("Comers and strangers", .serialized, .requiresRoot, .requiresPostgres, .requiresHerd)
    struct StrangerTests {
        @Test("A node that lost all its data and memory is cloned again and becomes what it was")
        func cloneAgain() throws {
            try Arena.trial { herd, trial in
                let empty = herd.others(than: try herd.primary())[0]
                let marked = try Marked(empty)
                try empty.losePower()
                try empty.eraseEverything()
                try empty.returnPower()
                try herd.until(
                    Condition("\(empty.name) is a healthy voter again") { view in
                        view.member(empty.name).map { $0.isHealthy && $0.voter && $0.role == "replica" }
                            == true
                    }, within: Arena.patience)
                #expect(!marked.isSameCopy)
                try trial.expectNothingLost()
            }
        }

        @Test("A standby promoted by hand is ended, copied anew and follows again; nobody else writes")
        func promotedByHand() throws {
            try Arena.trial { herd, trial in
                let node = herd.others(than: try herd.primary())[0]
                let marked = try Marked(node)
                let session = try Session(node.database, within: .seconds(5))
                _ = try? session.run("select pg_promote()")
                try herd.until("its agent knows it", within: Arena.patience) {
                    node.log().contains("was promoted, or started, by hand")
                }
                try herd.until(.replica(node.name), within: Arena.patience)
                #expect(!marked.isSameCopy)
                try trial.writesGoOn()
                try trial.expectNothingLost()
            }
        }

        @Test("A node with another database is not let in, and its data stays as it is")
        func foreignDatabase() throws {
            try Arena.trial { herd, trial in
                let stranger = herd.spares[0]
                let identifier = try stranger.makeForeignDatabase()
                try stranger.start()
                try herd.until("the stranger says whose database it has") {
                    stranger.log().contains(identifier)
                }
                #expect(try stranger.systemIdentifier() == identifier)
                #expect(try herd.primary().view().member(stranger.name)?.role != "replica")
                try stranger.losePower()
                try stranger.heal()
                try stranger.eraseEverything()
                try trial.expectNothingLost()
            }
        }

        @Test(
            "A wrong secret and another major version are refused in words; with the right ones a node joins")
        func wrongSecret() throws {
            try Arena.trial { herd, trial in
                let stranger = herd.spares[0]
                try stranger.useAnotherSecret()
                try stranger.start()
                try herd.until("a member logs the address that it refused") {
                    herd.nodes.contains { node in
                        node.log().split(whereSeparator: \.isNewline).contains {
                            $0.contains(stranger.address) && $0.contains("secret")
                        }
                    }
                }
                #expect(try herd.primary().view().members.count == herd.nodes.count)
                try stranger.losePower()
                try stranger.eraseEverything()

                try stranger.useSecret(of: herd.nodes[0])
                try stranger.pretendPostgres(major: 16)
                try stranger.returnPower()
                try herd.until("the stranger says which version is wanted") {
                    stranger.log().contains("it has PostgreSQL 16, this cluster runs 15")
                }
                #expect(try herd.primary().view().members.count == herd.nodes.count)
                try stranger.losePower()
                try stranger.eraseEverything()

                try stranger.configure(["postgres_bin_directory": stranger.postgresBin])
                try stranger.returnPower()
                try herd.until(.replica(stranger.name), within: Arena.patience)
                try stranger.stop()
                try trial.expectNothingLost()
            }
        }
    }
}
