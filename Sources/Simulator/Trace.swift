/// The record of a run: one aligned line per change of state (columns: docs/internals/simulator.md).
final class Trace {
    /// Takes each line; nil writes nothing and costs nothing.
    private let sink: ((String) -> Void)?
    /// Keeps the newest lines, for the report of a failure.
    private var tail: [String] = []
    private let tailLimit: Int

    init(tailLimit: Int = 0, sink: ((String) -> Void)? = nil) {
        self.sink = sink
        self.tailLimit = tailLimit
    }

    var isOn: Bool { sink != nil || tailLimit > 0 }
    var newest: [String] { Array(tail.suffix(tailLimit)) }

    func line(
        _ time: WorldTime, _ node: String, _ role: String, _ event: String, _ effect: String, _ rule: String
    ) {
        guard isOn else { return }
        let line =
            Trace.right(time.description, 13) + "  " + Trace.left(node, 6) + Trace.left(role, 6)
            + Trace.left(event, 26) + Trace.left(effect, 60) + rule
        let trimmed = Trace.trimmed(line)
        sink?(trimmed)
        guard tailLimit > 0 else { return }
        tail.append(trimmed)
        if tail.count > 2 * tailLimit { tail.removeFirst(tailLimit) }
    }

    private static func left(_ text: String, _ width: Int) -> String {
        let padding = width - text.unicodeScalars.count
        return padding > 0 ? text + String(repeating: " ", count: padding) : text + " "
    }

    private static func right(_ text: String, _ width: Int) -> String {
        String(repeating: " ", count: max(0, width - text.utf8.count)) + text
    }

    private static func trimmed(_ line: String) -> String {
        var end = line.endIndex
        while end > line.startIndex, line[line.index(before: end)] == " " { end = line.index(before: end) }
        return String(line[..<end])
    }
}
