import TestSupport
import Testing

/// Who may import whom; see docs/internals/architecture.md.
@Suite struct ImportTests {
    private static let systemModules = ["Glibc", "CLinux"]

    private static func imports(of file: SourceFile) -> [String] {
        let statement =
            #/^(?:@\w+\s+)*(?:public |package |internal |private )?import (?:struct |enum |func )?(\w+)/#
        return file.codeLines.compactMap { line in
            (try? statement.firstMatch(in: line)).flatMap { $0 }.map { String($0.1) }
        }
    }

    @Test func theDecidingBlockImportsOnlyItself() {
        for (target, may) in PureBlock.imports {
            for file in SourceFile.swift(in: "Sources/" + target) {
                let strangers = Self.imports(of: file).filter { !may.contains($0) }
                #expect(strangers == [], "\(file.path) may import \(may) and the standard library")
            }
        }
    }

    /// The relay outlives the agent and is replaced alone; it must not drag the deciding code along.
    @Test func theProxyKnowsNothingOfDeciding() {
        for file in SourceFile.swift(in: "Sources/Proxy") + SourceFile.swift(in: "Sources/matriarch-proxy") {
            let deciding = Self.imports(of: file).filter { ["Consensus", "Supervision"].contains($0) }
            #expect(deciding == [], "\(file.path)")
        }
    }

    /// C libraries are behind one door each, so that their pitfalls are known in one place.
    @Test(arguments: [
        ("CPostgres", ["Postgres", "Lab"]), ("CSystemd", ["Platform"]), ("COpenSSL", ["Peers"]),
        ("CMicroHTTP", ["HTTP"]),
    ])
    func aCLibraryHasItsDoor(library: String, doors: [String]) {
        for file in SourceFile.swift(in: "Sources") where Self.imports(of: file).contains(library) {
            #expect(doors.contains(file.target), "\(file.path) imports \(library); go through \(doors)")
        }
    }

    @Test func thereAreNoOutsidePackages() throws {
        let manifest = try SourceTree.read(SourceTree.root + "/Package.swift")
        #expect(!manifest.contains(".package("))
    }
}
