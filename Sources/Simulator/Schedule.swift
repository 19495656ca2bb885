import Consensus

/// Something that lives, dies and may be stopped: an agent, a guard, a postmaster, a machine.
///
/// What is due for a paused process waits and happens when it goes on; what is due for a dead one never
/// happens.
final class Process {
    let name: String
    /// Counts the lives; an event belongs to the one in which it was scheduled.
    private(set) var life = 0
    private(set) var isAlive = false
    private var pauses = 0
    fileprivate var waiting: [Schedule.Action] = []

    /// What a paused process may have waiting; beyond it the oldest is lost, as a full socket buffer loses.
    static let waitingLimit = 10_000

    init(_ name: String) { self.name = name }

    var isPaused: Bool { pauses > 0 }
    /// Alive and not stopped.
    var isRunning: Bool { isAlive && pauses == 0 }

    func start() {
        invariant(!isAlive, "\(name) is started twice")
        life += 1
        isAlive = true
    }

    func die() {
        isAlive = false
        waiting.removeAll()
    }

    func pause() { pauses += 1 }

    fileprivate func unpause() -> [Schedule.Action] {
        // A process that died while it was stopped has nothing left to continue.
        guard pauses > 0 else { return [] }
        pauses -= 1
        guard pauses == 0 else { return [] }
        defer { waiting.removeAll() }
        return waiting
    }

    fileprivate func wait(for action: @escaping Schedule.Action) {
        if waiting.count == Process.waitingLimit { waiting.removeFirst() }
        waiting.append(action)
    }
}

/// What will happen, in order of time; what is due at the same time happens in the order of being scheduled.
struct Schedule {
    typealias Action = () -> Void

    private struct Key {
        let time: Int64
        let sequence: UInt64
        let slot: Int32

        static func before(_ left: Key, _ right: Key) -> Bool {
            left.time != right.time ? left.time < right.time : left.sequence < right.sequence
        }
    }

    private struct Slot {
        var process: Process?
        var life: Int
        var action: Action?
    }

    private(set) var now = WorldTime.zero
    /// How many events happened.
    private(set) var happened: UInt64 = 0
    private var heap: [Key] = []
    private var slots: [Slot] = []
    private var free: [Int32] = []
    private var sequence: UInt64 = 0

    /// Without a process the event happens whatever becomes of anyone.
    mutating func add(after delay: Duration, for process: Process?, _ action: @escaping Action) {
        add(at: now + delay, for: process, action)
    }

    mutating func add(at time: WorldTime, for process: Process?, _ action: @escaping Action) {
        let slot = Slot(process: process, life: process?.life ?? 0, action: action)
        let index: Int32
        if let reused = free.popLast() {
            index = reused
            slots[Int(index)] = slot
        } else {
            index = Int32(slots.count)
            slots.append(slot)
        }
        sequence += 1
        push(Key(time: max(time, now).nanoseconds, sequence: sequence, slot: index))
    }

    /// Moves time to the next event, unless it is later than `limit`: then time becomes `limit`.
    ///
    /// - Returns: false when nothing more is due; otherwise what to do, nil when it came to nothing.
    mutating func advance(to limit: WorldTime) -> (due: Bool, action: Action?) {
        guard let first = heap.first, first.time <= limit.nanoseconds else {
            now = max(now, limit)
            return (false, nil)
        }
        pop()
        now = WorldTime(nanoseconds: first.time)
        happened += 1
        let index = Int(first.slot)
        let slot = slots[index]
        slots[index] = Slot(process: nil, life: 0, action: nil)
        free.append(first.slot)
        guard let process = slot.process else { return (true, slot.action) }
        guard process.isAlive, process.life == slot.life else { return (true, nil) }
        if process.isPaused {
            if let action = slot.action { process.wait(for: action) }
            return (true, nil)
        }
        return (true, slot.action)
    }

    /// Lets a process go on: what it missed happens now, in order.
    mutating func resume(_ process: Process) {
        for action in process.unpause() { add(after: .zero, for: process, action) }
    }

    private mutating func push(_ key: Key) {
        heap.append(key)
        var child = heap.count - 1
        while child > 0 {
            let parent = (child - 1) / 2
            guard Key.before(heap[child], heap[parent]) else { return }
            heap.swapAt(child, parent)
            child = parent
        }
    }

    private mutating func pop() {
        heap.swapAt(0, heap.count - 1)
        heap.removeLast()
        var parent = 0
        while true {
            var least = 2 * parent + 1
            guard least < heap.count else { return }
            if least + 1 < heap.count, Key.before(heap[least + 1], heap[least]) { least += 1 }
            guard Key.before(heap[least], heap[parent]) else { return }
            heap.swapAt(least, parent)
            parent = least
        }
    }
}
