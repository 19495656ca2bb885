import FoundationEssentials

/// The files of the repository that the tests were built from, found by `#filePath`.
public enum SourceTree {
    /// The repository's root.
    public static let root = directory(of: directory(of: directory(of: #filePath)))

    /// The path without its last component.
    public static func directory(of path: String) -> String {
        guard let slash = path.lastIndex(of: "/") else { return "." }
        return String(path[..<slash])
    }

    public static func exists(_ path: String) -> Bool { FileManager.default.fileExists(atPath: path) }

    /// The text of a file; throws when it is missing or not UTF-8.
    public static func read(_ path: String) throws -> String {
        try String(contentsOf: URL(filePath: path), encoding: .utf8)
    }

    public static func write(_ text: String, to path: String) throws {
        try FileManager.default.createDirectory(
            atPath: directory(of: path), withIntermediateDirectories: true)
        try Data(text.utf8).write(to: URL(filePath: path))
    }

    /// Paths relative to the root of every regular file below `folder` (itself relative to the root), sorted.
    public static func files(below folder: String) -> [String] {
        let base = folder.isEmpty ? root : root + "/" + folder
        let paths = (try? FileManager.default.subpathsOfDirectory(atPath: base)) ?? []
        return paths.sorted().compactMap { path in
            var isDirectory = false
            let exists = FileManager.default.fileExists(atPath: base + "/" + path, isDirectory: &isDirectory)
            return exists && !isDirectory ? (folder.isEmpty ? path : folder + "/" + path) : nil
        }
    }
}

/// Where the built programs are: `MATRIARCH_BIN`, else `.build/release` of this tree.
public enum BuiltPrograms {
    public static let directory =
        ProcessInfo.processInfo.environment["MATRIARCH_BIN"] ?? SourceTree.root + "/.build/release"

    public static func path(_ name: String) -> String { directory + "/" + name }

    public static func exist(_ names: [String]) -> Bool {
        names.allSatisfy { FileManager.default.isExecutableFile(atPath: path($0)) }
    }
}
