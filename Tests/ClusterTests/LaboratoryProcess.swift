import FoundationEssentials
import Glibc
import Platform
import TestSupport

@testable import Lab

/// `matriarch-lab hold` or `demo`: a laboratory in a process of its own, to be interrupted.
final class LaboratoryProcess {
    let pid: Int32
    private let child: ChildProcess
    private let directory: String
    private let tag: String
    private let memory: SharedMemory
    private var reading: Int32

    static func start() throws -> LaboratoryProcess {
        let (process, said) = try run(["hold"], until: "holding")
        let words = said.split(whereSeparator: \.isWhitespace).map(String.init)
        guard words.count == 3 else { throw LabError("`matriarch-lab hold` said \(said)") }
        return LaboratoryProcess(process, directory: words[1], tag: words[2])
    }

    /// Returns once the demo has written a line with these words.
    static func startDemo(until words: String) throws -> LaboratoryProcess {
        let (process, said) = try run(["demo"], until: words)
        guard let below = said.firstMatch(of: /below (\S+)/)?.output.1 else {
            throw LabError("the demo said no directory: \(said)")
        }
        return LaboratoryProcess(process, directory: String(below), tag: "")
    }

    private static func run(
        _ arguments: [String], until words: String
    ) throws -> (process: (ChildProcess, Int32), said: String) {
        var ends: [Int32] = [-1, -1]
        guard pipe(&ends) == 0 else { throw LabError("pipe") }
        var environment = ChildProcess.ownEnvironment
        environment["MATRIARCH_BIN"] = BuiltPrograms.directory
        let child = try ChildProcess.spawn(
            executable: try programPath(), arguments: arguments, environment: environment,
            standardOutput: .descriptor(ends[1]), standardError: .discard)
        close(ends[1])
        var said = ""
        var piece = [UInt8](repeating: 0, count: 4096)
        let deadline = Moment.current + .seconds(120)
        while !(said.contains(words) && said.last == "\n") {
            var waiting = pollfd(fd: ends[0], events: Int16(POLLIN), revents: 0)
            let ready = poll(&waiting, 1, 1000)
            let count = ready > 0 ? read(ends[0], &piece, piece.count) : 0
            if ready > 0, count <= 0 || .current > deadline {
                throw LabError("`matriarch-lab \(arguments[0])` never said '\(words)': \(said)")
            }
            said += String(decoding: piece[..<max(0, count)], as: UTF8.self)
        }
        return ((child, ends[0]), said)
    }

    private init(_ process: (ChildProcess, Int32), directory: String, tag: String) {
        (child, reading) = process
        pid = child.pid
        self.directory = directory
        self.tag = tag
        var memory = SharedMemory()
        memory.note(Processes.belonging(to: Processes.Marks(directory: directory)))
        self.memory = memory
    }

    deinit { stopReading() }

    /// What the process writes from now on gets it SIGPIPE.
    func stopReading() {
        if reading >= 0 { close(reading) }
        reading = -1
    }

    func waitForEnd() throws -> ChildProcess.Exit {
        guard let exit = child.wait(until: BootClock.now() + 60_000_000_000) else {
            throw LabError("matriarch-lab (pid \(pid)) still runs")
        }
        return exit
    }

    var directoryExists: Bool { FileManager.default.fileExists(atPath: directory) }
    var processesLeft: [Int32] { Processes.belonging(to: Processes.Marks(directory: directory)).map(\.pid) }
    var sharedMemoryLeft: [String] { memory.left.files + memory.left.segments.map { "segment \($0)" } }
    var namespacesLeft: [String] {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: "/run/netns")) ?? []
        return names.filter { $0.hasPrefix(tag) }
    }

    /// Beside the test bundle: it is built with it.
    private static func programPath() throws -> String {
        let own = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
        let places = [SourceTree.directory(of: own), "\(SourceTree.root)/.build/debug"]
        let found = places.map { "\($0)/matriarch-lab" }
            .first { FileManager.default.isExecutableFile(atPath: $0) }
        guard let found else { throw LabError("matriarch-lab is in none of \(places)") }
        return found
    }
}
