import Testing

@testable import Peers

@Suite struct SendQueueTests {
    private func drain(_ queue: inout SendQueue) -> [[UInt8]] {
        var frames: [[UInt8]] = []
        while let frame = queue.pop() { frames.append(frame) }
        return frames
    }

    @Test func `a newer frame takes the place of the older one with its key`() {
        var queue = SendQueue(maxFrames: 8, maxBytes: 100)
        let heartbeat = CoalescingKey(1)
        #expect(queue.push([1], key: heartbeat) == .queued)
        #expect(queue.push([2], key: nil) == .queued)
        #expect(queue.push([3, 3], key: heartbeat) == .replacedOlder)
        #expect(queue.bytes == 3)
        #expect(drain(&queue) == [[3, 3], [2]])
        #expect(queue.bytes == 0)
        #expect(queue.dropped == 0)
    }

    @Test func `a full queue drops the oldest frame that may be lost`() {
        var queue = SendQueue(maxFrames: 3, maxBytes: 100)
        _ = queue.push([1], key: nil)
        _ = queue.push([2], key: CoalescingKey(2))
        _ = queue.push([3], key: CoalescingKey(3))
        #expect(queue.push([4], key: nil) == .droppedOlder)
        #expect(queue.dropped == 1)
        #expect(drain(&queue) == [[1], [3], [4]])
    }

    @Test func `a queue full of frames that must not be lost refuses the next`() {
        var queue = SendQueue(maxFrames: 2, maxBytes: 100)
        _ = queue.push([1], key: nil)
        _ = queue.push([2], key: nil)
        #expect(queue.push([3], key: CoalescingKey(1)) == .refused)
        #expect(queue.dropped == 1)
        #expect(drain(&queue) == [[1], [2]])
    }

    @Test func `the bound of bytes holds as the bound of frames does`() {
        var queue = SendQueue(maxFrames: 100, maxBytes: 10)
        _ = queue.push([UInt8](repeating: 1, count: 6), key: CoalescingKey(1))
        #expect(queue.push([UInt8](repeating: 2, count: 6), key: nil) == .droppedOlder)
        #expect(queue.push([UInt8](repeating: 3, count: 5), key: nil) == .refused)
        #expect(queue.push([UInt8](repeating: 4, count: 11), key: nil) == .refused)
        #expect(queue.bytes == 6)
    }

    @Test func `a replacement that is too large for its place goes to the end or nowhere`() {
        var queue = SendQueue(maxFrames: 10, maxBytes: 10)
        _ = queue.push([1], key: CoalescingKey(1))
        _ = queue.push([UInt8](repeating: 2, count: 5), key: CoalescingKey(2))
        #expect(queue.push([UInt8](repeating: 3, count: 8), key: CoalescingKey(1)) == .droppedOlder)
        #expect(drain(&queue) == [[UInt8](repeating: 3, count: 8)])
        #expect(queue.bytes == 0)
    }

    @Test func `waits double up to the limit and are never in step`() {
        var random = SystemRandomNumberGenerator()
        var backoff = Backoff(first: .milliseconds(50), limit: .milliseconds(500))
        let full: [Duration] = [50, 100, 200, 400, 500, 500, 500].map { .milliseconds($0) }
        for expected in full {
            let wait = backoff.next(using: &random)
            #expect(wait >= expected / 2 && wait <= expected)
        }
        for _ in 0..<100 { #expect(backoff.next(using: &random) <= .milliseconds(500)) }
        backoff.reset()
        #expect(backoff.next(using: &random) <= .milliseconds(50))
    }
}
