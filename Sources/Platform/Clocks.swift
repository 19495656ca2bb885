internal import CLinux
internal import Glibc

/// The clock of every lease, promise and deadline: it runs on while the machine sleeps and is never set.
public enum BootClock {
    /// Nanoseconds of CLOCK_BOOTTIME.
    public static func now() -> Int64 {
        var time = timespec()
        clock_gettime(CLOCK_BOOTTIME, &time)
        return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
    }

    /// Lets the calling thread rest, to the millisecond. Never on the control thread.
    public static func sleep(nanoseconds: Int64) {
        let end = now() + nanoseconds
        while now() < end { poll(nil, 0, Int32(clamping: (end - now()) / 1_000_000 + 1)) }
    }
}

/// The clock on the wall: only ever printed, never compared, because operators and NTP set it.
public enum WallClock {
    /// Seconds and nanoseconds since 1970 in UTC.
    public static func now() -> (seconds: Int64, nanoseconds: Int64) {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return (Int64(time.tv_sec), Int64(time.tv_nsec))
    }

    /// The time as "2026-11-21T02:00:00.123Z".
    public static func iso8601() -> String { iso8601(now()) }

    /// A given time as "2026-11-21T02:00:00.123Z".
    public static func iso8601(_ time: (seconds: Int64, nanoseconds: Int64)) -> String {
        var seconds = time_t(time.seconds)
        var parts = tm()
        gmtime_r(&seconds, &parts)
        let date =
            "\(padded(parts.tm_year + 1900, 4))-\(padded(parts.tm_mon + 1, 2))-\(padded(parts.tm_mday, 2))"
        let clock = "\(padded(parts.tm_hour, 2)):\(padded(parts.tm_min, 2)):\(padded(parts.tm_sec, 2))"
        return "\(date)T\(clock).\(padded(Int32(time.nanoseconds / 1_000_000), 3))Z"
    }

    private static func padded(_ value: Int32, _ width: Int) -> String {
        let digits = String(value)
        return String(repeating: "0", count: max(0, width - digits.count)) + digits
    }
}

/// Which boot of the machine this is: what was promised or started in another boot no longer binds or runs.
public enum BootID {
    /// The kernel's random name of this boot, without the trailing newline.
    ///
    /// - Throws: when /proc is not mounted; nothing that depends on the boot may then be trusted.
    public static var current: String {
        get throws(SystemError) {
            let bytes = try Files.readAll("/proc/sys/kernel/random/boot_id", limit: 128)
            return String(decoding: bytes.prefix { $0 != UInt8(ascii: "\n") }, as: UTF8.self)
        }
    }
}

/// Random bytes from the kernel, good enough for secrets and nonces.
public enum SecureRandom {
    public static func bytes(_ count: Int) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        var filled = 0
        while filled < count {
            let got = bytes.withUnsafeMutableBytes { buffer in
                getrandom(buffer.baseAddress.map { $0 + filled }, count - filled, 0)
            }
            if got < 0, errno != EINTR {
                fatalError("getrandom failed with \(errno): no randomness, no secrets")
            }
            filled += max(0, got)
        }
        return bytes
    }

    /// A seed for a generator of one's own.
    public static func seed() -> UInt64 {
        bytes(8).reduce(0) { $0 << 8 | UInt64($1) }
    }
}

/// What this machine is called.
public enum HostName {
    public static var current: String {
        var buffer = [CChar](repeating: 0, count: 256)
        guard gethostname(&buffer, buffer.count - 1) == 0 else { return "localhost" }
        return String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}
