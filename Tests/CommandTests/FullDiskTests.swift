import Lab
import Platform
import TestSupport
import Testing

extension BadInput {
    @Suite(
        "A state directory that takes nothing", .serialized, .requiresRoot, .requiresPostgres, .requiresHerd)
    struct FullDiskTests {
        @Test("Full or read-only at the start: refused with 78, and once it is mended the same start works")
        func atTheStart() throws {
            let lone = try LoneNode()
            let disk = try SmallDisk(at: lone.node.stateDirectory, kilobytes: 64)
            let room = try SmallDisk(at: lone.node.runtimeDirectory, kilobytes: 64)
            try disk.fill()
            try expectRefused(lone, ["state_directory", lone.node.stateDirectory, "is full: make room"])
            try disk.makeRoom()
            try room.fill()
            try expectRefused(lone, ["runtime_directory", lone.node.runtimeDirectory, "is full: make room"])
            try room.makeRoom()
            #expect(!Files.exists(lone.node.dataDirectory), "something was made all the same")

            try lone.foundAndStop()
            let identifier = try lone.node.systemIdentifier()
            let state = try lone.stateSlots().map { try Files.readAll($0, limit: 1 << 20) }
            try disk.makeReadOnly(true)
            try expectRefused(lone, ["state_directory", lone.node.stateDirectory, "mounted read-only"])
            try disk.makeReadOnly(false)
            try lone.node.makeStateReadOnly(true)
            try expectRefused(lone, ["state_directory", lone.node.stateDirectory, "chown"])
            try lone.node.makeStateReadOnly(false)
            #expect(try lone.stateSlots().map { try Files.readAll($0, limit: 1 << 20) } == state)

            try lone.node.start()
            try lone.herd.until(lone.herd.isWhole, within: LoneNode.patience)
            #expect(try lone.node.systemIdentifier() == identifier)
            try lone.herd.destroy()
        }

        private func expectRefused(
            _ lone: LoneNode, _ words: [String], sourceLocation: SourceLocation = #_sourceLocation
        ) throws {
            let (exit, said) = try lone.refusal()
            #expect(exit == .status(configurationExit), sourceLocation: sourceLocation)
            for word in words { #expect(said.contains(word), "\(said)", sourceLocation: sourceLocation) }
            #expect(lone.node.processes.isEmpty, "something runs", sourceLocation: sourceLocation)
        }
    }
}
