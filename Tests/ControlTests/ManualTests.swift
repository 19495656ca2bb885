import Config
import TestSupport
import Testing

@testable import Control

/// What the documents tell people to type is understood by the programs of today.
@Suite("Commands in the documents")
struct ManualTests {
    private static func commands(of program: String) throws -> [(page: String, words: [String])] {
        try ManualPage.all().flatMap { page in
            page.commands(of: [program]).map { (page.path, Array($0.dropFirst())) }
        }
    }

    @Test("Every `matriarch …` is a command line that it takes")
    func matriarch() throws {
        let commands = try Self.commands(of: "matriarch")
        #expect(commands.count > 10, "none found means that this test looks in the wrong place")
        for (page, words) in commands {
            #expect(throws: Never.self, "\(page): matriarch \(words.joined(separator: " "))") {
                _ = try ArgumentParser.parse(words)
            }
        }
    }

    @Test("Every `matriarchd …` is a command line that it takes")
    func matriarchd() throws {
        // In a picture the program's name is followed by what it is.
        let commands = try Self.commands(of: "matriarchd").filter { $0.words[0].hasPrefix("-") }
        #expect(commands.count > 3)
        for (page, words) in commands {
            #expect(throws: Never.self, "\(page): matriarchd \(words.joined(separator: " "))") {
                _ = try AgentArguments(words)
            }
        }
    }

    @Test("Every `make …` has its target")
    func make() throws {
        let makefile = try SourceTree.read(SourceTree.root + "/Makefile").split(separator: "\n")
        for (page, words) in try Self.commands(of: "make") {
            let target = words[0]
            #expect(makefile.contains { $0.hasPrefix("\(target):") }, "\(page): make \(target)")
        }
    }

    @Test("Every suite that `swift test --filter` names exists")
    func suites() throws {
        let suites = try SourceTree.files(below: "Tests").filter { $0.hasSuffix(".swift") }.map {
            "/\($0)\n" + (try SourceTree.read(SourceTree.root + "/" + $0))
        }
        for (page, words) in try Self.commands(of: "swift") {
            for (flag, name) in zip(words, words.dropFirst()) where flag == "--filter" {
                let isThere = suites.contains { text in
                    ["/\(name)/", "struct \(name) ", "enum \(name) "].contains { text.contains($0) }
                }
                #expect(isThere, "\(page): --filter \(name)")
            }
        }
    }

    @Test("Every block of settings is accepted")
    func settings() throws {
        var found = 0
        for page in try ManualPage.all() {
            for block in page.blocks where block.lines.contains(where: { $0.hasPrefix("peers = ") }) {
                found += 1
                for line in block.lines {
                    let key = line.split(separator: " ").first.map(String.init) ?? ""
                    #expect(Setting.named(key) != nil, "\(page.path): \(line)")
                }
            }
        }
        #expect(found > 1)
    }

    @Test("Every setting that the documents quote with a value exists")
    func quotedSettings() throws {
        for page in try ManualPage.all() {
            for quote in page.quotes where quote.contains(" = '") {
                let key = quote.split(separator: " ").first.map(String.init) ?? ""
                let isSyntax = ["key", "include_dir"].contains(key)
                #expect(isSyntax || Setting.named(key) != nil, "\(page.path): `\(quote)`")
            }
        }
    }
}
