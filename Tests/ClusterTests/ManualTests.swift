import FoundationEssentials
import Glibc
import Platform
import TestSupport
import Testing

@testable import Lab

extension RealPostgres {
    /// The manual, typed as it stands on three machines that have nothing of ours.
    @Suite("The manual", .serialized, .requiresRoot, .requiresPostgres, .requiresHerd)
    struct ManualTests {
        @Test("Who types the pages on installing, configuring and switching over gets a herd that does it")
        func typed() throws {
            let room = try ThreeMachines()
            defer { room.clear() }
            let install = try Typist("docs/operate/install.md")
            let (configure, switchover) = (
                try Typist("docs/operate/configure.md"), try Typist("docs/operate/switchover.md")
            )
            let trouble = try Typist("docs/operate/when-things-go-wrong.md")
            for number in 1...3 {
                var words = try install.commands("On each machine") + [""]
                words +=
                    number == 1
                    ? try install.commands("The secret") + ["cp /etc/matriarch/cluster.secret \(room.shared)"]
                    : [
                        "until [ -s \(room.shared)/cluster.secret ]; do sleep 0.1; done",
                        "install -o postgres -m 600 \(room.shared)/cluster.secret /etc/matriarch/",
                    ]
                words += try install.file("The settings", "/etc/matriarch/matriarch.conf")
                words += try install.commands("The settings")
                words += try install.file("Start", "/etc/systemd/system/matriarchd.service")
                words += try install.commands("Start") + ["whole"]
                guard number == 1 else {
                    try room.start(number, words + ["wait \"$agent\""])
                    continue
                }
                words += try install.commands("Passwords").map { "echo 'select 1' | \($0)" }
                words += try trouble.commands("When things go wrong")
                words += try configure.commands("Changing settings")
                words += try switchover.commands("By command").flatMap {
                    // Handing over to whom has the role already is refused, and rightly.
                    ["[ $(primary) != pg2 ] || { matriarch switchover --to pg3; whole; }", $0, "whole"]
                }
                words += try switchover.commands("By signal") + ["whole", "systemctl stop matriarchd"]
                try room.start(number, words)
            }
            try room.waitForFirst()
        }
    }
}

/// Takes a page's blocks by their headings; the addresses become those of the namespaces.
private struct Typist {
    let page: ManualPage

    init(_ path: String) throws { page = try ManualPage(path) }

    private func blocks(_ heading: String) throws -> [ManualPage.Block] {
        let found = page.blocks.filter { $0.heading == heading }
        try #require(!found.isEmpty, "\(page.path) has no block below '\(heading)'")
        return found
    }

    private static func isFile(_ block: ManualPage.Block) -> Bool {
        block.lines[0].hasPrefix("[") || block.lines[0].contains(" = ")
    }

    func commands(_ heading: String) throws -> [String] {
        try blocks(heading).filter { !Typist.isFile($0) }.flatMap(\.lines)
    }

    /// Words that write a block into the file that the page names above it.
    func file(_ heading: String, _ path: String) throws -> [String] {
        let block = try #require(try blocks(heading).first(where: Typist.isFile))
        let text = block.text.replacing("10.0.0.", with: "10.77.0.")
        return ["mkdir -p \(Typist.directory(path))", "cat > \(path) <<'END'", text + "END"]
    }

    private static func directory(_ path: String) -> String { SourceTree.directory(of: path) }
}

/// Three network namespaces, and for each a script that is typed inside.
private final class ThreeMachines {
    private let claim: Claim
    private let network: Network
    private let programs: Programs
    private var first: ChildProcess?
    var shared: String { claim.directory }

    init() throws {
        let machine = try Machine()
        claim = try Registry.claim(machine)
        do {
            programs = try Programs(directory: BuiltPrograms.directory)
                .copied(to: claim.directory + "/bin", machine)
            network = try Network(tag: claim.tag, nodes: 3)
        } catch {
            try? Registry.release(claim)
            throw error
        }
    }

    func clear() { #expect(throws: Never.self) { try Registry.release(claim) } }

    func start(_ number: Int, _ words: [String]) throws {
        let room = "\(claim.directory)/machine\(number)"
        try FileManager.default.createDirectory(atPath: room, withIntermediateDirectories: true)
        let prelude = "ROOM=\(room) NAME=pg\(number)\n. \(SourceTree.root)/Tests/ClusterTests/machine.sh\n"
        let script = prelude + "cd \(programs.directory)\nset -x\n" + words.joined(separator: "\n") + "\n"
        try SourceTree.write(script, to: room + "/typed.sh")
        let log = open(room + "/typed.log", O_WRONLY | O_CREAT | O_CLOEXEC, 0o644)
        defer { close(log) }
        let prefix = Network.inside(network.ports[number - 1].namespace)
        let unshared = ["unshare", "--mount", "--uts", "bash", room + "/typed.sh"]
        let child = try ChildProcess.spawn(
            executable: try Tool.path(prefix[0]), arguments: prefix.dropFirst() + unshared,
            environment: Tool.variables([:]), workingDirectory: "/", standardOutput: .descriptor(log),
            standardError: .descriptor(log))
        if number == 1 { first = child }
    }

    /// The first machine's script goes through all pages.
    func waitForFirst() throws {
        let exit = first?.wait(until: BootClock.now() + 300_000_000_000)
        if exit == .status(0) { return }
        let logs = [("typed", 1), ("agent", 1), ("agent", 2), ("agent", 3)].map { name, number in
            let text = readText("\(claim.directory)/machine\(number)/\(name).log") ?? "none"
            return "--- machine \(number), \(name).log\n\(text.suffix(3000))\n"
        }
        throw LabError("typing ended with \(exit.map { "\($0)" } ?? "nothing in time")\n" + logs.joined())
    }
}
