public import Config
import Glibc
import Platform

/// What the settings' defaults depend on, read from this machine, the same for agent and command line.
public enum LocalMachine {
    private static let postgresRoot = "/usr/lib/postgresql"

    public static var facts: Machine {
        let versions = (try? Files.list(postgresRoot)) ?? []
        let binaries = versions.map { "\(postgresRoot)/\($0)/bin" }.filter { Files.isDirectory($0) }
        return Machine(
            hostName: HostName.current, addresses: [Sockets.firstOutsideAddress()?.host].compactMap(\.self),
            postgresBinDirectories: binaries, environment: ChildProcess.ownEnvironment)
    }

    /// Far more than any settings file holds.
    private static let mostSettingsBytes = 1 << 20

    /// The reader's way to files.
    public static var files: ConfigurationFiles {
        ConfigurationFiles(
            bytes: { path in
                looked { () throws(SystemError) in
                    try Files.readAll(path, limit: mostSettingsBytes)
                }
            },
            names: { directory in looked { () throws(SystemError) in try Files.list(directory) } })
    }

    /// Only what the system says is not there is missing: a file that may not be looked at is no reason to
    /// go on without it.
    private static func looked<Found>(
        _ look: () throws(SystemError) -> Found
    ) -> Result<Found, ConfigurationFiles.Failure> {
        do { return .success(try look()) } catch {
            return .failure(error.code == ENOENT ? .missing : .unreadable("\(error)"))
        }
    }
}
