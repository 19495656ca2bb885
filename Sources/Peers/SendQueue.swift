/// Frames with equal keys say the same thing at different times: only the newest is worth sending.
public struct CoalescingKey: Hashable, Sendable {
    public let number: Int

    public init(_ number: Int) { self.number = number }
}

/// What became of a frame that was handed over for sending.
public enum SendOutcome: Hashable, Sendable {
    case queued
    /// It took the place of an older frame with the same key that had not been sent yet.
    case replacedOlder
    /// It was queued, and older frames that may be lost made room for it.
    case droppedOlder
    /// The queue is full of frames that may not be dropped, or the frame is larger than a frame may be.
    case refused
    /// There is no link to that peer now. Nothing is kept: what is true by the time there is one will be
    /// different.
    case noLink
}

/// Frames that wait for a link to take them, within a bound of frames and of bytes.
struct SendQueue {
    private struct Entry {
        var frame: [UInt8]
        var key: CoalescingKey?
    }

    let maxFrames: Int
    let maxBytes: Int
    private var entries: [Entry] = []
    private(set) var bytes = 0
    private(set) var dropped: UInt64 = 0

    init(maxFrames: Int, maxBytes: Int) {
        self.maxFrames = maxFrames
        self.maxBytes = maxBytes
    }

    var count: Int { entries.count }
    var isEmpty: Bool { entries.isEmpty }

    mutating func push(_ frame: [UInt8], key: CoalescingKey?) -> SendOutcome {
        if let key, let place = entries.firstIndex(where: { $0.key == key }) {
            let difference = frame.count - entries[place].frame.count
            if bytes + difference <= maxBytes {
                bytes += difference
                entries[place].frame = frame
                return .replacedOlder
            }
            remove(at: place)
        }
        var droppedOlder = false
        while entries.count >= maxFrames || bytes + frame.count > maxBytes {
            guard frame.count <= maxBytes, let oldest = entries.firstIndex(where: { $0.key != nil }) else {
                dropped += 1
                return .refused
            }
            remove(at: oldest)
            droppedOlder = true
        }
        entries.append(Entry(frame: frame, key: key))
        bytes += frame.count
        return droppedOlder ? .droppedOlder : .queued
    }

    mutating func pop() -> [UInt8]? {
        guard !entries.isEmpty else { return nil }
        let frame = entries.removeFirst().frame
        bytes -= frame.count
        return frame
    }

    private mutating func remove(at place: Int) {
        bytes -= entries[place].frame.count
        entries.remove(at: place)
        dropped += 1
    }
}
