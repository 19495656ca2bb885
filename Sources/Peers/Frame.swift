/// What a frame is for.
enum FrameKind: UInt8, Sendable {
    case hello = 1
    /// "I do not want you, because …": the last frame of its sender.
    case refusal = 2
    /// What the agents say to each other; opaque here.
    case message = 3
}

/// One unit of the conversation: a length of four bytes (of all that follows), a version, a kind, a payload.
struct Frame: Equatable, Sendable {
    /// The version of the hello and of the refusal, which must be understood before a version is agreed on:
    /// the layout of these two never changes.
    static let greetingVersion: UInt8 = 0
    static let headerBytes = 6

    var version: UInt8
    var kind: FrameKind
    var payload: [UInt8]

    var encoded: [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(Frame.headerBytes + payload.count)
        bytes.append(bigEndian: UInt32(payload.count + 2))
        bytes.append(version)
        bytes.append(kind.rawValue)
        bytes.append(contentsOf: payload)
        return bytes
    }
}

/// Why bytes are no frame; the link that carried them is closed, since nothing after them can be trusted.
enum FrameError: Error, Equatable, CustomStringConvertible {
    case length(Int, atMost: Int)
    case kind(UInt8)

    var description: String {
        switch self {
        case .length(let length, let limit):
            "a frame of \(length) bytes; must be 2 to \(limit)"
        case .kind(let kind):
            "a frame of kind \(kind); must be 1 to 3"
        }
    }
}

/// Cuts the stream of a link into frames.
///
/// Never holds more than one frame of the greatest length and what one read brought: a length is judged
/// before its bytes are waited for.
struct FrameDecoder {
    /// The greatest length that is taken; small until the peer has said hello.
    var limit: Int
    private var buffer: [UInt8] = []
    private var start = 0

    init(limit: Int) { self.limit = limit }

    var bufferedBytes: Int { buffer.count - start }

    mutating func append(_ bytes: UnsafeRawBufferPointer) {
        if start > 0 {
            buffer.removeFirst(start)
            start = 0
        }
        buffer.append(contentsOf: bytes)
    }

    /// The next whole frame, or nil while more bytes are needed. After an error the decoder MUST NOT be
    /// used again.
    mutating func next() throws(FrameError) -> Frame? {
        guard bufferedBytes >= 4 else { return nil }
        let length = Int(buffer.bigEndianUInt32(at: start))
        guard length >= 2, length <= limit else { throw .length(length, atMost: limit) }
        guard bufferedBytes >= 4 + length else { return nil }
        guard let kind = FrameKind(rawValue: buffer[start + 5]) else { throw .kind(buffer[start + 5]) }
        let payload = Array(buffer[(start + Frame.headerBytes)..<(start + 4 + length)])
        let frame = Frame(version: buffer[start + 4], kind: kind, payload: payload)
        start += 4 + length
        // An idle link keeps no buffer: there are many links, and most frames are small.
        if start == buffer.count {
            buffer = []
            start = 0
        }
        return frame
    }
}

extension [UInt8] {
    mutating func append<Number: FixedWidthInteger>(bigEndian number: Number) {
        Swift.withUnsafeBytes(of: number.bigEndian) { append(contentsOf: $0) }
    }

    /// The four bytes from `index` on as one number; the caller has checked that they are there.
    func bigEndianUInt32(at index: Int) -> UInt32 {
        self[index..<(index + 4)].reduce(0) { $0 << 8 | UInt32($1) }
    }
}
