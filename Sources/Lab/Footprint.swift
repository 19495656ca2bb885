internal import Glibc
public import Platform

/// What a process costs while nothing happens.
public struct Footprint: Sendable {
    public var program: String
    /// Its memory, shared pages counted by their share.
    public var proportionalBytes: Int
    /// Of one core, while it was watched.
    public var cpuShare: Double

    /// Watches some processes for a while.
    ///
    /// - Throws: when one of them ends meanwhile or may not be looked at.
    public static func measure(_ processes: [Processes.Entry], over span: Duration) throws -> [Footprint] {
        let before = try processes.map { try ticks($0) }
        let start = Moment.current
        pause(span)
        let seconds = (Moment.current - start).seconds
        let perSecond = Double(sysconf(Int32(_SC_CLK_TCK)))
        return try zip(processes, before).map { process, before in
            let used = Double(try ticks(process) - before) / perSecond
            let path = Processes.executable(process.pid)
            return Footprint(
                program: String(path.split(separator: "/").last ?? "?"),
                proportionalBytes: try proportionalBytes(process), cpuShare: used / seconds)
        }
    }

    public static func sum(_ costs: [Footprint]) -> Footprint {
        Footprint(
            program: "together", proportionalBytes: costs.reduce(0) { $0 + $1.proportionalBytes },
            cpuShare: costs.reduce(0) { $0 + $1.cpuShare })
    }

    /// User and system time so far, in clock ticks.
    private static func ticks(_ process: Processes.Entry) throws -> Int {
        guard let text = readText("/proc/\(process.pid)/stat"), let close = text.lastIndex(of: ")") else {
            throw LabError("\(Processes.describe(process)) has ended")
        }
        let fields = text[text.index(after: close)...].split(separator: " ")
        guard fields.count > 12, let user = Int(fields[11]), let system = Int(fields[12]) else {
            throw LabError("/proc/\(process.pid)/stat cannot be read: \(text)")
        }
        return user + system
    }

    /// Its memory now, shared pages counted by their share.
    public static func proportionalBytes(_ process: Processes.Entry) throws -> Int {
        let text = readText("/proc/\(process.pid)/smaps_rollup") ?? ""
        let line = text.split(whereSeparator: \.isNewline).first { $0.hasPrefix("Pss:") }
        guard let kilobytes = line?.split(separator: " ").dropFirst().first.flatMap({ Int($0) }) else {
            throw LabError("the memory of \(Processes.describe(process)) cannot be read")
        }
        return kilobytes * 1024
    }
}

extension Processes {
    /// How many descriptors a process has open.
    ///
    /// - Throws: when it has ended or may not be looked at.
    public static func descriptors(of process: Entry) throws -> Int {
        let directory = "/proc/\(process.pid)/fd"
        do { return try Files.list(directory).count } catch {
            throw LabError("\(directory): \(error)")
        }
    }
}
