import Platform
import TestSupport
import Testing

@testable import Proxy

/// What goes in at one end comes out at the other, whatever the ends do.
struct RelayingTests {
    private func session() throws -> (proxy: RunningProxy, client: Wire, server: Wire) {
        let proxy = try RunningProxy()
        let backend = try Backend()
        try proxy.route(backend)
        let client = try proxy.connect()
        try client.send(Packet.startup())
        let server = try backend.accept()
        _ = try server.receive(Packet.startup().count)
        return (proxy, client, server)
    }

    @Test func eachSideMayEndItsDirectionAloneAndStillHears() throws {
        let (proxy, client, server) = try session()
        try client.send([1])
        client.shutdownWriting()
        #expect(try server.receiveToEnd() == [1])
        #expect(client.isQuiet(milliseconds: 50))
        try server.send([2, 3])
        #expect(try client.receive(2) == [2, 3])
        server.close()
        #expect(try client.receiveToEnd() == [])
        try waitUntil("the session is gone") { try proxy.state().sessions == 0 }
    }

    @Test func lastWordsBeforeACloseArrive() throws {
        let (proxy, client, server) = try session()
        let words = [UInt8](repeating: 7, count: 3_000_000)
        let writer = try Thread.start(name: "server") {
            try? server.send(words)
            server.close()
        }
        #expect(try client.receiveToEnd() == words)
        writer.join()
        client.close()
        try waitUntil("the session is gone") { try proxy.state().sessions == 0 }
    }

    @Test func aClientThatVanishesTakesItsServerConnectionAlong() throws {
        let (proxy, client, server) = try session()
        client.close()
        #expect(try server.receiveToEnd() == [])
        server.close()
        try waitUntil("the session is gone") { try proxy.state().sessions == 0 }
    }

    @Test func manySessionsAtOnceKeepTheirBytesApart() throws {
        let proxy = try RunningProxy()
        let backend = try Backend()
        try proxy.route(backend)
        var pairs: [(client: Wire, server: Wire)] = []
        for number in 0..<100 {
            let client = try proxy.connect()
            try client.send(Packet.startup([("user", "u\(1000 + number)")]))
            pairs.append((client, try backend.accept()))
        }
        for (number, pair) in pairs.enumerated() {
            let startup = Packet.startup([("user", "u\(1000 + number)")])
            #expect(try pair.server.receive(startup.count) == startup)
            try pair.server.send([UInt8(number)])
        }
        for (number, pair) in pairs.enumerated() { #expect(try pair.client.receive(1) == [UInt8(number)]) }
    }
}
