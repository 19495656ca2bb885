/// What the kernel did for want of memory.
public enum MemoryPressure {
    /// How many processes of this machine it has killed so far; nil when it does not say.
    public static var kills: UInt64? {
        guard let text = try? Files.readText("/proc/vmstat", limit: 1 << 16) else { return nil }
        return kills(in: text)
    }

    static func kills(in vmstat: String) -> UInt64? {
        let line = vmstat.split(separator: "\n").first { $0.hasPrefix("oom_kill ") }
        return line?.split(separator: " ").last.flatMap { UInt64($0) }
    }
}
