import Glibc
import Lab
import Platform
import TestSupport
import Testing

extension RealPostgres {
    @Suite("All machines were off", .serialized, .requiresRoot, .requiresPostgres, .requiresHerd)
    struct ColdStartTests {
        /// Places in the herd: the last primary is 0.
        private static let orders = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]]

        @Test("They boot in any order: the second brings writes back, and nothing that everyone had is lost")
        func anyOrder() throws {
            try Arena.trial { herd, trial in
                for node in herd.nodes { try node.configure(["cold_start_wait": "2s"]) }
                defer { for node in herd.nodes { try? node.configure(["cold_start_wait": nil]) } }
                for order in ColdStartTests.orders {
                    let mark = try leaveMark(herd)
                    let nodes = try inPlaces(herd)
                    for node in nodes { try node.losePower() }
                    try boot(order.map { nodes[$0] }, herd, trial)
                    for node in herd.nodes { #expect(try isMarked(node, mark), "\(order)") }
                }
            }
        }

        @Test("The freshest one stays away: the others wait for it as told, then go on without")
        func staleOnes() throws {
            try Arena.trial { herd, trial in
                for node in herd.nodes { try node.configure(["cold_start_wait": "6s"]) }
                defer { for node in herd.nodes { try? node.configure(["cold_start_wait": nil]) } }
                let nodes = try inPlaces(herd)
                let fault = Moment.current
                for node in nodes { try node.losePower() }
                let start = Moment.current
                for node in nodes.dropFirst() { try node.returnPower() }
                try trial.writesGoOn()
                #expect(Moment.current - start >= .seconds(6))
                try nodes[0].returnPower()
                try herd.until(.replica(nodes[0].name), within: Arena.patience)
                try trial.expectLossOnlyAround(fault)
            }
        }

        /// The primary first.
        private func inPlaces(_ herd: Herd) throws -> [HerdNode] {
            let primary = try herd.primary()
            return [primary] + herd.others(than: primary)
        }

        private func boot(_ nodes: [HerdNode], _ herd: Herd, _ trial: Trial) throws {
            try nodes[0].returnPower()
            try herd.until("\(nodes[0].name) answers alone") {
                (try? nodes[0].get("/liveness"))?.status == 200
            }
            #expect(try nodes[0].get("/primary").status == 503, "one of three writes")
            try nodes[1].returnPower()
            try trial.writesGoOn()
            try nodes[2].returnPower()
            try herd.until(herd.isWhole, within: Arena.patience)
        }

        /// A row that is on every node before the power goes.
        private func leaveMark(_ herd: Herd) throws -> String {
            let session = try Session(try herd.primary().entrance, within: .seconds(10))
            _ = try session.run("create table if not exists marks (id text)")
            let mark = "\(getpid())-\(Moment.current)"
            _ = try session.run("insert into marks values ('\(mark)')")
            try herd.until("every node has the mark") {
                try herd.nodes.allSatisfy { try isMarked($0, mark) }
            }
            return mark
        }

        private func isMarked(_ node: HerdNode, _ mark: String) throws -> Bool {
            let session = try Session(node.database, within: .seconds(10))
            return try session.value("select count(*) from marks where id = '\(mark)'") == "1"
        }
    }
}
