import Consensus

/// Numbers with units, written as in postgresql.conf.
public enum Quantity {
    private struct Unit {
        let name: String
        let factor: Int64
        /// Less than so many are shown in a smaller unit: who times failovers writes 60s, not 1min.
        var from: Int64 = 1
    }

    /// In milliseconds, largest first.
    private static let times = [
        Unit(name: "d", factor: 86_400_000, from: 2), Unit(name: "h", factor: 3_600_000, from: 2),
        Unit(name: "min", factor: 60_000, from: 2), Unit(name: "s", factor: 1000),
        Unit(name: "ms", factor: 1),
    ]

    /// In bytes, largest first.
    private static let sizes = [
        Unit(name: "TB", factor: 1 << 40), Unit(name: "GB", factor: 1 << 30),
        Unit(name: "MB", factor: 1 << 20),
        Unit(name: "kB", factor: 1 << 10), Unit(name: "B", factor: 1),
    ]

    /// A duration as people write it in settings and on the command line; nil when it is none.
    public static func parsed(_ text: String) -> Duration? { try? duration(text) }

    static func duration(_ text: String) throws(Refusal) -> Duration {
        .milliseconds(try amount(text, in: times, example: "5s"))
    }

    static func bytes(_ text: String) throws(Refusal) -> UInt64 {
        UInt64(try amount(text, in: sizes, example: "16MB"))
    }

    static func text(_ duration: Duration) -> String { text(duration.milliseconds, in: times) }

    static func text(bytes: UInt64) -> String { text(Int64(clamping: bytes), in: sizes) }

    /// In the largest unit that leaves a whole number of at least `from`.
    private static func text(_ amount: Int64, in units: [Unit]) -> String {
        guard amount != 0 else { return "0" }
        let fitting = units.first { amount % $0.factor == 0 && amount / $0.factor >= $0.from }
        let unit = fitting ?? units[units.count - 1]
        return "\(amount / unit.factor)\(unit.name)"
    }

    /// A missing unit is refused (except for 0): `lease_duration = 5` may mean seconds or milliseconds, and
    /// to guess wrong is to lose either the lease or the patience.
    private static func amount(_ text: String, in units: [Unit], example: String) throws(Refusal) -> Int64 {
        let number = text.prefix { $0.isASCII && ($0.isNumber || $0 == ".") }
        let name = text.dropFirst(number.count).drop { $0 == " " }
        let names = units.reversed().map(\.name).joined(separator: ", ")
        guard !number.isEmpty, let value = Double(number) else {
            throw .bad("is not a number with a unit; write for example \(example)")
        }
        if name.isEmpty, value == 0 { return 0 }
        guard !name.isEmpty else { throw .bad("has no unit; write \(example), units are \(names)") }
        guard let unit = units.first(where: { $0.name == name }) else {
            throw .bad("has the unknown unit '\(name)'; units are \(names), case matters")
        }
        let amount = value * Double(unit.factor)
        // 2^62: far above every bound of a setting, and safe to convert.
        guard amount < 4.6e18 else { throw .bad("is too large") }
        return Int64(amount.rounded())
    }
}
