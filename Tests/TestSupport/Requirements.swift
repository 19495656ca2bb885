import FoundationEssentials
import Glibc
public import Testing

/// What a test needs from the machine; without it the test is skipped and says why.
extension Trait where Self == ConditionTrait {
    /// Network namespaces, other users and the guard's privileges need root.
    public static var requiresRoot: Self {
        .enabled(if: geteuid() == 0, "needs root (network namespaces, user postgres); run: sudo make test")
    }

    /// Real Postgres, as Debian packages it.
    public static var requiresPostgres: Self {
        .enabled(
            if: FileManager.default.isExecutableFile(atPath: "/usr/lib/postgresql/15/bin/postgres"),
            "needs PostgreSQL 15 in /usr/lib/postgresql/15/bin; run: make deps")
    }

    /// Our programs, built by `make build` into `.build/release` (or where `MATRIARCH_BIN` points).
    public static func requiresPrograms(_ names: String...) -> Self {
        .enabled(
            if: BuiltPrograms.exist(names),
            "needs \(names.joined(separator: ", ")) in \(BuiltPrograms.directory); run: make build")
    }
}
