import Glibc
import Platform

/// The programs that outlive the agent: where they are, and starting them where no service manager does.
struct Companions {
    /// Where packages put them.
    private static let libexec = "/usr/libexec/matriarch"

    let runtime: String

    /// Beside our own binary in a build tree, else in libexec.
    static func path(of program: String) throws -> String {
        var candidates: [String] = []
        if let directory = ChildProcess.ownEnvironment["MATRIARCH_LIBEXEC"] {
            candidates.append("\(directory)/\(program)")
        }
        if let own = ownDirectory { candidates.append("\(own)/\(program)") }
        candidates.append("\(libexec)/\(program)")
        guard let found = candidates.first(where: { Files.exists($0) }) else {
            throw StartError(
                "\(program) is not found (\(candidates.joined(separator: ", "))): install it there")
        }
        return found
    }

    private static var ownDirectory: String? {
        var buffer = [CChar](repeating: 0, count: 4096)
        let count = readlink("/proc/self/exe", &buffer, buffer.count - 1)
        guard count > 0 else { return nil }
        let path = String(decoding: buffer.prefix(count).map { UInt8(bitPattern: $0) }, as: UTF8.self)
        return Files.directory(of: path)
    }

    /// Starts one in a session of its own; its log goes where ours goes.
    static func start(_ program: String, _ arguments: [String]) throws {
        let path = try path(of: program)
        _ = try ChildProcess.spawn(executable: path, arguments: arguments, detached: true)
        Log.info("started \(program)")
    }
}
