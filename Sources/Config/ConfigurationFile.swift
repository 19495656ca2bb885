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
    static func parse(_ bytes: [UInt8]) -> [Result<Line, Problem>] {
        var found: [Result<Line, Problem>] = []
        // Editors that mark a file as UTF-8 do so with these three bytes.
        let mark: [UInt8] = [0xEF, 0xBB, 0xBF]
        let content = bytes.starts(with: mark) ? bytes.dropFirst(mark.count) : bytes[...]
        let all = content.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
        for (index, raw) in all.enumerated() {
            do {
                let line = try text(of: raw, number: index + 1).trimmed
                if let line = try parse(line: line, number: index + 1) { found.append(.success(line)) }
            } catch {
                found.append(.failure(error))
            }
        }
        return found
    }

    /// A line as text. Bytes that are no UTF-8 are refused, not replaced: with another letter in its name a
    /// directory is another one. In comments anything goes.
    private static func text(of line: ArraySlice<UInt8>, number: Int) throws(Problem) -> String {
        if let text = String(validating: line, as: UTF8.self) { return text }
        let blank = [UInt8(ascii: " "), UInt8(ascii: "\t")]
        if line.first(where: { !blank.contains($0) }) == UInt8(ascii: "#") { return "" }
        let place = firstInvalid(line)
        let byte = String(line[line.startIndex + place], radix: 16, uppercase: true)
        let shown = String(decoding: line.prefix(80), as: UTF8.self).trimmed
        throw Problem(
            number: number,
            text: "'\(shown)' has the byte 0x\(byte) at column \(place + 1), which is not UTF-8; "
                + "save the file as UTF-8")
    }

    /// How many bytes come before the first that is no UTF-8.
    private static func firstInvalid(_ line: ArraySlice<UInt8>) -> Int {
        var parser = Unicode.UTF8.ForwardParser()
        var rest = line.makeIterator()
        var place = 0
        while case .valid(let scalar) = parser.parseScalar(from: &rest) { place += scalar.count }
        return place
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
                guard let text = String(validating: value, as: UTF8.self) else {
                    let advice = "write letters as they are instead of as \\ooo"
                    throw Problem(number: number, text: "\(key): the value is not UTF-8; \(advice)")
                }
                return (text, String(decoding: rest, as: UTF8.self).trimmed)
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
