import Glibc
import Lab

/// `make demo`: a herd from birth to failover and back, told to somebody who runs Postgres.
struct Demo {
    private let keep: Bool
    private static let patience: Duration = .seconds(90)

    init(keep: Bool) { self.keep = keep }

    func run() throws {
        let herd = try Herd(Herd.Options(placement: .loopback))
        try introduce(herd)
        try herd.start()
        let view = try herd.until(herd.isWhole, within: Demo.patience)
        chapter("The herd is up: \(view.primary ?? "nobody") is the primary, the others were cloned from it")
        try show(herd, "status")

        try Writer.prepare(herd.nodes[0].entrance)
        let writer = Writer(through: herd.entrances)
        chapter(
            "Three applications write, one through port 5432 of each node, every \(Writer.beat.forPeople)")
        try writer.start()
        try herd.until("the applications write") { writer.count > 300 }
        tell("\(writer.count) writes acknowledged; whichever node they connect to, they reach the primary.")

        let lost = try loseMachine(herd, writer)
        try switchByCommand(herd, writer, notTo: lost)
        try switchBySignal(herd, writer)
        writer.stop()
        try balance(herd, writer)

        chapter("What happened, as the herd remembers it")
        try show(herd, "events")
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

    /// - Returns: the node that was lost; it is a replica again.
    private func loseMachine(_ herd: Herd, _ writer: Writer) throws -> HerdNode {
        let lost = try herd.primary()
        let number = lost.processes.count
        chapter("\(lost.name)'s machine is lost: kill -9 of all its \(number) processes at once")
        let start = Moment.current
        try lost.losePower()
        let view = try herd.until(.primary(isNot: lost.name), within: Demo.patience)
        try goesOn(herd, writer)
        tell("\(view.primary ?? "?") is the new primary. \(away(writer, since: start))")
        tell("A lost machine is replaced once its lease (5 s) is over for sure: it might still be writing.")
        try show(herd, "status")

        chapter("\(lost.name) comes back")
        let back = Moment.current
        try lost.returnPower()
        try herd.until(.replica(lost.name), within: Demo.patience)
        tell("\(lost.name) put itself right and is a replica after \((Moment.current - back).forPeople).")
        return lost
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
        try herd.until(herd.isWhole, within: Demo.patience)
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
        try herd.until(herd.isWhole, within: Demo.patience)
        try show(herd, "status")
    }

    private func balance(_ herd: Herd, _ writer: Writer) throws {
        chapter("Was anything lost?")
        let lost = try writer.lost(readingFrom: try herd.primary().entrance)
        tell("\(writer.count) writes were acknowledged; missing now: \(lost.count).")
        tell(
            """
            Replication is asynchronous in this version (synchronous_mode = off): what the lost machine had
            acknowledged in its last milliseconds and not sent yet is gone. Both switchovers lose nothing, by
            design: the old primary stops cleanly and the new one has all of its log before it opens.
            """)
    }

    private func finish(_ herd: Herd) throws {
        guard keep else {
            chapter("Cleaning up")
            try herd.destroy()
            return tell("All processes and files of the demo are gone.")
        }
        try herd.keep()
        let node = herd.nodes[0]
        chapter("The herd stays up (KEEP=1). To play with it:")
        let run = Machine.isRoot ? "setpriv --reuid=postgres --regid=postgres --init-groups " : ""
        tell("  PGPASSWORD=\(node.entrance.password) psql -h \(node.address) -p 5432 -U postgres")
        for words in ["status --watch", "switchover", "events"] {
            tell("  \(run)\(herd.programs["matriarch"]) \(words) --config \(node.configurationPath)")
        }
        tell("  curl http://\(node.address):5500/status")
        tell("  tail -f \(herd.directory)/pg*/agent.log")
        tell("To stop it and remove everything:")
        tell("  \(CommandLine.arguments[0]) stop")
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
        guard let node = herd.nodes.first(where: { $0.agentPID != nil }) else {
            throw LabError("no agent is running")
        }
        tell("$ matriarch \(words.joined(separator: " "))")
        let outcome = try node.command(words)
        for line in outcome.output.split(whereSeparator: \.isNewline) { tell("    \(line)") }
        if outcome.status != 0 {
            throw LabError("matriarch \(words.joined(separator: " ")): \(outcome.status): \(outcome.error)")
        }
    }

    private func chapter(_ title: String) { say("\n== \(title)") }
    private func tell(_ text: String) { say(text) }
}
