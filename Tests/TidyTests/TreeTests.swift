import TestSupport
import Testing

/// Nothing in the tree that nobody uses, and documents that fit it.
@Suite struct TreeTests {
    @Test func everyFileIsUsed() {
        let files = SourceFile.swift(in: "Sources")
        let words = files.map { (path: $0.path, words: Self.words(of: $0)) }
        for file in files where !file.path.hasSuffix("/main.swift") {
            #expect(!file.path.contains("placeholder"), "\(file.path): remove it")
            let names = Self.declaredNames(in: file)
            guard !names.isEmpty else { continue }
            let isUsed = words.contains { other in
                other.path != file.path && names.contains { other.words.contains(Substring($0)) }
            }
            #expect(isUsed, "\(file.path) declares \(names), which no other file names")
        }
    }

    /// Types and functions, also those inside extensions: a file is often used without its type being named.
    private static func declaredNames(in file: SourceFile) -> [String] {
        let kinds = "struct|class|enum|protocol|typealias|func"
        let attributes = #"(?:@\w+(?:\([^)]*\))?\s+)*(?:[a-z]+\s+)*"#
        guard
            let declaration = try? Regex(
                "^(?:    )?\(attributes)(?:\(kinds))\\s+(\\w+)", as: (Substring, Substring).self)
        else { return [] }
        return file.codeLines.compactMap { line in
            line.firstMatch(of: declaration).map { String($0.1) }
        }
    }

    private static func words(of file: SourceFile) -> Set<Substring> {
        Set(file.code.split { !($0.isLetter || $0.isNumber || $0 == "_") })
    }

    @Test func decisionsHaveOneForm() {
        let decisions = SourceFile.documents().filter { $0.path.hasPrefix("docs/decisions/") }
        #expect(decisions.count > 3)
        for file in decisions {
            let headings = file.textLines.filter { $0.hasPrefix("#") }.map(String.init)
            #expect(headings.first?.hasPrefix("# ") == true, "\(file.path) begins with its title")
            #expect(
                Array(headings.dropFirst()) == ["## Context", "## Decision", "## Consequences"],
                "\(file.path)")
            #expect(file.textLines.count <= 60, "\(file.path): half a page is enough")
        }
    }

    @Test func linksBetweenDocumentsLead() {
        let documents = SourceFile.documents()
        let link = #/\]\(([^)\s]+)\)/#
        for file in documents {
            for match in file.text.matches(of: link) where !match.1.contains("://") {
                let problem = Self.problem(with: String(match.1), in: file)
                #expect(problem == nil, "\(file.path): \(match.1): \(problem ?? "")")
            }
        }
    }

    private static func problem(with link: String, in file: SourceFile) -> String? {
        let parts = link.split(separator: "#", maxSplits: 1, omittingEmptySubsequences: false).map(
            String.init)
        let folder = SourceTree.directory(of: SourceTree.root + "/" + file.path)
        let path = parts[0].isEmpty ? SourceTree.root + "/" + file.path : folder + "/" + parts[0]
        guard SourceTree.exists(path) else { return "no such file" }
        guard parts.count > 1, let text = try? SourceTree.read(path) else { return nil }
        let anchors = text.split(separator: "\n").filter { $0.hasPrefix("#") }.map { anchor(of: String($0)) }
        return anchors.contains(parts[1]) ? nil : "no such heading"
    }

    /// As the usual renderers make it: small letters, spaces as hyphens, other signs dropped.
    private static func anchor(of heading: String) -> String {
        let title = heading.drop { $0 == "#" || $0 == " " }.lowercased()
        return String(
            title.compactMap { $0 == " " ? "-" : $0.isLetter || $0.isNumber || "-_".contains($0) ? $0 : nil })
    }

    @Test func pagesThatTheCodeNamesExist() {
        let page = #/docs\/[\w\/.-]+\.md/#
        for file in SourceFile.swift(in: "Sources") + SourceFile.swift(in: "Tests") {
            for match in file.text.matches(of: page) where !SourceTree.exists(SourceTree.root + "/" + match.0)
            {
                Issue.record("\(file.path) names \(match.0), which is not there")
            }
        }
    }

    /// The code says why by citing the protocol's sections by title; a title that is gone explains nothing.
    @Test func citedSectionsOfTheProtocolExist() throws {
        let pages = SourceFile.documents().filter { $0.path.hasPrefix("docs/internals/protocol") }
        let titles = pages.flatMap { page in
            page.textLines.filter { $0.hasPrefix("#") }.map { String($0.drop { $0 == "#" || $0 == " " }) }
        }
        #expect(titles.count > 10)
        let citation = #/\(protocol: ([^);,]+)/#
        let wrapped = #/\n\s*\/\/\/?\s*/#
        for file in SourceFile.swift(in: "Sources") {
            for match in file.text.replacing(wrapped, with: " ").matches(of: citation) {
                let title = String(match.1)
                if !titles.contains(title) { Issue.record("\(file.path) cites '\(title)'") }
            }
        }
    }
}
