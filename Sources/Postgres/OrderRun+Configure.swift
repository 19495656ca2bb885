internal import Consensus
internal import Platform
internal import Supervision

/// Bringing a running Postgres in line with the document: settings first, because clients wait for them.
extension OrderRun {
    private static let patience = Duration.seconds(10)
    /// How soon a reload must show in a new session.
    private static let reloadPatience = Duration.seconds(3)

    func configure(_ configuration: ManagedConfiguration) throws {
        let changed = try settings.write(configuration)
        let session = try openSession()
        let inRecovery = try session.query("select pg_is_in_recovery()", until: deadline).value == "t"
        guard inRecovery != configuration.isPrimary else {
            throw PostgresError.refused(
                "configuring Postgres",
                "it is a \(inRecovery ? "standby" : "primary"), the document says otherwise")
        }
        let reset = try resetAutomaticSettings(session)
        if changed || reset { _ = try session.query("select pg_reload_conf()", until: deadline) }
        try awaitSettings(configuration)
        if configuration.isPrimary { try bringRoles(session, configuration.credentials) }
        try bringSlots(session, configuration.slots)
        if !verified.holds(configuration.credentials), inRecovery {
            // Tried while nobody waits for it. Wrong ones are the primary's to mend.
            if try wrongPasswords(configuration.credentials).isEmpty {
                verified.note(configuration.credentials)
            }
        }
    }

    var deadline: Int64 { Deadline.after(Self.patience) }

    /// ALTER SYSTEM beats every file: managed keys are taken out of its reach.
    private func resetAutomaticSettings(_ session: Session) throws -> Bool {
        let rows = try session.query(
            "select distinct name from pg_file_settings where sourcefile like '%/postgresql.auto.conf'",
            until: deadline)
        let keys = rows.cells.compactMap { $0[0] }.filter(ManagedSettings.managedKeys.contains).sorted()
        // Known words only, so that no quoting is needed.
        for key in keys { _ = try session.query("alter system reset \(key)", until: deadline) }
        if !keys.isEmpty { noteRemoved(keys) }
        return !keys.isEmpty
    }

    /// Waits until a new session has the settings: one that was there before would not tell.
    private func awaitSettings(_ configuration: ManagedConfiguration) throws {
        let limit = Deadline.after(Self.reloadPatience)
        let expected = ManagedSettings.rule(configuration.synchronousStandbys)
        while true {
            let session = try openSession()
            let rule = try session.query(
                "select current_setting('synchronous_standby_names')", until: deadline
            ).value
            if rule == expected { return try checkFiles(session) }
            if Deadline.isPast(limit) {
                throw PostgresError.refused(
                    "configuring Postgres",
                    "synchronous_standby_names is '\(rule ?? "")' after the reload, not '\(expected)'")
            }
            Deadline.pause(.milliseconds(5))
        }
    }

    /// Errors in pg_hba leave the old rules in force.
    private func checkFiles(_ session: Session) throws {
        let wrong = try session.query(
            "select line_number, error from pg_hba_file_rules where error is not null limit 1",
            until: deadline)
        if let row = wrong.first {
            throw PostgresError.refused(
                "configuring Postgres", "pg_hba line \(row[0] ?? "?"): \(row[1] ?? "")")
        }
    }

    // MARK: roles

    private func bringRoles(_ session: Session, _ credentials: Credentials) throws {
        let rows = try session.query(
            """
            select rolname, rolsuper, rolreplication, rolcanlogin from pg_roles
            where rolname = any(array[$1, $2, $3])
            """, [credentials.operatorRole, credentials.adminRole, credentials.replicationRole],
            until: deadline)
        let known = Dictionary(rows.cells.map { ($0[0] ?? "", $0.dropFirst().map { $0 == "t" }) }) { $1 }
        try bring(credentials.operatorRole, known, superuser: true, replication: true, session)
        try bring(credentials.adminRole, known, superuser: true, replication: true, session)
        try bring(credentials.replicationRole, known, superuser: false, replication: true, session)
        try grantRewind(session, credentials.replicationRole)
        if verified.holds(credentials) { return }
        for (role, password) in try wrongPasswords(credentials) {
            let verifier = try session.verifier(of: password, for: role)
            try alter(session, "alter role %I password %L", [role, verifier])
        }
        let still = try wrongPasswords(credentials)
        guard still.isEmpty else {
            let names = still.map(\.role).joined(separator: ", ")
            throw PostgresError.refused(
                "configuring Postgres", "the passwords of \(names) were set but don't work")
        }
        verified.note(credentials)
    }

    private func bring(
        _ role: String, _ known: [String: [Bool]], superuser: Bool, replication: Bool, _ session: Session
    ) throws {
        let wanted = [superuser, replication, true]
        if known[role] == wanted { return }
        let verb = known[role] == nil ? "create" : "alter"
        let attributes = "\(superuser ? "" : "no")superuser \(replication ? "" : "no")replication login"
        try alter(session, "\(verb) role %I \(attributes)", [role])
    }

    /// What pg_rewind reads from its source.
    private func grantRewind(_ session: Session, _ role: String) throws {
        let functions = [
            "pg_catalog.pg_ls_dir(text, boolean, boolean)", "pg_catalog.pg_stat_file(text, boolean)",
            "pg_catalog.pg_read_binary_file(text)",
            "pg_catalog.pg_read_binary_file(text, bigint, bigint, boolean)",
        ]
        let missing = try session.query(
            "select f from unnest($2::text[]) f where not has_function_privilege($1, f, 'execute')",
            [role, "{\"\(functions.joined(separator: "\",\""))\"}"], until: deadline)
        for function in missing.cells.compactMap({ $0[0] }) {
            try alter(session, "grant execute on function \(function) to %I", [role])
        }
    }

    /// Runs a statement that takes no parameters, with names and literals quoted by the server.
    private func alter(_ session: Session, _ format: String, _ values: [String]) throws {
        let places = (0..<values.count).map { "$\($0 + 2)::text" }.joined(separator: ", ")
        let statement = try session.query(
            "select format($1::text, \(places))", [format] + values, until: deadline
        )
        .value
        // A primary in mode `off` waits for nobody; one whose rule is not in force yet must not wait either.
        _ = try session.query(statement ?? "", until: deadline)
    }

    /// The roles whose password does not let them in: tried, because nothing else proves it.
    private func wrongPasswords(_ credentials: Credentials) throws -> [(role: String, password: String)] {
        let pairs = [
            (credentials.operatorRole, credentials.operatorPassword),
            (credentials.replicationRole, credentials.replicationPassword),
        ]
        return try pairs.filter { role, password in try !letsIn(role, password) }
    }

    private func letsIn(_ role: String, _ password: String) throws(PostgresError) -> Bool {
        var parameters = site.localParameters
        parameters["user"] = role
        parameters["password"] = password
        do {
            _ = try Session.open(parameters, until: deadline)
            return true
        } catch {
            if error.state?.isAuthorization == true || error.kind == .unreachable { return false }
            throw error
        }
    }
}
