internal import FoundationEssentials
internal import Glibc

/// The product's programs, as built, and a copy that the Postgres user can run.
public struct Programs: Sendable {
    public static let names = ["matriarchd", "matriarch", "matriarch-guard", "matriarch-proxy"]

    public let directory: String

    /// - Parameter directory: where all of `names` are; they must find each other beside themselves.
    public init(directory: String) { self.directory = directory }

    public subscript(name: String) -> String { "\(directory)/\(name)" }

    /// `MATRIARCH_BIN`, else beside this program, else the newest build of the tree that we stand in.
    public static func find() throws -> Programs {
        var places: [String] = []
        if let named = ProcessInfo.processInfo.environment["MATRIARCH_BIN"] {
            places = [named]
        } else {
            let own = (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? ""
            places = [parent(own)] + ["release", "debug"].map { "\(sourceRoot)/.build/\($0)" }
        }
        for place in places where missing(in: place).isEmpty { return Programs(directory: place) }
        throw LabError(
            "the programs \(names.joined(separator: ", ")) are not all in any of: "
                + places.joined(separator: ", ") + "; run: make build (or set MATRIARCH_BIN)")
    }

    /// This very program, as somebody in another directory would call it.
    public static var ownPath: String {
        (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe"))
            ?? CommandLine.arguments[0]
    }

    static func missing(in directory: String) -> [String] {
        names.filter { !FileManager.default.isExecutableFile(atPath: "\(directory)/\($0)") }
    }

    /// Copies the programs where the Postgres user may run them: a home directory is often closed to it.
    func copied(to directory: String, _ machine: Machine) throws -> Programs {
        try machine.makeDirectory(directory, mode: 0o755)
        for name in Programs.names {
            let target = "\(directory)/\(name)"
            try FileManager.default.copyItem(atPath: self[name], toPath: target)
            if chmod(target, 0o755) != 0 { throw LabError("chmod \(target): \(errorText())") }
        }
        return Programs(directory: directory)
    }

    /// The repository that this code was built from.
    static let sourceRoot = parent(parent(parent(#filePath)))

    static func parent(_ path: String) -> String {
        guard let slash = path.lastIndex(of: "/") else { return "." }
        return String(path[..<slash])
    }
}
