/// The words of `tags`.
enum Tag {
    /// Words that stand alone.
    static let words = ["nofailover", "nosync", "noloadbalance", "clonefrom"]
    /// Words with a value and a meaning of their own; any other `key=value` is a label.
    static let withValue = ["replicatefrom", "priority"]

    /// Tags that this version stores and shows, but does not act on.
    static let withoutEffectYet = ["nosync", "replicatefrom"]

    static let allowed =
        "nofailover, nosync, noloadbalance, clonefrom, replicatefrom=NODE, priority=N, key=value"

    static func list(_ text: String) throws(Refusal) -> [String] {
        var tags: [String] = []
        for entry in text.split(separator: ",").map({ $0.trimmed }) where !entry.isEmpty {
            try check(entry)
            guard !tags.contains(entry) else { throw .bad("names the tag '\(entry)' twice") }
            tags.append(entry)
        }
        return tags
    }

    static func name(of tag: String) -> String { String(tag.prefix { $0 != "=" }) }

    private static func check(_ tag: String) throws(Refusal) {
        let name = name(of: tag)
        guard tag.contains("=") else {
            if words.contains(tag) { return }
            if withValue.contains(tag) { throw .bad("has the tag '\(tag)' without a value; write \(tag)=…") }
            let hint = Nearest.suggestion(for: tag, among: words + withValue)
            throw .bad("has the unknown tag '\(tag)'\(hint.isEmpty ? "." : hint) Allowed: \(allowed)")
        }
        let value = tag.dropFirst(name.count + 1)
        if words.contains(name) { throw .bad("has the tag '\(tag)'; write just \(name)") }
        guard !name.isEmpty, !value.isEmpty else { throw .bad("has the tag '\(tag)'; write key=value") }
        if name == "priority", Int(value).map({ (0...1000).contains($0) }) != true {
            throw .bad("has the tag '\(tag)'; the priority is a whole number from 0 to 1000")
        }
    }
}
