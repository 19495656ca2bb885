/// What the defaults depend on; gathered by the program, as this module asks nobody.
public struct Machine: Sendable {
    public var hostName: String
    /// Addresses of the interfaces in their order, loopback left out.
    public var addresses: [String]
    /// Every `/usr/lib/postgresql/VERSION/bin` that is there.
    public var postgresBinDirectories: [String]
    public var environment: [String: String]

    public init(
        hostName: String, addresses: [String], postgresBinDirectories: [String], environment: [String: String]
    ) {
        self.hostName = hostName
        self.addresses = addresses
        self.postgresBinDirectories = postgresBinDirectories
        self.environment = environment
    }

    /// By major version, not by letters: 15 is newer than 9.
    var newestPostgresBinDirectory: String? {
        postgresBinDirectories.max { Machine.version(in: $0) < Machine.version(in: $1) }
    }

    private static func version(in path: String) -> Int {
        let parts = path.split(separator: "/")
        guard parts.count >= 2, let version = Int(parts[parts.count - 2]) else { return 0 }
        return version
    }
}

/// How the reader of settings gets at files; this module does no input or output of its own.
public struct ConfigurationFiles {
    public enum Failure: Error, Hashable {
        case missing
        /// With the system's reason.
        case unreadable(String)
    }

    /// A whole file as it is on the disk: what of it is text is for the reader of settings to say.
    public var bytes: (_ path: String) -> Result<[UInt8], Failure>
    /// The names in a directory, in any order.
    public var names: (_ directory: String) -> Result<[String], Failure>

    public init(
        bytes: @escaping (_ path: String) -> Result<[UInt8], Failure>,
        names: @escaping (_ directory: String) -> Result<[String], Failure>
    ) {
        self.bytes = bytes
        self.names = names
    }
}
