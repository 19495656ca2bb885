public import Config
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

    /// The reader's way to files.
    public static var files: ConfigurationFiles {
        ConfigurationFiles(
            text: { path in
                guard Files.exists(path) else { return .failure(.missing) }
                do { return .success(try Files.readText(path)) } catch {
                    return .failure(.unreadable("\(error)"))
                }
            },
            names: { directory in
                guard Files.exists(directory) else { return .failure(.missing) }
                do { return .success(try Files.list(directory)) } catch {
                    return .failure(.unreadable("\(error)"))
                }
            })
    }
}
