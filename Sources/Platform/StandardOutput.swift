internal import Glibc

/// Plain text to whoever started the program.
public enum StandardOutput {
    public static func say(_ text: String) { write(text, to: STDOUT_FILENO) }
    public static func complain(_ text: String) { write(text, to: STDERR_FILENO) }

    /// Whether a person's terminal is there.
    public static var isTerminal: Bool { isatty(STDOUT_FILENO) == 1 }

    private static func write(_ text: String, to descriptor: Int32) {
        let bytes = Array(text.utf8)
        var done = 0
        while done < bytes.count {
            let count = bytes[done...].withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
            if count < 0, errno == EINTR { continue }
            // A reader that has gone (`| head`) wants no more.
            if count <= 0 { return }
            done += count
        }
    }
}
