import TestSupport
import Testing

/// The catalogue of scenarios names tests; each of them must exist.
@Suite struct ScenarioTests {
    private static let page = "docs/internals/scenarios.md"

    private func cited<Output>(_ form: Regex<Output>) throws -> [Regex<Output>.Match] {
        try SourceTree.read(SourceTree.root + "/" + Self.page).matches(of: form)
    }

    @Test func eachTestThatIsNamedExists() throws {
        let names = try cited(#/`(\w+Tests)/(\w+)\.(\w+)`/#)
        #expect(names.count > 50)
        let files = SourceFile.swift(in: "Tests")
        for name in names {
            let isThere = files.contains { file in
                file.path.hasPrefix("Tests/\(name.1)/") && file.code.contains("struct \(name.2)")
                    && file.code.contains("func \(name.3)(")
            }
            #expect(isThere, "\(Self.page): there is no \(name.1)/\(name.2).\(name.3)")
        }
    }

    @Test func eachScriptThatIsNamedExists() throws {
        let names = try cited(#/`([\w-]+\.txt)`/#)
        #expect(names.count > 50)
        for name in names {
            let isThere = ["ConsensusTests", "SupervisionTests"].contains {
                SourceTree.exists(SourceTree.root + "/Tests/\($0)/Scripts/\(name.1)")
            }
            #expect(isThere, "\(Self.page): there is no script \(name.1)")
        }
    }
}
