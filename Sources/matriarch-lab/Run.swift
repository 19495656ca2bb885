import Glibc
import Lab

/// Reads the command line and runs one of the laboratory's programs; never returns.
func run() -> Never {
    let words = Array(CommandLine.arguments.dropFirst())
    do {
        switch (words.first, Array(words.dropFirst())) {
        case ("demo", []): try Demo(keep: false).run()
        case ("demo", ["--keep"]): try Demo(keep: true).run()
        case ("bench", let options): try Bench(options).run()
        case ("stop", []): stop()
        case ("hold", []): try hold()
        default: usage()
        }
        exit(EXIT_SUCCESS)
    } catch {
        say("matriarch-lab: \(error)", to: STDERR_FILENO)
        exit(EXIT_FAILURE)
    }
}

private let usageExit: Int32 = 64

private func usage() -> Never {
    say(
        """
        usage: matriarch-lab demo [--keep]   three nodes on this machine, shown from birth to failover
               matriarch-lab stop            ends the herds that `demo --keep` left running
               matriarch-lab bench           measures failovers, beside Postgres without Matriarch
        """, to: STDERR_FILENO)
    exit(usageExit)
}

private func stop() {
    let stopped = Registry.stopLeft()
    say(stopped.isEmpty ? "no herd of yours was left running" : "stopped: \(stopped.joined(separator: ", "))")
}

/// Two plain servers until somebody ends us: what the test of clearing up interrupts.
private func hold() throws {
    let pair = try PlainPostgresPair(.strangers)
    say("holding \(pair.directory) \(pair.tag)")
    while true { pause() }
}

/// One line; nothing any more once an interrupt clears up.
func say(_ text: String, to descriptor: Int32 = STDOUT_FILENO) {
    Registry.giveWay()
    let line = text + "\n"
    _ = line.withCString { write(descriptor, $0, strlen($0)) }
}
