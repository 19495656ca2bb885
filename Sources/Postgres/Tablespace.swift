internal import Glibc
internal import Platform

/// A tablespace outside the data directory (docs/internals/postgres.md: Tablespaces).
///
/// A copy is made in a directory of ours inside it and then changes places with what Postgres had there: so
/// it needs no right to the directory above, and no room on another disk.
struct Tablespace: Hashable {
    /// The name of its link in pg_tblspc.
    let oid: String
    let path: String

    private static let stagingName = "matriarch.unfinished"
    private static let previousName = "matriarch.previous"

    /// Where its copy is made.
    var staging: String { path + "/" + Self.stagingName }
    /// What it held before, while that is kept.
    var previous: String { path + "/" + Self.previousName }

    /// Those that a data directory has links to. One that lies inside the data directory has none.
    static func linked(from directory: String) -> [Tablespace] {
        let links = directory + "/pg_tblspc"
        return ((try? Files.list(links)) ?? []).sorted().compactMap { oid in
            guard var path = target(of: "\(links)/\(oid)") else { return nil }
            for name in [stagingName, previousName] where path.hasSuffix("/" + name) {
                path.removeLast(name.utf8.count + 1)
            }
            return Tablespace(oid: oid, path: path)
        }
    }

    private static func target(of link: String) -> String? {
        var bytes = [CChar](repeating: 0, count: 4096)
        let length = readlink(link, &bytes, bytes.count)
        guard length > 0 else { return nil }
        return String(decoding: bytes[..<length].map(UInt8.init(bitPattern:)), as: UTF8.self)
    }

    /// What Postgres of this version keeps below `directory`; other versions may have theirs beside it.
    static func contents(_ directory: String, version: String) -> [String] {
        ((try? Files.list(directory)) ?? []).filter { $0.hasPrefix("PG_\(version)_") }.sorted()
    }

    /// The word for pg_basebackup that sends the copy aside.
    var mapping: String {
        func escaped(_ path: String) -> String {
            path.split(separator: "=", omittingEmptySubsequences: false).joined(separator: "\\=")
        }
        return "\(escaped(path))=\(escaped(staging))"
    }

    /// Lets the link of this tablespace in `directory` lead to `target`.
    func relink(in directory: String, to target: String) throws(SystemError) {
        let link = "\(directory)/pg_tblspc/\(oid)"
        let temporary = link + ".matriarch"
        unlink(temporary)
        try system("symlink", temporary) { symlink(target, temporary) }
        try Files.renameDurably(temporary, to: link)
    }

    /// Puts the copy in the place of what was there, which is kept unless that is of no use.
    ///
    /// Whatever interrupts this, the record says "cloning" and all is done again.
    func install(version: String, keepsOld: Bool) throws {
        for name in Self.contents(staging, version: version) {
            let place = "\(path)/\(name)"
            if Files.exists(place) {
                if keepsOld, !Files.exists(previous) {
                    try Files.makeDirectory(previous)
                    try Files.renameDurably(place, to: "\(previous)/\(name)")
                } else {
                    // An unproven copy: what is worth keeping is kept already.
                    try Files.removeTree(place)
                }
            }
            try Files.renameDurably("\(staging)/\(name)", to: place)
        }
        try Files.removeTree(staging)
    }

    /// Removes what a data directory that goes away had in tablespaces: what was kept aside for it, and what
    /// the one that stays does not use.
    static func discard(of directory: String, staying: String?, version: String) throws {
        let used = Set((staying.map { linked(from: $0) } ?? []).map(\.path))
        for space in linked(from: directory) {
            try Files.removeTree(space.previous)
            if used.contains(space.path) { continue }
            for name in contents(space.path, version: version) {
                try Files.removeTree("\(space.path)/\(name)")
            }
        }
    }
}
