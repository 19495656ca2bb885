internal import FoundationEssentials

/// What a client asks of the agent: a command of the table with its flags.
public struct ControlRequest: Codable, Equatable, Sendable {
    public var command: String
    public var arguments: [String: String]
    /// Another agent passed it on; never passed on again.
    public var forwarded: Bool

    public init(command: String, arguments: [String: String] = [:], forwarded: Bool = false) {
        self.command = command
        self.arguments = arguments
        self.forwarded = forwarded
    }
}

/// One piece of the agent's answer. The last one is always `exit`.
public enum ControlAnswer: Equatable, Sendable {
    /// A line for people.
    case line(String)
    /// A JSON value, as its text.
    case data([UInt8])
    case exit(code: Int32, reason: String?)
}

/// How requests and answers travel: four bytes of length in network order, then a JSON object.
///
///     → {"command":"failover","arguments":{"to":"pg2"},"forwarded":false}
///     ← {"line":"NOTICE: promoting standby to primary"}
///     ← {"data":{"cluster":"main"}}
///     ← {"exit":0,"reason":null}
enum ControlFrame {
    static let requestLimit = 64 * 1024
    static let answerLimit = 4 * 1024 * 1024
    private static let dataStart = Array(#"{"data":"#.utf8)

    private struct Line: Codable { let line: String }
    private struct Exit: Codable {
        let exit: Int32
        let reason: String?
    }

    enum Taken: Equatable {
        case incomplete
        case frame([UInt8])
        case tooLong(Int)
    }

    /// Takes the first whole frame off `buffer`.
    static func take(from buffer: inout [UInt8], limit: Int) -> Taken {
        guard buffer.count >= 4 else { return .incomplete }
        let length = buffer[..<4].reduce(0) { $0 << 8 | Int($1) }
        if length > limit { return .tooLong(length) }
        guard buffer.count >= 4 + length else { return .incomplete }
        let frame = Array(buffer[4..<4 + length])
        buffer.removeFirst(4 + length)
        return .frame(frame)
    }

    static func framed(_ body: [UInt8]) -> [UInt8] {
        let length = UInt32(body.count)
        return [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: length >> $0) } + body
    }

    // MARK: Requests

    static func encode(_ request: ControlRequest) throws -> [UInt8] {
        framed(Array(try JSONEncoder().encode(request)))
    }

    static func request(_ frame: [UInt8]) -> ControlRequest? {
        try? JSONDecoder().decode(ControlRequest.self, from: Data(frame))
    }

    // MARK: Answers

    /// The `data` object is put together and taken apart by its first bytes, so that the value in it stays
    /// the text that it was (order of keys, digits of numbers).
    static func encode(_ answer: ControlAnswer) -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.withoutEscapingSlashes]
        let body: [UInt8]?
        switch answer {
        case .line(let text): body = (try? encoder.encode(Line(line: text))).map(Array.init)
        case .data(let json): body = dataStart + json + [UInt8(ascii: "}")]
        case .exit(let code, let reason):
            body = (try? encoder.encode(Exit(exit: code, reason: reason))).map(Array.init)
        }
        // Strings and whole numbers always make JSON.
        guard let body else { fatalError("control: an answer of text cannot be encoded") }
        return framed(body)
    }

    static func answer(_ frame: [UInt8]) -> ControlAnswer? {
        if frame.starts(with: dataStart), frame.last == UInt8(ascii: "}") {
            return .data(Array(frame[dataStart.count..<(frame.count - 1)]))
        }
        let decoder = JSONDecoder()
        if let line = try? decoder.decode(Line.self, from: Data(frame)) { return .line(line.line) }
        if let exit = try? decoder.decode(Exit.self, from: Data(frame)) {
            return .exit(code: exit.exit, reason: exit.reason)
        }
        return nil
    }
}
