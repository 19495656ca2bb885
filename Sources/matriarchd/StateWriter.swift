import Platform
import Supervision
import Synchronization

/// Writes the durable state on a thread of its own; the newest state stands for all before it.
final class StateWriter: Sendable {
    private struct Pending {
        var newest: (state: DurableState, token: NodeToken)?
        /// Nothing of this instance is written any more.
        var isOver = false
    }

    /// How long a failed write waits before it is tried again, in nanoseconds.
    private static let retry: Int64 = 500_000_000

    private let pending = Mutex(Pending())
    private let signal: MessageQueue<Void>
    private let file: Mutex<TwoSlotFile>
    /// Why the newest attempt failed; nil when it did not.
    private let trouble = Mutex<String?>(nil)
    private let tell: @Sendable (Word) -> Void

    enum Word: Sendable {
        /// Everything up to the token is on disk.
        case done(NodeToken)
        /// Told when it changes: why the disk refuses, or nil when it no longer does.
        case refused(String?)

        var event: NodeEvent {
            switch self {
            case .done(let token): .persisted(token)
            case .refused(let reason): .stateUnwritten(reason)
            }
        }
    }

    /// - Parameter tell: called on the writer's thread.
    init(file: TwoSlotFile, tell: @escaping @Sendable (Word) -> Void) throws {
        self.file = Mutex(file)
        self.tell = tell
        signal = try MessageQueue(capacity: 4)
    }

    func start() throws {
        try Thread.start(name: "state") { self.run() }
    }

    func write(_ state: DurableState, _ token: NodeToken) {
        pending.withLock { $0.newest = (state, token) }
        _ = signal.push(())
    }

    /// Keeps the old state aside and leaves `fresh` in its place; what was to be written before is dropped.
    func startOver(with fresh: DurableState) throws(SystemError) {
        pending.withLock { ($0.newest, $0.isOver) = (nil, true) }
        let bytes = StateDirectory.encode(fresh)
        let failure: SystemError? = file.withLock { file in
            do throws(SystemError) {
                try file.setAside()
                try file.store(bytes)
                return nil
            } catch { return error }
        }
        if let failure { throw failure }
    }

    private func run() {
        while true {
            if signal.takeAll().isEmpty { return }
            while let (state, token) = pending.withLock({ $0.newest.take() }) { store(state, token) }
        }
    }

    private func note(_ failure: SystemError?) {
        let reason = failure.map { "\($0)" }
        let isNews = trouble.withLock { known in
            defer { known = reason }
            return known != reason
        }
        if isNews { tell(.refused(reason)) }
    }

    /// A disk that refuses is told and asked again; what waits for the write goes on waiting.
    private func store(_ state: DurableState, _ token: NodeToken) {
        let bytes = StateDirectory.encode(state)
        let failure: SystemError? = file.withLock { file in
            // Taken out of the queue before the instance was given up.
            if pending.withLock({ $0.isOver }) { return nil }
            do throws(SystemError) {
                try file.store(bytes)
                return nil
            } catch { return error }
        }
        note(failure)
        guard failure != nil else { return tell(.done(token)) }
        pending.withLock { if $0.newest == nil { $0.newest = (state, token) } }
        BootClock.sleep(nanoseconds: StateWriter.retry)
        _ = signal.push(())
    }
}
