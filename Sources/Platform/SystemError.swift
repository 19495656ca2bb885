internal import Glibc

/// A system call that failed: which one, why, and on what.
public struct SystemError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The call, as its manual page is named ("open", "fsync").
    public let call: String
    /// The errno value.
    public let code: Int32
    /// The path, address or process concerned, with what would be right where that is known; may be empty.
    public let detail: String

    public init(call: String, code: Int32, detail: String = "") {
        self.call = call
        self.code = code
        self.detail = detail
    }

    /// The system's words for the code alone ("No such file or directory").
    public var reason: String {
        // strerror may share its buffer between threads; strerror_r never does.
        withUnsafeTemporaryAllocation(of: CChar.self, capacity: 128) { buffer in
            guard let start = buffer.baseAddress, strerror_r(code, start, buffer.count) == 0 else {
                return "error \(code)"
            }
            return String(cString: start)
        }
    }

    public var description: String {
        detail.isEmpty ? "\(call): \(reason)" : "\(call): \(reason): \(detail)"
    }
}

/// Makes a system call, again when a signal interrupted it.
///
/// - Parameter detail: what the call is about (a path, an address), only evaluated for the error.
/// - Throws: errno as `SystemError` when `body` returns -1.
@discardableResult
public func system<Result: FixedWidthInteger & SignedInteger>(
    _ call: String, _ detail: @autoclosure () -> String = "", _ body: () -> Result
) throws(SystemError) -> Result {
    while true {
        let result = body()
        if result != -1 { return result }
        let code = errno
        if code != EINTR { throw SystemError(call: call, code: code, detail: detail()) }
    }
}
