import Lab
import Platform
import TestSupport
import Testing

/// A node of its own on a loopback address, for what goes wrong at the start.
struct LoneNode {
    static let patience: Duration = .seconds(60)
    let herd: Herd
    var node: HerdNode { herd.nodes[0] }

    init() throws {
        herd = try Herd(
            Herd.Options(nodes: 1, placement: .loopback, settings: ["lease_duration": "1s"]),
            programs: Programs(directory: BuiltPrograms.directory))
    }

    /// Starts the agent and waits for it to give up.
    ///
    /// - Returns: how it ended and what it wrote since.
    func refusal() throws -> (exit: ChildProcess.Exit, words: String) {
        let before = node.log().count
        try node.start()
        let exit = try node.waitForAgent(within: LoneNode.patience)
        return (exit, String(node.log().dropFirst(before)))
    }

    /// Founds the cluster and stops the node again, so that there is something to spoil.
    func foundAndStop() throws {
        try node.start()
        try herd.until(herd.isWhole, within: LoneNode.patience)
        try #require(try node.stop() == .status(0))
        try herd.until("Postgres has ended") { !node.processes.contains { $0.command == "postgres" } }
    }

    func write(_ text: String, to path: String) throws {
        try SourceTree.write(text, to: path)
    }
}

extension Trait where Self == ConditionTrait {
    static var requiresHerd: Self {
        .requiresPrograms("matriarchd", "matriarch", "matriarch-guard", "matriarch-proxy")
    }
}
