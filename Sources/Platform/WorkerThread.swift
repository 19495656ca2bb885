/// Carries a value through threads that do not look at it: made on the loop, used on the loop.
///
/// `@unchecked Sendable`: `WorkerThread` and `Resolver` only hand the box from and to the loop's thread.
struct LoopConfined<Value>: @unchecked Sendable {
    let value: Value
}

/// A serial thread for jobs that block (disk, DNS, child processes), with the results back on the loop.
public final class WorkerThread: Sendable {
    /// A job was refused because `capacity` others wait: the thread is stuck or the caller too eager.
    public struct Overloaded: Error, CustomStringConvertible {
        public let thread: String
        public let capacity: Int
        public var description: String { "worker \(thread): \(capacity) jobs wait already" }
    }

    private let name: String
    private let capacity: Int
    private let loop: EventLoop
    private let jobs: MessageQueue<@Sendable () -> Void>
    private let thread: Thread

    /// - Parameter capacity: how many jobs may wait before `submit` refuses.
    public init(name: String, loop: EventLoop, capacity: Int = 64) throws(SystemError) {
        let jobs = try MessageQueue<@Sendable () -> Void>(capacity: capacity)
        self.name = name
        self.capacity = capacity
        self.loop = loop
        self.jobs = jobs
        thread = try Thread.start(name: name) {
            while true {
                let batch = jobs.takeAll()
                if batch.isEmpty { return }
                for job in batch { job() }
            }
        }
    }

    /// Runs `job` on the worker after all earlier ones, then `completion` with its result on the loop.
    ///
    /// MUST be called on the loop's thread; `completion` may therefore capture the loop's own state.
    public func submit<Result: Sendable>(
        _ job: @escaping @Sendable () -> Result, then completion: @escaping (Result) -> Void
    ) throws(Overloaded) {
        let loop = self.loop
        let confined = LoopConfined(value: completion)
        let accepted = jobs.push {
            let result = job()
            loop.post { confined.value(result) }
        }
        if !accepted { throw Overloaded(thread: name, capacity: capacity) }
    }

    /// Lets the waiting jobs run and ends the thread; with `join`, waits for that.
    public func stop(join: Bool = true) {
        jobs.close()
        if join { thread.join() } else { thread.detach() }
    }
}
