internal import Glibc

/// Plain text to whoever started the program.
public enum StandardOutput {
    public static func say(_ text: String) { write(text, to: STDOUT_FILENO) }
    public static func complain(_ text: String) { write(text, to: STDERR_FILENO) }

    /// Whether a person's terminal is there.
    public static var isTerminal: Bool { isatty(STDOUT_FILENO) == 1 }

    /// The terminal's width in characters; nil where there is none.
    public static var width: Int? {
        var size = winsize()
        guard isTerminal, ioctl(STDOUT_FILENO, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0 else {
            return nil
        }
        return Int(size.ws_col)
    }

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
