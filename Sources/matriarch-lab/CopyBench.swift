import Glibc
import Lab

/// The parts of `make bench` in which data is copied: how long a member is away that must be rewound, and a
/// copy by the agent beside one by Postgres's own program.
struct CopyBench {
    /// Of writes that the returning member has alone, in MB.
    var divergence = 100
    /// Of the database that is copied, in MB; the contract's target is for 2048.
    var database = 2048
    var runs = 3

    private static let patience: Duration = .seconds(600)
    /// Rows of about a kilobyte.
    private static let filler = "repeat('x', 968)"

    // MARK: a rewind

    func measureRewinds() throws {
        say("\nRejoining by rewind after \(divergence) MB of writes that nobody else has, \(runs) runs:")
        let herd = try Herd(
            Herd.Options(settings: ["lease_duration": "2s", "maximum_lag_on_failover": "16GB"]))
        guard herd.network != nil else {
            say("  needs root: replication is cut, and nothing else")
            return try herd.destroy()
        }
        try herd.start()
        try herd.until(herd.isWhole, within: Self.patience)
        var times: [Duration] = []
        for run in 0..<runs { times.append(try measureRewind(herd, "alone\(run)")) }
        say("  from the start of its agent to a valid replica: \(text(times))")
        try herd.destroy()
    }

    private func measureRewind(_ herd: Herd, _ table: String) throws -> Duration {
        try herd.until(herd.isWhole, within: Self.patience)
        let old = try herd.primary()
        try old.cut(.replication)
        try fill(table, divergence, at: old)
        try old.losePower()
        let others = herd.others(than: old)
        try herd.until(.primary(isNot: old.name), seenBy: others, within: Self.patience)
        let before = old.log().utf8.count
        let start = Moment.current
        try old.returnPower()
        try herd.until(.replica(old.name), within: Self.patience)
        let took = Moment.current - start
        let told = String(decoding: old.log().utf8.dropFirst(before), as: UTF8.self)
        guard told.contains("is rewound to"), !told.contains(" copies ") else {
            throw LabError("\(old.name) was not rewound:\n\(old.logTail(40))")
        }
        return took
    }

    // MARK: a copy

    func measureClones() throws {
        say("\nA copy of \(database) MB by the agent, beside pg_basebackup alone, \(runs) runs in turn:")
        let herd = try Herd(Herd.Options(nodes: 1, spares: 1))
        try herd.start()
        try herd.until(herd.isWhole, within: Self.patience)
        let (source, copy) = (herd.nodes[0], herd.spares[0])
        try fill("big", database, at: source)
        try Session(source.database, within: .seconds(5)).run("checkpoint", within: Self.patience)
        var ours: [Duration] = []
        var plain: [Duration] = []
        for _ in 0..<runs {
            let before = copy.log().utf8.count
            Glibc.sync()
            try copy.start()
            try herd.until(.replica(copy.name), seenBy: [source], within: Self.patience)
            ours.append(
                try Self.lengthOfClone(in: String(decoding: copy.log().utf8.dropFirst(before), as: UTF8.self))
            )
            try copy.stop()
            try copy.eraseData()
            // Neither finds a disk that is still busy with the other.
            Glibc.sync()
            plain.append(try copy.copyPlainly(source, within: Self.patience))
        }
        say("  by the agent, from the order to the start of the copy: \(text(ours))")
        say("  pg_basebackup: \(text(plain))")
        let ratio = median(plain).seconds / median(ours).seconds
        say("  speed beside pg_basebackup: \(ratio.rounded(toPlaces: 2)) (target 0.95)")
        try herd.destroy()
    }

    /// From the event of the order to the event of the start, by the agent's own log.
    private static func lengthOfClone(in log: String) throws -> Duration {
        func time(of word: String) -> Double? {
            log.split(separator: "\n").first { $0.contains(word) }.flatMap { line in
                let parts = line.prefix { $0 != "Z" }.drop { $0 != "T" }.dropFirst().split(separator: ":")
                let numbers = parts.compactMap { Double($0) }
                return numbers.count == 3 ? numbers[0] * 3600 + numbers[1] * 60 + numbers[2] : nil
            }
        }
        guard let began = time(of: "event=clone "), let ended = time(of: "event=start-standby ") else {
            throw LabError("the log tells of no copy:\n\(log.suffix(2000))")
        }
        // Over midnight the clock begins anew.
        return .milliseconds(Int64(((ended - began + 86400).truncatingRemainder(dividingBy: 86400)) * 1000))
    }

    // MARK: data and words

    private func fill(_ table: String, _ megabytes: Int, at node: HerdNode) throws {
        try Session(node.database, within: .seconds(5)).run(
            "create table \(table) as select g, \(Self.filler) "
                + "from generate_series(1, \(megabytes * 1000)) g",
            within: Self.patience)
    }

    private func median(_ values: [Duration]) -> Duration { values.sorted()[values.count / 2] }

    private func text(_ values: [Duration]) -> String {
        "\(median(values).forPeople) [\(values.map(\.forPeople).joined(separator: ", "))]"
    }
}
