internal import CLinux
internal import Glibc
internal import Synchronization

/// What happened, for the operator, on stderr. A line never blocks the thread that says it.
///
/// Lines go through a bounded queue to a thread of their own; when stderr is stuck (a full pipe, a hung
/// terminal) the queue fills, further lines are dropped, and how many is said when the writing goes on. Under
/// systemd the level is given in the journal's own way and the time left to it.
public enum Log {
    public enum Level: Int, Sendable, Comparable {
        // The numbers are syslog's.
        case error = 3
        case warning = 4
        case notice = 5
        case info = 6
        case debug = 7

        public static func < (left: Level, right: Level) -> Bool { left.rawValue < right.rawValue }

        var word: String {
            switch self {
            case .error: "error"
            case .warning: "warning"
            case .notice: "notice"
            case .info: "info"
            case .debug: "debug"
            }
        }
    }

    public typealias Fields = [(String, String)]

    /// Lines that may wait for stderr.
    public static let queueLimit = 4096

    public static func error(_ text: String, _ fields: Fields = []) { say(.error, text, fields) }
    public static func warning(_ text: String, _ fields: Fields = []) { say(.warning, text, fields) }
    public static func notice(_ text: String, _ fields: Fields = []) { say(.notice, text, fields) }
    public static func info(_ text: String, _ fields: Fields = []) { say(.info, text, fields) }
    public static func debug(_ text: String, _ fields: Fields = []) { say(.debug, text, fields) }

    /// Lines less urgent than this are not written; `info` unless set.
    public static func setThreshold(_ level: Level) { threshold.store(level.rawValue, ordering: .relaxed) }

    /// Waits until all lines said so far are written, for `seconds` at most: the last act before the process
    /// ends.
    public static func flush(seconds: Double = 1) {
        let deadline = BootClock.now() + Int64(seconds * 1e9)
        while writer.isBusy, BootClock.now() < deadline { usleep(1000) }
    }

    private static let threshold = Atomic<Int>(Level.info.rawValue)
    private static let writer = LogWriter(descriptor: STDERR_FILENO, capacity: queueLimit)

    private static func say(_ level: Level, _ text: String, _ fields: Fields) {
        if level.rawValue > threshold.load(ordering: .relaxed) { return }
        writer.write(level, text, fields)
    }
}

/// The queue and the thread behind `Log`.
final class LogWriter: Sendable {
    private let descriptor: Int32
    private let journal: Bool
    private let queue: MessageQueue<[UInt8]>?
    private let dropped = Atomic<Int>(0)
    private let unwritten = Atomic<Int>(0)
    /// Without room for the thread there is still a log, only one that waits for its reader.
    private let isBlocking = Atomic<Bool>(false)

    init(descriptor: Int32, capacity: Int) {
        self.descriptor = descriptor
        journal = Self.isJournal(descriptor)
        queue = try? MessageQueue(capacity: capacity)
        let started = queue.flatMap { queue in try? Thread.start(name: "log") { [self] in run(queue) } }
        started?.detach()
        isBlocking.store(started == nil, ordering: .relaxed)
    }

    var isBusy: Bool { unwritten.load(ordering: .acquiring) > 0 }

    func write(_ level: Log.Level, _ text: String, _ fields: Log.Fields) {
        let line = Array(Self.line(level, text, fields, journal: journal).utf8)
        if isBlocking.load(ordering: .relaxed) { return put(line) }
        unwritten.add(1, ordering: .relaxed)
        if let queue, queue.push(line) { return }
        unwritten.subtract(1, ordering: .relaxed)
        dropped.add(1, ordering: .relaxed)
    }

    private func run(_ queue: MessageQueue<[UInt8]>) {
        while true {
            for line in queue.takeAll() {
                put(line)
                unwritten.subtract(1, ordering: .releasing)
            }
            let lost = dropped.exchange(0, ordering: .relaxed)
            if lost > 0 {
                let count = [("lines", String(lost))]
                put(Array(Self.line(.warning, "log lines were dropped", count, journal: journal).utf8))
            }
        }
    }

    private func put(_ line: [UInt8]) {
        var rest = line[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
            if count > 0 {
                rest = rest.dropFirst(count)
            } else if count < 0, errno == EAGAIN {
                var wait = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
                _ = poll(&wait, 1, -1)
            } else if count < 0, errno != EINTR {
                // A closed stderr: there is nobody left to tell.
                return
            }
        }
    }

    /// One line: "<5>text key=value" for the journal, "2026-… notice: text key=value" for people.
    static func line(_ level: Log.Level, _ text: String, _ fields: Log.Fields, journal: Bool) -> String {
        var line = journal ? "<\(level.rawValue)>" : "\(WallClock.iso8601()) \(level.word): "
        line += oneLine(text)
        for (key, value) in fields { line += " \(key)=\(quoted(value))" }
        return line + "\n"
    }

    private static func oneLine(_ text: String) -> String {
        text.utf8.contains(UInt8(ascii: "\n")) ? text.split(separator: "\n").joined(separator: "\\n") : text
    }

    private static func quoted(_ value: String) -> String {
        let plain = !value.isEmpty && value.utf8.allSatisfy { $0 > 0x20 && $0 != 0x22 && $0 != 0x3d }
        if plain { return value }
        var escaped = ""
        for character in oneLine(value) {
            if character == "\"" || character == "\\" { escaped += "\\" }
            escaped.append(character)
        }
        return "\"\(escaped)\""
    }

    /// True when `descriptor` is the very stream to the journal that systemd names in the environment.
    private static func isJournal(_ descriptor: Int32) -> Bool {
        guard let stream = getenv("JOURNAL_STREAM") else { return false }
        var status = stat()
        return fstat(descriptor, &status) == 0
            && String(cString: stream) == "\(status.st_dev):\(status.st_ino)"
    }
}
