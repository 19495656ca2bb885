import Glibc
import Lab
import Platform
import TestSupport
import Testing

extension RealPostgres {
    @Suite("A herd is born", .serialized, .requiresRoot, .requiresPostgres, .requiresHerd)
    struct BirthTests {
        @Test("One node founds a cluster alone, keeps its data over a restart, and ends with 0 on SIGTERM")
        func one() throws {
            let herd = try Arena.makeHerd(nodes: 1)
            let node = herd.nodes[0]
            try node.start()
            try herd.until(herd.isWhole, within: Arena.patience)
            let session = try Session(node.entrance, within: .seconds(5))
            try session.run("create table kept as select 42 as answer")

            #expect(try node.stop() == .status(0))
            try herd.until("nothing but the guard and the relay is left") {
                !node.processes.contains { $0.command == "postgres" || $0.command == "matriarchd" }
            }
            try node.start()
            try herd.until(herd.isWhole, within: Arena.patience)
            #expect(try Session(node.entrance, within: .seconds(5)).value("select answer from kept") == "42")
            try herd.destroy()
        }

        @Test(
            "Three nodes agree on one cluster, two are clones, and every 5432 reaches the primary"
        )
        func three() throws {
            let herd = try Arena.wholeHerd()
            let views = try herd.nodes.map { try $0.view() }
            #expect(Set(views.map(\.primary)).count == 1)
            #expect(Set(views.map(\.systemIdentifier)).count == 1 && views[0].systemIdentifier != nil)
            #expect(views[0].members.count { $0.role == "replica" } == 2)
            #expect(views[0].members.allSatisfy { $0.voter && $0.checks.total == 3 })

            let primary = try herd.primary()
            for door in herd.entrances {
                let session = try Session(door, within: .seconds(5))
                #expect(try session.value("select pg_is_in_recovery()") == "f")
            }
            for node in herd.others(than: primary) {
                let session = try Session(node.database, within: .seconds(5))
                #expect(try session.value("select pg_is_in_recovery()") == "t")
                let name = try session.value("show synchronous_standby_names")
                #expect(name?.isEmpty == false, "a rogue promotion could acknowledge")
            }
        }

        @Test("The command line and HTTP tell the same cluster")
        func toldAlike() throws {
            let herd = try Arena.wholeHerd()
            let node = herd.nodes[0]
            let told = try node.command("status", "--json")
            #expect(told.status == 0)
            let view = try ClusterView(json: told.output)
            let served = try node.view()
            #expect(view.primary == served.primary && view.members.map(\.name) == served.members.map(\.name))

            let primary = try herd.primary()
            #expect(try primary.get("/primary").status == 200)
            #expect(try primary.get("/flycheck/role").body.contains("primary"))
            for other in herd.others(than: primary) {
                #expect(try other.get("/primary").status == 503)
                #expect(try other.get("/replica").status == 200)
            }
            let list = try node.command("member", "list")
            #expect(herd.nodes.allSatisfy { list.output.contains($0.name) })
        }
    }
}
