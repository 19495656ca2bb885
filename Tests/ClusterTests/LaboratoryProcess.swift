import FoundationEssentials
import Glibc
import Lab
import Platform
import TestSupport

/// `matriarch-lab hold`: a laboratory in a process of its own, to be interrupted.
final class LaboratoryProcess {
    let pid: Int32
    private let child: ChildProcess
    private let directory: String
    private let tag: String

    static func start() throws -> LaboratoryProcess {
        let program = try programPath()
        let child = try ChildProcess.spawn(
            executable: program, arguments: ["hold"], standardOutput: .capture(limit: 4096))
        var words: [String] = []
        // The line is read as it comes; the limit only matters when it never does.
        for _ in 0..<300 where words.count < 3 {
            if child.wait(until: BootClock.now() + 200_000_000) != nil { break }
            words = child.captured(.output).split(whereSeparator: \.isWhitespace).map(String.init)
        }
        guard words.count == 3, words[0] == "holding" else {
            throw LabError("`\(program) hold` did not get ready: \(child.captured(.output))")
        }
        return LaboratoryProcess(child, directory: words[1], tag: words[2])
    }

    private init(_ child: ChildProcess, directory: String, tag: String) {
        pid = child.pid
        self.child = child
        self.directory = directory
        self.tag = tag
    }

    func waitForEnd() throws {
        if child.wait(until: BootClock.now() + 60_000_000_000) == nil {
            throw LabError("matriarch-lab hold (pid \(pid)) still runs")
        }
    }

    var directoryExists: Bool { FileManager.default.fileExists(atPath: directory) }
    var processesLeft: [Int32] { Processes.belonging(to: Processes.Marks(directory: directory)).map(\.pid) }
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
