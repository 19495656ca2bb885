import Control
import FoundationEssentials
import Platform
import Supervision

/// The node's own history: the newest in memory, the rest in two files that take turns (`matriarch events`).
final class EventJournal {
    static let memoryLimit = 1000
    static let fileLimit = 1 << 20

    private(set) var newest: [LoggedEvent] = []
    /// Called with each event as it happens, for `events --follow`.
    var onEvent: ((LoggedEvent) -> Void)?
    private let path: String
    private let worker: WorkerThread

    init(directory: String, loop: EventLoop) throws {
        path = "\(directory)/events.jsonl"
        worker = try WorkerThread(name: "events", loop: loop, capacity: 1024)
        for file in ["\(path).1", path] {
            guard Files.exists(file) else { continue }
            let text = try Files.readText(file, limit: EventJournal.fileLimit * 2)
            newest += text.split(separator: "\n").compactMap { line in
                try? JSONDecoder().decode(LoggedEvent.self, from: Data(line.utf8))
            }
        }
        newest = newest.suffix(EventJournal.memoryLimit)
    }

    func append(_ record: EventRecord) {
        let event = LoggedEvent(record)
        log(event)
        newest.append(event)
        if newest.count > EventJournal.memoryLimit {
            newest.removeFirst(newest.count - EventJournal.memoryLimit)
        }
        onEvent?(event)
        guard let line = try? JSONEncoder().encode(event) else { return }
        let path = self.path
        do {
            try worker.submit(
                { EventJournal.write(Array(line) + [10], to: path) },
                then: { failure in
                    if let failure { Log.warning("an event was not kept: \(failure)") }
                })
        } catch { Log.warning("an event was not kept: \(error)") }
    }

    private static func write(_ line: [UInt8], to path: String) -> String? {
        do {
            let length = try Files.append(path, line, mode: 0o600)
            if length > fileLimit { try Files.move(path, to: "\(path).1") }
            return nil
        } catch { return "\(error)" }
    }

    private func log(_ event: LoggedEvent) {
        var fields: Log.Fields = [("event", event.kind), ("term", String(event.term))]
        if let rule = event.rule { fields.append(("rule", rule)) }
        for phase in event.phases { fields.append((phase.name + "_ms", tenths(phase.milliseconds))) }
        switch event.level {
        case EventRecord.Level.info.rawValue: Log.info(event.text, fields)
        case EventRecord.Level.notice.rawValue: Log.notice(event.text, fields)
        case EventRecord.Level.warning.rawValue: Log.warning(event.text, fields)
        default: Log.error(event.text, fields)
        }
    }
}

/// One decimal, without the formatters of Foundation.
func tenths(_ value: Double) -> String {
    let scaled = Int64((value * 10).rounded())
    return "\(scaled / 10).\(abs(scaled) % 10)"
}
