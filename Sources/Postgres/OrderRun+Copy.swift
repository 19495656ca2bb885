internal import Consensus
internal import Glibc
internal import Platform
internal import Supervision

/// Making data directories: the cluster's first, and copies of the primary's (protocol: Bootstrap,
/// Rejoining).
extension OrderRun {
    // MARK: the first database

    func initialize(_ attempt: Term, _ credentials: Credentials) throws {
        let doing = "making the first database in \(site.dataDirectory)"
        if !DataDirectory.isAbsent(site) {
            let marker = DataDirectory.foundingMarker(site)
            if marker == attempt { return }
            guard marker != nil else {
                throw PostgresError.refused(
                    doing, "the directory holds data that no unfinished founding left there")
            }
            try requireStopped(doing)
        }
        let unfinished = site.unfinishedDirectory
        try Files.removeTree(unfinished)
        _ = try site.run(
            "initdb",
            [
                "-D", unfinished, "-U", credentials.adminRole, "--data-checksums", "--encoding=UTF8",
                "--locale=C.UTF-8", "--auth-local=peer", "--auth-host=scram-sha-256",
            ], limit: 300)
        try Files.replaceDurably(unfinished + "/matriarch.founding", Array("\(attempt)\n".utf8))
        try Files.removeTree(site.dataDirectory)
        try Files.renameDurably(unfinished, to: site.dataDirectory)
    }

    func requireStopped(_ doing: String) throws {
        if try door.state().postmaster != nil {
            throw PostgresError.refused(doing, "Postgres runs in it: it must be stopped first")
        }
        try requireNobody(doing)
    }

    /// Nothing is changed under a Postgres that somebody else started, and it is nobody's to end but theirs.
    func requireNobody(_ doing: String) throws {
        guard let other = Postmaster.find(site) else { return }
        throw PostgresError.refused(
            doing,
            "process \(other.entry.pid), which the guard did not start, runs in "
                + "\(site.dataDirectory): stop it (pg_ctl stop -D \(site.dataDirectory))")
    }

    // MARK: copies

    func clone(_ plan: ClonePlan) throws {
        let doing = "copying \(plan.source.member)"
        try requireStopped(doing)
        // Nobody else may start Postgres in the old directory, or change it, meanwhile.
        if Files.isDirectory(site.dataDirectory) {
            let lock = try Files.lockDirectory(site.dataDirectory)
            try replaceData(plan, doing)
            withExtendedLifetime(lock) {}
        } else {
            try replaceData(plan, doing)
        }
    }

    private func replaceData(_ plan: ClonePlan, _ doing: String) throws {
        try checkSource(plan, doing)
        // First: making room may cost the old directory.
        saveDiverged(plan)
        let version = try DataDirectory.binaryVersion(site)
        let spaces = try tablespaces(of: plan)
        try checkTablespaces(spaces, version, doing)
        try removeUnfinished(spaces)
        try makeRoom(for: try sourceBytes(plan), version, doing)
        do {
            try copy(plan, spaces, doing)
            try checkCopy(plan, doing)
        } catch {
            try removeUnfinished(spaces)
            throw error
        }
        try install(spaces, version)
    }

    private func removeUnfinished(_ spaces: [Tablespace]) throws {
        try Files.removeTree(site.unfinishedDirectory)
        for space in spaces { try Files.removeTree(space.staging) }
    }

    /// Those of the source that lie outside its data directory: they come to the same paths here.
    private func tablespaces(of plan: ClonePlan) throws -> [Tablespace] {
        let session = try Session.open(plan.source.parameters, until: Deadline.after(.seconds(15)))
        let rows = try session.query(
            """
            select oid, pg_tablespace_location(oid) from pg_tablespace
            where pg_tablespace_location(oid) like '/%' order by oid
            """, until: Deadline.after(.seconds(15)))
        return rows.cells.compactMap { row in
            guard let oid = row[0], let path = row[1] else { return nil }
            return Tablespace(oid: oid, path: path)
        }
    }

    /// What lies there already is replaced only if this node's own data, or what is kept of it, leads there:
    /// it may be another Postgres's on the same machine, or the very source's.
    private func checkTablespaces(_ spaces: [Tablespace], _ version: String, _ doing: String) throws {
        let own = Set(
            [site.dataDirectory, site.previousDirectory].flatMap(Tablespace.linked).map(\.path))
        for space in spaces where !own.contains(space.path) {
            guard let held = Tablespace.contents(space.path, version: version).first else { continue }
            throw PostgresError.refused(
                doing,
                "its tablespace \(space.path) holds \(held) here, which nothing of this node leads to: "
                    + "move that away if it is nobody's")
        }
    }

    /// What of the old directory is not part of the history. Without it the copy is made all the same: the
    /// member is needed, and the old directory stays until the copy has proven itself.
    private func saveDiverged(_ plan: ClonePlan) {
        guard let divergence = plan.divergence, !DataDirectory.isAbsent(site) else { return }
        do {
            let control = try ControlData.read(site)
            let store = DivergedWAL(site: site, segmentBytes: control.segmentBytes)
            note(try store.save(divergence, of: plan.member))
        } catch {
            note("what is given up could not be kept apart: \(error)")
        }
    }

    /// Asked before the first byte and seen again in the copy: another system's data must never take our
    /// place.
    private func checkSource(_ plan: ClonePlan, _ doing: String) throws {
        var parameters = plan.source.parameters
        parameters["replication"] = "true"
        let session = try Session.open(parameters, until: Deadline.after(.seconds(15)))
        let row = try session.command("IDENTIFY_SYSTEM", until: Deadline.after(.seconds(15))).first ?? []
        guard let text = row.first, let system = text.flatMap({ UInt64($0) }) else {
            throw PostgresError.refused(doing, "it does not say which system it is")
        }
        guard system == plan.systemIdentifier else {
            throw PostgresError.refused(
                doing, "it is system \(system), this cluster is \(plan.systemIdentifier): not copied")
        }
        let theirs = String(session.serverVersion / 10000)
        let ours = try DataDirectory.binaryVersion(site)
        guard theirs == ours else {
            throw PostgresError.refused(
                doing, "it runs Postgres \(theirs), the binaries in \(site.binDirectory) are \(ours)")
        }
    }

    private func sourceBytes(_ plan: ClonePlan) throws -> UInt64 {
        let session = try Session.open(plan.source.parameters, until: Deadline.after(.seconds(15)))
        let text = try session.query(
            """
            select sum(pg_database_size(oid)) from pg_database
            where has_database_privilege(oid, 'connect')
            """, until: Deadline.after(.seconds(60))
        ).value
        return text.flatMap { UInt64($0) } ?? 0
    }

    /// WAL that is streamed beside the copy, and some rest.
    private static let spareBytes: UInt64 = 512 << 20

    /// The old directory is kept until the copy is valid; where both don't fit it goes first, and that is
    /// said.
    private func makeRoom(for bytes: UInt64, _ version: String, _ doing: String) throws {
        let parent = Files.directory(of: site.dataDirectory)
        let needed = bytes + Self.spareBytes
        if try Files.freeBytes(at: parent) >= needed { return }
        let isKept = Files.exists(site.previousDirectory)
        note("there is no room for the old data beside the copy: it is removed first")
        try Tablespace.discard(
            of: site.previousDirectory, staying: site.dataDirectory, version: version)
        try Files.removeTree(site.previousDirectory)
        if try !isKept || Files.freeBytes(at: parent) < needed {
            try Tablespace.discard(of: site.dataDirectory, staying: nil, version: version)
            try Files.removeTree(site.dataDirectory)
        }
        let free = try Files.freeBytes(at: parent)
        guard free >= needed else {
            throw PostgresError.refused(
                doing, "it needs \(needed >> 20) MB in \(parent), where \(free >> 20) MB are free")
        }
    }

    private func copy(_ plan: ClonePlan, _ spaces: [Tablespace], _ doing: String) throws {
        let arguments =
            [
                "-D", site.unfinishedDirectory, "-d", plan.source.connection, "--no-password", "-X", "stream",
                "-c", "fast", "-P", "-l", plan.source.applicationName,
            ] + spaces.flatMap { ["-T", $0.mapping] }
        _ = try copying("pg_basebackup", arguments, from: plan.source, doing)
    }

    private func checkCopy(_ plan: ClonePlan, _ doing: String) throws {
        let directory = site.unfinishedDirectory
        let system = try ControlData.read(site, directory: directory).systemIdentifier
        guard system == plan.systemIdentifier else {
            throw PostgresError.refused(
                doing, "the copy is of system \(system), not \(plan.systemIdentifier)")
        }
        // Whatever happens from here on, nobody starts this as a primary.
        try Files.replaceDurably(directory + "/standby.signal", [])
        for name in ["matriarch.founding", "matriarch_upstream.conf", "recovery.signal"] {
            try Files.removeDurably("\(directory)/\(name)")
        }
    }

    /// Puts the copy in the old directory's place. A crash in between leaves no data directory, or the old
    /// one: the record says "cloning" either way, and it is done again.
    private func install(_ spaces: [Tablespace], _ version: String) throws {
        let isWorthless = DataDirectory.isAbsent(site) || Files.exists(site.tornMarker)
        for space in spaces {
            try space.install(version: version, keepsOld: !isWorthless)
            try space.relink(in: site.unfinishedDirectory, to: space.path)
        }
        if isWorthless || Files.exists(site.previousDirectory) {
            // An unproven copy, torn data or nothing: what is worth keeping is kept already.
            try Files.removeTree(site.dataDirectory)
        } else {
            try Files.renameDurably(site.dataDirectory, to: site.previousDirectory)
        }
        for space in Tablespace.linked(from: site.previousDirectory) where Files.exists(space.previous) {
            try space.relink(in: site.previousDirectory, to: space.previous)
        }
        try Files.renameDurably(site.unfinishedDirectory, to: site.dataDirectory)
        try Files.removeTree(site.keptWALDirectory)
        try Files.removeDurably(site.tornMarker)
    }
}
