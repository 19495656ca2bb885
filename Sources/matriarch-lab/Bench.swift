import Glibc
import Lab

/// `make bench`: how long writes are away after each fault, beside Postgres alone in the same run.
struct Bench {
    private struct Fault {
        var name: String
        /// Does it to the primary and returns when it began.
        var strike: (Herd, HerdNode) throws -> Moment
        /// Puts what is away back, given the former primary.
        var mend: (Herd, HerdNode) throws -> Void = { _, _ in }
        var needsCables = false
        /// Writes are away already when it begins: what counts is when they come back.
        var isDark = false
        /// Another node takes over; until then the old one may go on writing for what is left of its lease.
        var replaces = false
    }

    private var runs = 3
    private var idle: Duration = .seconds(60)
    private var leases = ["5s", "1s"]
    private var copies = CopyBench()
    private var onlyCopies = false
    private static let patience: Duration = .seconds(90)

    init(_ words: [String]) throws {
        var rest = words[...]
        while let word = rest.popFirst() {
            if word == "--only-copies" {
                onlyCopies = true
                continue
            }
            switch (word, rest.popFirst().flatMap { Int($0) }) {
            case ("--runs", let number?): runs = number
            case ("--idle", let seconds?): idle = .seconds(seconds)
            case ("--divergence", let megabytes?): copies.divergence = megabytes
            case ("--database", let megabytes?): copies.database = megabytes
            default: throw LabError("bench \(Bench.usage), not '\(word)'")
            }
        }
        copies.runs = runs
    }

    private static let usage =
        "takes --runs NUMBER, --idle SECONDS, --divergence MB, --database MB and --only-copies"

    func run() throws {
        if !onlyCopies { try runFaults() }
        try copies.measureRewinds()
        try copies.measureClones()
    }

    private func runFaults() throws {
        say("Time without an acknowledged write: three applications, one per node's 5432, each writing every")
        say("\(Writer.beat.forPeople); medians of \(runs) runs (all runs in brackets).\n")
        let floor = try measureFloor()
        say("raw floor (plain Postgres: kill -9 of all, pg_promote() at once): \(text(floor))\n")
        var table = Table(["fault"] + leases.flatMap { ["lease \($0)", "x floor"] })
        var columns: [[String: [Duration]]] = []
        for lease in leases { columns.append(try measureHerd(lease: lease)) }
        for fault in faults {
            table.add([fault.name] + columns.flatMap { cells($0[fault.name], median(floor)) })
        }
        say(table.text)
        try measureFootprint()
    }

    // MARK: Faults

    private var faults: [Fault] {
        [
            Fault(
                name: "machine lost", strike: timed { _, node in try node.losePower() },
                mend: { _, node in try node.returnPower() }),
            Fault(
                name: "primary isolated", strike: timed { _, node in try node.cut(.everything) },
                mend: { _, node in try node.heal() }, needsCables: true, replaces: true),
            Fault(name: "postmaster killed", strike: timed { _, node in try node.kill(.postmaster) }),
            Fault(
                name: "agent killed, started again",
                strike: timed { _, node in
                    try node.kill(.agent)
                    try node.start()
                }),
            Fault(
                name: "switchover",
                strike: timed { _, node in
                    let outcome = try node.command("switchover")
                    if outcome.status != 0 { throw LabError("switchover: \(outcome.error)") }
                }),
            Fault(
                name: "all were off, second is up", strike: coldStart,
                mend: { herd, node in try herd.others(than: node).last?.returnPower() }, isDark: true),
        ]
    }

    private func timed(_ body: @escaping (Herd, HerdNode) throws -> Void) -> (Herd, HerdNode) throws -> Moment
    {
        { herd, node in
            let start = Moment.current
            try body(herd, node)
            return start
        }
    }

    /// All lose their power; the last primary is back and waits. Begins when another one comes.
    private func coldStart(_ herd: Herd, _ primary: HerdNode) throws -> Moment {
        for node in herd.nodes { try node.losePower() }
        try primary.returnPower()
        try herd.until("\(primary.name) is up", within: Bench.patience) {
            (try? primary.get("/liveness"))?.status == 200
        }
        let start = Moment.current
        try herd.others(than: primary).first?.returnPower()
        return start
    }

    // MARK: Measuring

    private func measureHerd(lease: String) throws -> [String: [Duration]] {
        let herd = try Herd(Herd.Options(settings: ["lease_duration": lease]))
        try herd.start()
        try herd.until(herd.isWhole, within: Bench.patience)
        try Writer.prepare(try herd.primary().entrance)
        var found: [String: [Duration]] = [:]
        for fault in faults where !fault.needsCables || herd.network != nil {
            for _ in 0..<runs {
                let gap = try measure(fault, herd)
                found[fault.name, default: []].append(gap)
                say("  lease \(lease), \(fault.name): \(gap.forPeople)")
            }
        }
        try herd.destroy()
        return found
    }

    private func measure(_ fault: Fault, _ herd: Herd) throws -> Duration {
        try herd.until(herd.isWhole, within: Bench.patience)
        let writer = Writer(through: herd.entrances)
        try writer.start()
        defer { writer.stop() }
        try herd.until("the writer writes") { writer.count > 200 }
        let node = try herd.primary()
        let start = try fault.strike(herd, node)
        if fault.replaces {
            try herd.until(
                .primary(isNot: node.name), seenBy: herd.others(than: node), within: Bench.patience)
        }
        try herd.until("writes come back", within: Bench.patience) {
            writer.acknowledged.last.map { .current - $0.at < .milliseconds(200) } == true
                && Moment.current - start > .seconds(3)
        }
        let back = writer.acknowledged.map(\.at).filter { $0 >= start }.min() ?? .current
        let gap = fault.isDark ? back - start : writer.longestGap(since: start).length
        try fault.mend(herd, node)
        return gap
    }

    private func measureFloor() throws -> [Duration] {
        try (0..<runs).map { _ in
            let pair = try PlainPostgresPair(.replicated)
            let writer = Writer(through: [pair.first.door, pair.second.door])
            try writer.start()
            defer { writer.stop() }
            let deadline = Moment.current + Bench.patience
            while writer.count < 100, .current < deadline { usleep(10_000) }
            let start = Moment.current
            try pair.losePower(pair.first)
            try pair.second.promote()
            let before = writer.count
            while writer.count < before + 50, .current < deadline { usleep(10_000) }
            return writer.longestGap(since: start).length
        }
    }

    private func measureFootprint() throws {
        say("\nWhat one node costs, idle for \(idle.forPeople) (lease 5s; Postgres itself not counted):")
        let herd = try Herd(Herd.Options())
        try herd.start()
        try herd.until(herd.isWhole, within: Bench.patience)
        let parts = [HerdNode.Part.agent, .guardian, .relay]
        let all = try herd.nodes.flatMap { node in try parts.map { try node.process($0) } }
        let measured = try Footprint.measure(all, over: idle)
        for (index, node) in herd.nodes.enumerated() {
            let costs = Array(measured[(index * parts.count)...].prefix(parts.count))
            var table = Table([node.name, "PSS", "CPU of a core"])
            for cost in costs + [Footprint.sum(costs)] {
                let megabytes = (Double(cost.proportionalBytes) / 1_048_576).rounded(toPlaces: 1)
                table.add([
                    cost.program, "\(megabytes) MB", "\((cost.cpuShare * 100).rounded(toPlaces: 2)) %",
                ])
            }
            say(table.text)
        }
        try herd.destroy()
    }

    // MARK: Words

    private func median(_ values: [Duration]) -> Duration { values.sorted()[values.count / 2] }

    private func text(_ values: [Duration]) -> String {
        "\(median(values).forPeople) [\(values.map(\.forPeople).joined(separator: ", "))]"
    }

    private func cells(_ values: [Duration]?, _ floor: Duration) -> [String] {
        guard let values else { return ["needs root", "-"] }
        let ratio = median(values).seconds / floor.seconds
        return [text(values), ratio.rounded(toPlaces: 1)]
    }
}
