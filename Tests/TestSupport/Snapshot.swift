import FoundationEssentials
public import Testing

/// Whether this run records what it sees (`REWRITE=1`) or compares it.
public enum Rewriting {
    public static let isOn = ProcessInfo.processInfo.environment["REWRITE"] == "1"
}

/// Compares `text` with the file `path` byte for byte; with `REWRITE=1` the file is written instead.
///
/// - Parameter path: relative to the folder of the calling test file (`"Snapshots/help.txt"`), or absolute.
public func expectSnapshot(
    _ text: String, at path: String, beside file: String = #filePath,
    sourceLocation: SourceLocation = #_sourceLocation
) throws {
    let full = path.hasPrefix("/") ? path : SourceTree.directory(of: file) + "/" + path
    if Rewriting.isOn {
        try SourceTree.write(text, to: full)
        return
    }
    guard let recorded = try? SourceTree.read(full) else {
        Issue.record("no file \(full); REWRITE=1 swift test records it", sourceLocation: sourceLocation)
        return
    }
    if recorded != text {
        let difference = TextDifference.firstLine(recorded: recorded, actual: text)
        Issue.record(
            "\(full) differs, \(difference)\n(REWRITE=1 swift test records the actual text)",
            sourceLocation: sourceLocation)
    }
}

/// How two texts differ, in words short enough for a failure message.
enum TextDifference {
    static func firstLine(recorded: String, actual: String) -> String {
        let old = recorded.split(separator: "\n", omittingEmptySubsequences: false)
        let new = actual.split(separator: "\n", omittingEmptySubsequences: false)
        let same = zip(old, new).prefix { $0 == $1 }.count
        let was = same < old.count ? String(old[same]) : "<end of file>"
        let now = same < new.count ? String(new[same]) : "<end of text>"
        return "first in line \(same + 1):\n  recorded: \(was)\n  actual:   \(now)"
    }

    static func indented(_ text: String) -> String {
        text.split(separator: "\n", omittingEmptySubsequences: false).map { "    " + $0 }.joined(
            separator: "\n")
    }
}
