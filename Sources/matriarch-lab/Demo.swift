import Glibc
import Lab

/// `make demo`: a herd from birth to failover and back, told to somebody who runs Postgres.
final class Demo {
    private let keep: Bool
    /// The lines of `matriarch events` that were shown already.
    private var told: Set<Substring> = []
    private static let patience: Duration = .seconds(90)

    init(keep: Bool) { self.keep = keep }

    func run() throws {
        let herd = try Herd(Herd.Options(placement: .loopback))
        try introduce(herd)
        try herd.start()
        let view = try herd.until(herd.isSettled, within: Demo.patience)
        chapter("The herd is up: \(view.primary ?? "nobody") is the primary, the others were cloned from it")
        try show(herd, "status")
        try showNews(herd)

        try Writer.prepare(herd.nodes[0].entrance)
        let writer = Writer(through: herd.entrances)
        chapter(
            "Three applications write, one through port 5432 of each node, every \(Writer.beat.forPeople)")
        try writer.start()
        try herd.until("the applications write") { writer.count > 300 }
        tell("\(writer.count) writes acknowledged; whichever node they connect to, they reach the primary.")

        let (lost, killed) = try loseMachine(herd, writer)
        try bringBack(lost, herd)
        try switchByCommand(herd, writer, notTo: lost)
        try switchBySignal(herd, writer)
        writer.stop()
        try balance(herd, writer, lost, killed)
        try finish(herd)
    }

    // MARK: The chapters

    private func introduce(_ herd: Herd) throws {
        tell(
            "Matriarch demo: three nodes on this machine, each with a real Postgres, an agent, a guard and a")
        tell("relay, on a loopback address of its own, so that all of them have the real ports:")
        for node in herd.nodes {
            tell("  \(node.name)  \(node.address)   5432 to the primary, 5433 its own Postgres, 5500 HTTP")
        }
        tell("Everything is below \(herd.directory) and goes away at the end.")
        chapter("Starting the agents; they find each other, found a cluster and clone it")
    }

    /// - Returns: the node that was lost, and when.
    private func loseMachine(_ herd: Herd, _ writer: Writer) throws -> (HerdNode, Moment) {
        let lost = try herd.primary()
        let number = lost.processes.count
        chapter("\(lost.name)'s machine is lost: kill -9 of all its \(number) processes at once")
        let start = Moment.current
        try lost.losePower()
        let view = try herd.until(.primary(isNot: lost.name), within: Demo.patience)
        try goesOn(herd, writer)
        tell("\(view.primary ?? "?") is the new primary. \(away(writer, since: start))")
        tell("Most of that is the lease (5 s): until it is over, \(lost.name) might still be writing, for")
        tell("all that the others can know.")
        try show(herd, "status")
        try showNews(herd)
        return (lost, start)
    }

    private func bringBack(_ lost: HerdNode, _ herd: Herd) throws {
        chapter("\(lost.name) comes back")
        let back = Moment.current
        try lost.returnPower()
        try herd.until(.replica(lost.name), within: Demo.patience)
        tell("\(lost.name) put itself right and is a replica after \((Moment.current - back).forPeople).")
        try showNews(herd)
    }

    private func switchByCommand(_ herd: Herd, _ writer: Writer, notTo lost: HerdNode) throws {
        let old = try herd.primary()
        // A node that has just started may still be bound by promises that it made before.
        guard let target = herd.others(than: old).first(where: { $0 !== lost }) else { return }
        chapter("A planned switchover, by command: matriarch switchover --to \(target.name)")
        let start = Moment.current
        try show(herd, "switchover", "--to", target.name)
        try herd.until(.primary(is: target.name), within: Demo.patience)
        try goesOn(herd, writer)
        tell(away(writer, since: start))
        try herd.until(herd.isSettled, within: Demo.patience)
        try showNews(herd)
    }

    private func switchBySignal(_ herd: Herd, _ writer: Writer) throws {
        let old = try herd.primary()
        let pid = old.agentPID.map { String($0) } ?? "?"
        chapter("A switchover by signal: kill -USR1 \(pid), the agent of the primary \(old.name)")
        let start = Moment.current
        try old.signalAgent(SIGUSR1)
        let view = try herd.until(.primary(isNot: old.name), within: Demo.patience)
        try goesOn(herd, writer)
        tell("\(view.primary ?? "?") took over. \(away(writer, since: start))")
        try herd.until(herd.isSettled, within: Demo.patience)
        try show(herd, "status")
        try showNews(herd)
    }

    private func balance(_ herd: Herd, _ writer: Writer, _ node: HerdNode, _ killed: Moment) throws {
        chapter("Was anything lost?")
        let lost = try writer.lost(readingFrom: try herd.primary().entrance)
        let ages = lost.map { killed - $0.at }.sorted()
        if let youngest = ages.first, let oldest = ages.last {
            let span = oldest == youngest ? "" : "\(oldest.forPeople) to "
            tell("\(lost.count) of \(writer.count) acknowledged writes, all from the end of \(node.name):")
            tell("acknowledged \(span)\(youngest.forPeople) before it was killed.")
        } else {
            tell("Nothing this time: all of \(writer.count) acknowledged writes are there.")
        }
        tell(
            """
            Replication is asynchronous in this version (synchronous_mode = off): what a lost machine had
            acknowledged in its last milliseconds, and no other had received yet, is gone. Both switchovers
            lose nothing, by design: the old primary stops cleanly, and the new one has all of its log before
            it opens.
            """)
    }

    private func finish(_ herd: Herd) throws {
        guard keep else {
            chapter("Cleaning up")
            try herd.destroy()
            return tell("All processes and files of the demo are gone.")
        }
        try herd.keep()
        chapter("The herd stays up (KEEP=1). To play with it:")
        for command in commands(herd) { tell("  \(command)") }
        tell("To stop it and remove everything:")
        tell("  \(Programs.ownPath) stop")
    }

    /// What to type, ready to be copied.
    private func commands(_ herd: Herd) -> [String] {
        let (node, other) = (herd.nodes[0], herd.nodes[1])
        let run = Machine.isRoot ? "setpriv --reuid=postgres --regid=postgres --init-groups " : ""
        let ours = ["status --watch", "switchover", "events --follow"].map {
            "\(run)\(herd.programs["matriarch"]) \($0) --config \(node.configurationPath)"
        }
        let agent = "\(run)\(herd.programs["matriarchd"]) --config \(other.configurationPath)"
        return ["PGPASSWORD=\(node.entrance.password) psql -h \(node.address) -p 5432 -U postgres"] + ours + [
            "curl http://\(node.address):5500/status",
            "tail -f \(herd.directory)/pg*/agent.log",
            "kill -9 $(head -1 \(other.dataDirectory)/postmaster.pid)   # \(other.name)'s Postgres",
            "kill \(other.agentPID ?? 0)   # stops \(other.name); to start it again:",
            "\(agent) >> \(other.logPath) 2>&1 &",
        ]
    }

    // MARK: Telling

    /// Waits until every application had some writes acknowledged again.
    private func goesOn(_ herd: Herd, _ writer: Writer) throws {
        let before = writer.count
        try herd.until("the applications write again", within: Demo.patience) { writer.count > before + 100 }
    }

    private func away(_ writer: Writer, since start: Moment) -> String {
        "Writes were away for \(writer.longestGap(since: start).length.forPeople)."
    }

    private func show(_ herd: Herd, _ words: String...) throws {
        tell("$ matriarch \(words.joined(separator: " "))")
        for line in try lines(herd, words) { tell("    \(line)") }
    }

    /// What `matriarch events` has had to say since the last time.
    private func showNews(_ herd: Herd) throws {
        tell("$ matriarch events\(told.isEmpty ? "" : "   (what is new)")")
        for line in try lines(herd, ["events"]) where told.insert(line).inserted { tell("    \(line)") }
    }

    private func lines(_ herd: Herd, _ words: [String]) throws -> [Substring] {
        guard let node = herd.nodes.first(where: { $0.agentPID != nil }) else {
            throw LabError("no agent is running")
        }
        let outcome = try node.command(words)
        if outcome.status != 0 {
            throw LabError("matriarch \(words.joined(separator: " ")): \(outcome.status): \(outcome.error)")
        }
        return outcome.output.split(whereSeparator: \.isNewline)
    }

    private func chapter(_ title: String) { say("\n== \(title)") }
    private func tell(_ text: String) { say(text) }
}
