internal import CLinux
internal import Glibc

/// A program started by us: waited for through a pidfd, so that a number is never mistaken for a process.
///
/// It gets a process group of its own, default signal handlers, and no descriptor but 0, 1 and 2. Not
/// thread-safe: one owner waits for it (a worker thread), or watches `exitDescriptor` on a loop.
public final class ChildProcess {
    /// Where a standard output or error goes.
    public enum Output: Sendable, Equatable {
        case discard
        /// Our own.
        case inherit
        /// Appended to an open descriptor, which stays the caller's.
        case descriptor(Int32)
        /// Kept: the last so many bytes, read while `wait` runs.
        case capture(limit: Int)
    }

    /// Which of the two outputs a captured piece came from.
    public enum Stream: Sendable { case output, error }

    public enum Exit: Equatable, Sendable, CustomStringConvertible {
        case status(Int32)
        case signal(Int32)
        /// A detached program has ended; only its parent, init, knows how.
        case unknown

        public var isSuccess: Bool { self == .status(0) }

        public var description: String {
            switch self {
            case .status(let code): "exit status \(code)"
            case .signal(let number): "signal \(number)"
            case .unknown: "ended"
            }
        }
    }

    /// Pieces of captured output are read this large.
    private static let pieceBytes = 16 * 1024
    /// How long a program's last output is read after its end, when a child of its own keeps the pipe open.
    private static let drainPieces = 64

    public let pid: Int32
    public let executable: String
    private let pidfd: Int32
    private let isDetached: Bool
    private var exit: Exit?
    private var captures: [Stream: Capture] = [:]

    private struct Capture {
        var fd: Int32
        let limit: Int
        var tail: [UInt8] = []

        mutating func keep(_ piece: ArraySlice<UInt8>) {
            tail.append(contentsOf: piece)
            // Cut rarely, so that a long output is not moved again for each piece.
            if tail.count > 2 * limit { tail.removeFirst(tail.count - limit) }
        }
    }

    private init(pid: Int32, executable: String, pidfd: Int32, isDetached: Bool, captures: [Stream: Capture])
    {
        self.pid = pid
        self.executable = executable
        self.pidfd = pidfd
        self.isDetached = isDetached
        self.captures = captures
        if pidfd < 0 { exit = .unknown }
    }

    deinit {
        for capture in captures.values where capture.fd >= 0 { close(capture.fd) }
        if pidfd >= 0 { close(pidfd) }
    }

    /// Starts a program; returns once it runs.
    ///
    /// - Parameters:
    ///   - arguments: without the program's own name.
    ///   - environment: all of it; nil gives it ours.
    ///   - deathSignal: sent to it when the *thread* that called this ends, so only for calls from a thread
    ///     that lives as long as the process; 0 for none.
    ///   - detached: a session of its own and no child of ours, so that it outlives us.
    /// - Throws: the step that failed with its errno, the program's path in the detail.
    public static func spawn(
        executable: String, arguments: [String] = [], environment: [String: String]? = nil,
        workingDirectory: String? = nil, standardOutput: Output = .inherit, standardError: Output = .inherit,
        deathSignal: Int32 = 0, detached: Bool = false
    ) throws(SystemError) -> ChildProcess {
        let output = try Plumbing(standardOutput, inherited: STDOUT_FILENO)
        let error = try Plumbing(standardError, inherited: STDERR_FILENO)
        var pid: pid_t = 0
        var pidfd: Int32 = -1
        let variables = (environment ?? Self.ownEnvironment).map { "\($0.key)=\($0.value)" }.sorted()
        let step = withCStrings([executable] + arguments) { argumentList in
            withCStrings(variables) { environmentList in
                withCString(workingDirectory) { directory in
                    executable.withCString { path in
                        var command = clinux_command(
                            executable: path, arguments: argumentList, environment: environmentList,
                            directory: directory, standard_input: -1, standard_output: output.childEnd,
                            standard_error: error.childEnd, death_signal: deathSignal, detached: detached)
                        return clinux_spawn(&command, &pid, &pidfd)
                    }
                }
            }
        }
        let code = errno
        output.closeChildEnd()
        error.closeChildEnd()
        if step != clinux_spawn_ok {
            output.closeOurEnd()
            error.closeOurEnd()
            throw SystemError(call: name(of: step), code: code, detail: executable)
        }
        var captures: [Stream: Capture] = [:]
        if let limit = output.limit { captures[.output] = Capture(fd: output.ourEnd, limit: limit) }
        if let limit = error.limit { captures[.error] = Capture(fd: error.ourEnd, limit: limit) }
        return ChildProcess(
            pid: pid, executable: executable, pidfd: pidfd, isDetached: detached, captures: captures)
    }

    /// Our environment, for a child that gets it with a change or two.
    public static var ownEnvironment: [String: String] {
        var variables: [String: String] = [:]
        var next = environ
        while let entry = next.pointee {
            let pair = String(cString: entry).split(
                separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            if pair.count == 2 { variables[String(pair[0])] = String(pair[1]) }
            next += 1
        }
        return variables
    }

    /// Readable once the program has ended, for a loop to watch (then call `exitIfEnded`); -1 when it already
    /// had ended. Stays ours: unwatch it before the last reference goes.
    public var exitDescriptor: Int32 { pidfd }

    /// How the program ended; nil while it runs.
    public func exitIfEnded() -> Exit? {
        if exit != nil { return exit }
        if isDetached {
            var wait = pollfd(fd: pidfd, events: Int16(POLLIN), revents: 0)
            if poll(&wait, 1, 0) > 0 { exit = .unknown }
            return exit
        }
        var code: Int32 = 0
        switch clinux_reap(pidfd, &code) {
        case 0: return nil
        case 1: exit = code < 0 ? .signal(-code) : .status(code)
        // Somebody else has waited for it: it has ended, nobody here knows how.
        default: exit = .unknown
        }
        return exit
    }

    /// Waits for the end and reads captured output meanwhile.
    ///
    /// - Parameters:
    ///   - deadline: of `BootClock`.
    ///   - onOutput: sees each captured piece as it comes (progress); the tail is kept besides.
    /// - Returns: nil when the program still runs at the deadline.
    public func wait(
        until deadline: Int64 = .max, onOutput: ((Stream, ArraySlice<UInt8>) -> Void)? = nil
    ) -> Exit? {
        while true {
            if let exit = exitIfEnded() {
                drain(onOutput)
                return exit
            }
            let left = deadline == .max ? -1 : max(0, (deadline - BootClock.now() + 999_999) / 1_000_000)
            if left == 0 { return nil }
            var waits = [pollfd(fd: pidfd, events: Int16(POLLIN), revents: 0)]
            for capture in captures.values where capture.fd >= 0 {
                waits.append(pollfd(fd: capture.fd, events: Int16(POLLIN), revents: 0))
            }
            _ = poll(&waits, nfds_t(waits.count), Int32(clamping: left))
            for stream in [Stream.output, .error] { readPiece(stream, onOutput) }
        }
    }

    /// Sends a signal, if the program still runs.
    ///
    /// - Throws: EPERM and the like; a program that has ended is no error.
    public func signal(_ number: Int32) throws(SystemError) {
        if pidfd < 0 { return }
        do {
            try system("pidfd_send_signal", executable) { clinux_pidfd_send_signal(pidfd, number) }
        } catch {
            if error.code != ESRCH { throw error }
        }
    }

    /// The tail of a captured output, as text.
    public func captured(_ stream: Stream) -> String {
        guard let capture = captures[stream] else { return "" }
        return String(decoding: capture.tail.suffix(capture.limit), as: UTF8.self)
    }

    /// Runs a program to its end.
    ///
    /// - Parameter deadline: of `BootClock`; a program that still runs then is killed.
    /// - Returns: how it ended (by signal 9 at the deadline) with the tails of what it wrote.
    public static func run(
        _ executable: String, _ arguments: [String] = [], environment: [String: String]? = nil,
        workingDirectory: String? = nil, until deadline: Int64, captureLimit: Int = 64 * 1024
    ) throws(SystemError) -> (exit: Exit, output: String, error: String) {
        let child = try spawn(
            executable: executable, arguments: arguments, environment: environment,
            workingDirectory: workingDirectory, standardOutput: .capture(limit: captureLimit),
            standardError: .capture(limit: captureLimit))
        var exit = child.wait(until: deadline)
        if exit == nil {
            try child.signal(SIGKILL)
            exit = child.wait()
        }
        return (exit ?? .unknown, child.captured(.output), child.captured(.error))
    }

    // MARK: Captured output

    private func drain(_ onOutput: ((Stream, ArraySlice<UInt8>) -> Void)?) {
        for stream in [Stream.output, .error] {
            for _ in 0..<Self.drainPieces where !readPiece(stream, onOutput) { break }
        }
    }

    /// Reads one piece if there is one; false when there is none (now or any more).
    @discardableResult
    private func readPiece(_ stream: Stream, _ onOutput: ((Stream, ArraySlice<UInt8>) -> Void)?) -> Bool {
        guard var capture = captures[stream], capture.fd >= 0 else { return false }
        var piece = [UInt8](repeating: 0, count: Self.pieceBytes)
        let count = read(capture.fd, &piece, piece.count)
        if count > 0 {
            captures[stream]?.keep(piece[..<count])
            onOutput?(stream, piece[..<count])
            return true
        }
        if count < 0, errno == EAGAIN || errno == EINTR { return false }
        close(capture.fd)
        capture.fd = -1
        captures[stream] = capture
        return false
    }

    /// The two ends of one output while the child is made.
    private struct Plumbing {
        var childEnd: Int32 = -1
        var ourEnd: Int32 = -1
        var limit: Int?

        init(_ output: Output, inherited: Int32) throws(SystemError) {
            switch output {
            case .discard: break
            case .inherit: childEnd = inherited
            case .descriptor(let fd): childEnd = fd
            case .capture(let bytes):
                var ends: [Int32] = [-1, -1]
                try system("pipe2") { clinux_pipe(&ends) }
                (ourEnd, childEnd, limit) = (ends[0], ends[1], bytes)
                try system("fcntl") { fcntl(ends[0], F_SETFL, O_NONBLOCK) }
            }
        }

        func closeChildEnd() { if limit != nil { close(childEnd) } }
        func closeOurEnd() { if limit != nil { close(ourEnd) } }
    }

    private static func name(of step: clinux_spawn_step) -> String {
        switch step {
        case clinux_spawn_fork: "fork"
        case clinux_spawn_directory: "chdir"
        case clinux_spawn_descriptors: "spawn (descriptors)"
        case clinux_spawn_parent_gone: "spawn (parent gone)"
        default: "execve"
        }
    }
}

/// Calls `body` with a null-terminated array of C strings that lives as long as the call.
private func withCStrings<Result>(
    _ strings: [String], _ body: (UnsafePointer<UnsafeMutablePointer<CChar>?>) -> Result
) -> Result {
    var pointers = strings.map { strdup($0) }
    pointers.append(nil)
    defer { for pointer in pointers { free(pointer) } }
    return pointers.withUnsafeBufferPointer { buffer in
        guard let start = buffer.baseAddress else {
            fatalError("an array with a last element has an address")
        }
        return body(start)
    }
}

private func withCString<Result>(_ text: String?, _ body: (UnsafePointer<CChar>?) -> Result) -> Result {
    guard let text else { return body(nil) }
    return text.withCString { body($0) }
}
