/// Timers in the order of their times: a binary heap whose cancelled entries stay until they come up or
/// outnumber the living.
struct TimerHeap {
    struct Entry {
        let time: Int64
        let number: UInt64
    }

    private var heap: [Entry] = []
    private var handlers: [UInt64: () -> Void] = [:]
    private var nextNumber: UInt64 = 1

    /// Timers of one time fire in the order in which they were set.
    private static func before(_ left: Entry, _ right: Entry) -> Bool {
        (left.time, left.number) < (right.time, right.number)
    }

    mutating func insert(_ time: Int64, _ handler: @escaping () -> Void) -> UInt64 {
        let number = nextNumber
        nextNumber += 1
        handlers[number] = handler
        heap.append(Entry(time: time, number: number))
        siftUp(heap.count - 1)
        return number
    }

    mutating func remove(_ number: UInt64) {
        handlers[number] = nil
        if heap.count > 2 * handlers.count + 64 { compact() }
    }

    /// The time of the first timer that still lives.
    var earliest: Int64? {
        mutating get {
            while let first = heap.first, handlers[first.number] == nil { removeFirst() }
            return heap.first?.time
        }
    }

    /// Takes the numbers of all timers due at `now`, in order. Each stays cancellable until `takeHandler`.
    mutating func takeDue(at now: Int64) -> [UInt64] {
        var due: [UInt64] = []
        while let first = heap.first, first.time <= now {
            removeFirst()
            if handlers[first.number] != nil { due.append(first.number) }
        }
        return due
    }

    /// The handler of a timer that was taken, unless it was cancelled since.
    mutating func takeHandler(_ number: UInt64) -> (() -> Void)? {
        handlers.removeValue(forKey: number)
    }

    private mutating func removeFirst() {
        heap.swapAt(0, heap.count - 1)
        heap.removeLast()
        siftDown(0)
    }

    private mutating func compact() {
        heap.removeAll { handlers[$0.number] == nil }
        heap.sort(by: Self.before)
    }

    private mutating func siftUp(_ start: Int) {
        var child = start
        while child > 0, Self.before(heap[child], heap[(child - 1) / 2]) {
            heap.swapAt(child, (child - 1) / 2)
            child = (child - 1) / 2
        }
    }

    private mutating func siftDown(_ start: Int) {
        var parent = start
        while true {
            var first = parent
            for child in [2 * parent + 1, 2 * parent + 2] where child < heap.count {
                if Self.before(heap[child], heap[first]) { first = child }
            }
            if first == parent { return }
            heap.swapAt(parent, first)
            parent = first
        }
    }
}
