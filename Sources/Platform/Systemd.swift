internal import CSystemd
internal import Glibc

/// Talking to the service manager; without one every call does nothing.
public enum Systemd {
    /// Tells systemd about our state: "READY=1", "STATUS=…", "WATCHDOG=1", "RELOADING=1".
    ///
    /// - Returns: whether anybody is there to hear it.
    @discardableResult
    public static func notify(_ state: String) -> Bool { sd_notify(0, state) > 0 }

    /// How often "WATCHDOG=1" is expected at most, in nanoseconds; nil when no watchdog is set for this
    /// process.
    public static var watchdogInterval: Int64? {
        var microseconds: UInt64 = 0
        return sd_watchdog_enabled(0, &microseconds) > 0 ? Int64(microseconds) * 1000 : nil
    }

    /// Whether systemd is the init of this machine, so that units exist at all.
    public static var isRunning: Bool { sd_booted() > 0 }
}
