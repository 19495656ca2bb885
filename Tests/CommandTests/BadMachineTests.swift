import FoundationEssentials
import Glibc
import Lab
import Platform
import TestSupport
import Testing

extension BadInput {
    @Suite("A node does not start on what is not its own", .serialized, .requiresPostgres, .requiresHerd)
    struct BadMachineTests {
        @Test("A data directory of another major version is refused with 78 and left alone")
        func otherMajorVersion() throws {
            let lone = try LoneNode()
            try lone.foundAndStop()
            let file = lone.node.dataDirectory + "/PG_VERSION"
            try lone.write("14\n", to: file)
            let (exit, words) = try lone.refusal()
            #expect(exit == .status(configurationExit))
            #expect(words.contains("14") && words.contains("15"), "\(words)")

            try lone.write("15\n", to: file)
            try lone.node.start()
            try lone.herd.until(lone.herd.isWhole, within: LoneNode.patience)
            try lone.herd.destroy()
        }

        @Test("A data directory of another owner is refused with 78 and left alone", .requiresRoot)
        func otherOwner() throws {
            let lone = try LoneNode()
            try lone.foundAndStop()
            let data = lone.node.dataDirectory
            let owner = try Files.owner(of: data)
            try #require(chown(data, 0, 0) == 0)
            let (exit, words) = try lone.refusal()
            #expect(exit == .status(configurationExit))
            #expect(words.contains(data) && words.contains("chown"), "\(words)")

            try #require(chown(data, owner.uid, owner.gid) == 0)
            try lone.node.start()
            try lone.herd.until(lone.herd.isWhole, within: LoneNode.patience)
            try lone.herd.destroy()
        }

        @Test("A state directory of another owner is told from one that another agent uses", .requiresRoot)
        func otherOwnersState() throws {
            let lone = try LoneNode()
            try #require(chown(lone.node.stateDirectory, 0, 0) == 0)
            let (exit, words) = try lone.refusal()
            #expect(exit == .status(configurationExit))
            #expect(words.contains("state_directory") && words.contains("chown"), "\(words)")
            #expect(!words.contains("another matriarchd"), "\(words)")
            try lone.herd.destroy()
        }

        @Test("A database of another cluster is neither started as ours nor deleted")
        func otherCluster() throws {
            let lone = try LoneNode()
            try lone.foundAndStop()
            let data = lone.node.dataDirectory
            try FileManager.default.moveItem(atPath: data, toPath: data + ".own")
            let identifier = try lone.node.makeForeignDatabase()
            try lone.node.start()
            try lone.herd.until("the status calls for a person and says whose database it is") {
                let told = try lone.node.command("status").output
                return told.contains("failed") && told.contains(identifier)
            }
            #expect(try lone.node.systemIdentifier() == identifier)
            #expect(throws: SessionError.self) {
                _ = try Session(lone.node.entrance, within: .seconds(2))
            }
            try lone.herd.destroy()
        }
    }

    @Suite("What a node remembers is never made up", .serialized, .requiresPostgres, .requiresHerd)
    struct CorruptStateTests {
        @Test("One torn slot of the state file: the other one is used")
        func oneSlot() throws {
            let lone = try LoneNode()
            try lone.foundAndStop()
            let slots = try lone.stateSlots()
            try lone.tear(try #require(slots.first))
            try lone.node.start()
            try lone.herd.until(lone.herd.isWhole, within: LoneNode.patience)
            try lone.herd.destroy()
        }

        @Test("Both slots torn: the node says so and does not found a second cluster over its data")
        func bothSlots() throws {
            let lone = try LoneNode()
            try lone.foundAndStop()
            let identifier = try lone.node.systemIdentifier()
            for slot in try lone.stateSlots() { try lone.tear(slot) }
            let (exit, words) = try lone.refusal()
            #expect(exit == .status(configurationExit))
            #expect(words.contains(lone.node.stateDirectory), "\(words)")
            #expect(try lone.node.systemIdentifier() == identifier)
            try lone.herd.destroy()
        }
    }

    @Suite("Asked for what it cannot do", .serialized, .requiresPostgres, .requiresHerd)
    struct ImpossibleTests {
        @Test("SIGUSR1 to a node that is alone: refused with the reason, and it goes on writing")
        func nobodyToHandTo() throws {
            let lone = try LoneNode()
            try lone.node.start()
            try lone.herd.until(lone.herd.isWhole, within: LoneNode.patience)
            let before = lone.node.log().count
            try lone.node.signalAgent(SIGUSR1)
            try lone.herd.until("the refusal is logged") {
                lone.node.log().dropFirst(before).contains("refused")
            }
            let session = try Session(lone.node.entrance, within: .seconds(5))
            try session.run("create table still_writable()")
            let events = try lone.node.command("events")
            #expect(events.output.contains("refused"), "\(events.output)")

            let asked = try lone.node.command("failover")
            #expect(asked.status == 1)
            #expect(!asked.error.isEmpty)
            try lone.herd.destroy()
        }

        @Test("The command line: 64 for wrong usage, 69 without an agent, 78 for wrong settings")
        func exitCodes() throws {
            let lone = try LoneNode()
            #expect(try lone.node.command("frobnicate").status == 64)
            #expect(try lone.node.command("status", "--no-such-flag").status == 64)
            let unreachable = try lone.node.command("status")
            #expect(unreachable.status == 69)
            #expect(unreachable.error.contains(lone.node.runtimeDirectory), "\(unreachable.error)")
            try lone.node.configure(["lease_duration": "soon"])
            #expect(try lone.node.command("status").status == 78)
            try lone.herd.destroy()
        }
    }
}

extension LoneNode {
    /// The two files that hold the node's memory in turns.
    func stateSlots() throws -> [String] {
        let names = try FileManager.default.contentsOfDirectory(atPath: node.stateDirectory)
        let slots = names.filter { $0.hasSuffix(".a") || $0.hasSuffix(".b") }.sorted()
        try #require(slots.count == 2, "the state directory has \(names)")
        return slots.map { "\(node.stateDirectory)/\($0)" }
    }

    /// Overwrites the middle of a file, as a bad disk does.
    func tear(_ path: String) throws {
        var bytes = [UInt8](try Data(contentsOf: URL(filePath: path)))
        let middle = bytes.count / 2
        for index in middle..<min(middle + 64, bytes.count) { bytes[index] ^= 0x5a }
        let file = open(path, O_WRONLY)
        defer { close(file) }
        try #require(Glibc.write(file, bytes, bytes.count) == bytes.count)
    }
}
