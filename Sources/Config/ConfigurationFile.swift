/// Splits text in postgresql.conf syntax into settings; knows nothing of what they mean.
///
/// As Postgres does: `key = value` or `key value`, `#` begins a comment, values with anything but letters,
/// digits and `-._:/+` are quoted, `''` and `\'` are quotes inside quotes.
enum ConfigurationFile {
    struct Line: Hashable {
        let number: Int
        let key: String
        let value: String
    }

    struct Problem: Error {
        let number: Int
        let text: String
    }

    /// Every line that holds a setting, and every line that cannot be read: one mistake does not hide the
    /// next.
    static func parse(_ text: String) -> [Result<Line, Problem>] {
        var found: [Result<Line, Problem>] = []
        let all = text.split(separator: "\n", omittingEmptySubsequences: false)
        for (index, raw) in all.enumerated() {
            do {
                if let line = try parse(line: raw.trimmed, number: index + 1) { found.append(.success(line)) }
            } catch {
                found.append(.failure(error))
            }
        }
        return found
    }

    private static func parse(line: String, number: Int) throws(Problem) -> Line? {
        guard !line.isEmpty, !line.hasPrefix("#") else { return nil }
        let key = String(line.prefix { $0.isASCII && ($0.isLetter || $0.isNumber || $0 == "_") })
        guard !key.isEmpty else {
            throw Problem(number: number, text: "'\(line)' is not a setting; write key = 'value'")
        }
        var rest = line.dropFirst(key.count).trimmed
        if rest.hasPrefix("=") { rest = rest.dropFirst().trimmed }
        guard !rest.isEmpty, !rest.hasPrefix("#") else {
            throw Problem(number: number, text: "\(key) has no value; write \(key) = 'value'")
        }
        let (value, after) = rest.hasPrefix("'") ? try quoted(rest, key, number) : bare(rest)
        guard after.isEmpty || after.hasPrefix("#") else {
            let advice = "quote a value that has spaces or special characters: \(key) = '…'"
            throw Problem(number: number, text: "\(key): '\(after)' after the value; \(advice)")
        }
        return Line(number: number, key: key.lowercased(), value: value)
    }

    private static func bare(_ text: String) -> (value: String, after: String) {
        let value = text.prefix { $0.isASCII && ($0.isLetter || $0.isNumber || "-._:/+".contains($0)) }
        return (String(value), text.dropFirst(value.count).trimmed)
    }

    private static func quoted(_ text: String, _ key: String, _ number: Int) throws(Problem) -> (
        String, String
    ) {
        var value: [UInt8] = []
        var rest = Array(text.utf8.dropFirst())[...]
        while let byte = rest.popFirst() {
            switch byte {
            case UInt8(ascii: "'") where rest.first != UInt8(ascii: "'"):
                return (String(decoding: value, as: UTF8.self), String(decoding: rest, as: UTF8.self).trimmed)
            case UInt8(ascii: "'"):
                value.append(rest.removeFirst())
            case UInt8(ascii: "\\"):
                value.append(escaped(&rest))
            default:
                value.append(byte)
            }
        }
        throw Problem(number: number, text: "\(key): the quote is not closed")
    }

    /// The byte that a backslash and what follows it stand for: `\n`, `\047`, or the character itself.
    private static func escaped(_ rest: inout ArraySlice<UInt8>) -> UInt8 {
        guard let first = rest.popFirst() else { return UInt8(ascii: "\\") }
        switch first {
        case UInt8(ascii: "b"): return 8
        case UInt8(ascii: "t"): return 9
        case UInt8(ascii: "n"): return 10
        case UInt8(ascii: "f"): return 12
        case UInt8(ascii: "r"): return 13
        case UInt8(ascii: "0")...UInt8(ascii: "7"):
            var value = UInt(first - UInt8(ascii: "0"))
            for _ in 0..<2 {
                guard let next = rest.first, (UInt8(ascii: "0")...UInt8(ascii: "7")).contains(next) else {
                    break
                }
                value = value * 8 + UInt(next - UInt8(ascii: "0"))
                rest.removeFirst()
            }
            return UInt8(truncatingIfNeeded: value)
        default: return first
        }
    }
}
