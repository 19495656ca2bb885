internal import Consensus
internal import Glibc
internal import Platform
internal import Supervision

extension Upstream {
    /// Connection parameters for libpq.
    var parameters: [String: String] {
        [
            "host": address, "port": String(port), "user": role, "password": password,
            "application_name": applicationName, "dbname": "postgres", "gssencmode": "disable",
        ]
    }

    /// The same as one text for Postgres's programs, without the password.
    var connection: String {
        parameters.filter { $0.key != "password" }.sorted { $0.key < $1.key }.map { key, value in
            "\(key)='\(value.escaped("\\'"))'"
        }.joined(separator: " ")
    }

    /// Of a password file. Colons and backslashes are escaped; the connection is the only one that it is for.
    fileprivate var passwordLine: String { "*:*:*:*:\(password.escaped(":\\"))\n" }
}

extension String {
    fileprivate func escaped(_ special: String) -> String {
        reduce(into: "") { escaped, character in
            if special.contains(character) { escaped.append("\\") }
            escaped.append(character)
        }
    }
}

/// Running the programs of Postgres that copy from another server.
extension OrderRun {
    /// How often a running program is looked at to see whether it is still wanted.
    private static let look = Duration.milliseconds(200)
    private static let captureBytes = 64 * 1024

    /// Runs one to its end and tells how far it is.
    ///
    /// - Returns: what it said besides, in lines.
    func copying(
        _ program: String, _ arguments: [String], from source: Upstream, _ doing: String
    ) throws -> [String] {
        let passwords = site.runtimeDirectory + "/copy.pgpass"
        try Files.replaceDurably(passwords, Array(source.passwordLine.utf8))
        defer { try? Files.removeDurably(passwords) }
        var environment = PostgresSite.plainEnvironment
        environment["PGPASSFILE"] = passwords
        let child = try ChildProcess.spawn(
            executable: site.program(program), arguments: arguments, environment: environment,
            standardOutput: .discard, standardError: .capture(limit: Self.captureBytes),
            deathSignal: SIGKILL)
        var exit: ChildProcess.Exit?
        while exit == nil {
            exit = child.wait(until: Deadline.after(Self.look)) { _, piece in
                if let text = Self.progress(String(decoding: piece, as: UTF8.self)) { tell(.progress(text)) }
            }
            if exit == nil, cancellation.isCancelled {
                try child.signal(SIGKILL)
                _ = child.wait()
                throw PostgresError(.cancelled, doing)
            }
        }
        let said = child.captured(.error).split(whereSeparator: \.isNewline).map(String.init)
            .filter { !$0.contains(" kB (") }
        guard exit?.isSuccess == true else {
            throw PostgresError.refused(doing, said.suffix(3).joined(separator: " | "))
        }
        return said
    }

    /// "23456/40960 kB (57%), 0/1 tablespace" as people read it.
    static func progress(_ text: String) -> String? {
        guard let match = text.matches(of: #/(\d+)\/(\d+) kB/#).last, let done = UInt64(match.1),
            let all = UInt64(match.2)
        else { return nil }
        return "\(done >> 10) of \(all >> 10) MB copied"
    }
}
