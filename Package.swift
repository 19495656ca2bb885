// swift-tools-version: 6.2
// The import rules of Matriarch as a target graph: nothing in the deciding block (Consensus, Supervision,
// Config, Simulator) may name anything below it. See docs/internals/architecture.md.
import PackageDescription

let strict: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .treatAllWarnings(as: .error),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("InternalImportsByDefault"),
]

/// A Swift library target whose name is its folder.
func library(_ name: String, _ dependencies: [Target.Dependency] = []) -> Target {
    .target(name: name, dependencies: dependencies, swiftSettings: strict)
}

/// A program; `matriarchd` lives in Sources/matriarchd.
func program(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
    .executableTarget(name: name, dependencies: dependencies, swiftSettings: strict)
}

/// The tests of one library, with their scripts and snapshots beside them (read by path, not bundled).
func tests(_ name: String, _ dependencies: [Target.Dependency], exclude: [String] = []) -> Target {
    .testTarget(name: name, dependencies: dependencies, exclude: exclude, swiftSettings: strict)
}

/// The guard as a fully static program. The runtimes of the sanitizers need the dynamic loader: run those
/// with MATRIARCH_SANITIZE set.
let guardLinking: [LinkerSetting] =
    Context.environment["MATRIARCH_SANITIZE"] == nil
    ? [.unsafeFlags(["-nostartfiles", "-static-executable"])] : []

let package = Package(
    name: "matriarch",
    targets: [
        // ── decides: pure, no Foundation, no Glibc, no clock, no randomness of its own ──
        library("Consensus"),
        library("Supervision", ["Consensus"]),
        library("Config", ["Consensus", "Supervision"]),
        library("Simulator", ["Consensus", "Supervision", "Config"]),

        // ── touches the world ──
        library("Platform", ["CLinux", "CSystemd"]),
        library("Postgres", ["CPostgres", "Platform", "Consensus", "Supervision"]),
        library("Peers", ["COpenSSL", "Platform", "Consensus", "Supervision"]),
        library("HTTP", ["CMicroHTTP", "Platform", "Supervision"]),
        library("Proxy", ["Platform"]),
        library("Control", ["Config", "Platform", "Supervision"]),

        // ── runs ──
        program(
            "matriarchd",
            [
                "Consensus", "Supervision", "Config", "Platform", "Postgres", "Peers", "HTTP", "Proxy",
                "Control",
            ]),
        program("matriarch", ["Consensus", "Config", "Supervision", "Platform", "Control", "Peers"]),
        // Plain C: without Swift's start files no Swift runtime is loaded, which the guard would lock in
        // memory.
        .executableTarget(
            name: "matriarch-guard",
            cSettings: [.unsafeFlags(["-Wall", "-Wextra", "-Werror"])],
            linkerSettings: guardLinking),
        program("matriarch-proxy", ["Proxy", "Platform"]),
        program("matriarch-simulate", ["Simulator", "Consensus", "Supervision", "Config", "Platform"]),

        // ── developer's laboratory: a real herd on this machine, for the demo, the benchmarks and the
        // cluster tests ──
        library("Lab", ["CPostgres", "Platform"]),
        program("matriarch-lab", ["Lab", "Platform"]),

        // ── C ──
        .target(name: "CLinux"),
        .systemLibrary(name: "CPostgres", pkgConfig: "libpq", providers: [.apt(["libpq-dev"])]),
        .systemLibrary(name: "CSystemd", pkgConfig: "libsystemd", providers: [.apt(["libsystemd-dev"])]),
        .target(name: "COpenSSL", dependencies: ["COpenSSLLibrary"]),
        .systemLibrary(name: "COpenSSLLibrary", pkgConfig: "openssl", providers: [.apt(["libssl-dev"])]),
        .target(name: "CMicroHTTP", dependencies: ["CMicroHTTPLibrary"]),
        .systemLibrary(
            name: "CMicroHTTPLibrary", pkgConfig: "libmicrohttpd", providers: [.apt(["libmicrohttpd-dev"])]),

        // ── tests ──
        .target(name: "TestSupport", path: "Tests/TestSupport", swiftSettings: strict),
        tests("ConsensusTests", ["Consensus", "TestSupport"], exclude: ["Scripts"]),
        tests(
            "SupervisionTests", ["Supervision", "Consensus", "TestSupport"],
            exclude: ["Scripts", "Snapshots"]),
        tests("ConfigTests", ["Config", "TestSupport"], exclude: ["Scripts", "Snapshots"]),
        tests("SimulatorTests", ["Simulator", "Consensus", "Supervision", "Platform", "TestSupport"]),
        tests("PlatformTests", ["Platform", "CLinux", "TestSupport"]),
        tests(
            "PostgresTests", ["Postgres", "Platform", "Consensus", "Supervision", "TestSupport"],
            exclude: ["Snapshots"]),
        tests("PeersTests", ["Peers", "Platform", "Consensus", "Supervision", "TestSupport"]),
        tests("HTTPTests", ["HTTP", "Platform", "Supervision", "TestSupport"]),
        tests("ProxyTests", ["Proxy", "Platform", "TestSupport"]),
        tests("ControlTests", ["Control", "Config", "Platform", "TestSupport"], exclude: ["Snapshots"]),
        tests("CommandTests", ["Lab", "Platform", "TestSupport"]),
        tests("ClusterTests", ["Lab", "matriarch-lab", "Platform", "TestSupport"], exclude: ["machine.sh"]),
        tests("TidyTests", ["TestSupport"]),
    ],
    cLanguageStandard: .gnu11
)
