import FoundationEssentials
import Glibc

/// Postgres in a directory that is about to go away.
public enum TemporaryPostgres {
    /// Longer than an immediate shutdown takes on a loaded machine; one that is frozen never answers.
    private static let patience = Duration.seconds(2)

    /// Shuts down immediately what runs in a data directory, and waits for its end, within limits.
    ///
    /// Told to quit, Postgres takes its shared memory away; killed, it leaves it to a next start that there
    /// never is.
    public static func quit(inDirectory data: String) {
        let file = data + "/postmaster.pid"
        guard let text = try? SourceTree.read(file),
            let pid = text.split(separator: "\n").first.flatMap({ Int32($0) }),
            // The number may have passed to another process.
            let working = try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/\(pid)/cwd"),
            working == data
        else { return }
        kill(pid, SIGQUIT)
        let end = ContinuousClock.now + patience
        while SourceTree.exists(file), ContinuousClock.now < end { rest(.milliseconds(5)) }
    }
}
