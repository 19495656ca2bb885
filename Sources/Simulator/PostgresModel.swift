import Consensus
import Supervision

/// A Postgres as far as the agents can tell: a data directory, a server or none, WAL, and standbys that
/// stream.
final class PostgresModel {
    struct Directory {
        var systemIdentifier: UInt64
        var log: Log
        var marker: Term?
        var stoppedCleanly = true
        var checkpointTimeline: Timeline
        var configuration: ManagedConfiguration?
        /// A rewind was interrupted: neither the old nor the new data.
        var isTorn = false
    }

    enum Phase { case recovering, standby, promoting, primary, stopping }

    struct Server {
        var phase = Phase.recovering
        let asPrimary: Bool
        var isGateOpen = false
        var upstream: Upstream?
        var receiver: Receiver?
        /// By the index of the standby's machine.
        var senders: [Int: Sender] = [:]
    }

    /// The standby's end of a stream.
    struct Receiver {
        let number: Int
        let source: Int
        let sourceLife: Int
        let name: String
        var lastHeard: WorldTime
    }

    /// The server's end of a stream.
    struct Sender {
        let name: String
        let receiver: Int
        var sent: LSN
        var flushed: LSN
        var isBusy = false
    }

    unowned let machine: Machine
    let postmaster = Process("postmaster")
    var directory: Directory?
    var server: Server?
    /// Killed processes that are not all gone yet; true while one of them may still write.
    private(set) var isDying = false
    private(set) var diesAsWriter = false
    var connectAttempt = 0

    init(_ machine: Machine) { self.machine = machine }

    var world: World { machine.world }
    var isAlive: Bool { server != nil || isDying }
    var isStarting: Bool { server?.phase == .recovering || server?.phase == .stopping }
    var isInRecovery: Bool {
        guard let server else { return !diesAsWriter }
        switch server.phase {
        case .recovering: return !server.asPrimary
        case .standby: return true
        case .promoting, .primary, .stopping: return false
        }
    }
    /// A primary that takes sessions.
    var isWritable: Bool { server?.phase == .primary }
    /// A primary whose commits do not wait for a name that nobody bears.
    var canAcknowledge: Bool {
        isWritable
            && directory?.configuration?.synchronousStandbys == ManagedConfiguration.SynchronousStandbys.none
    }
    /// The stricter reading for the single writer: until the last process is gone it might.
    var mightAcknowledge: Bool { canAcknowledge || diesAsWriter }

    // MARK: life and death

    func start(asPrimary: Bool, _ configuration: ManagedConfiguration) {
        if directory?.isTorn == true { world.fail("torn data", "\(machine.id) starts what a rewind tore") }
        directory?.configuration = configuration
        let wasClean = directory?.stoppedCleanly ?? true
        directory?.stoppedCleanly = false
        if !postmaster.isAlive { postmaster.start() }
        server = Server(asPrimary: asPrimary)
        machine.guardian.started(asPrimary: asPrimary)
        world.note(machine, "Postgres starts as \(asPrimary ? "primary" : "standby")")
        let recovery =
            Duration.milliseconds(20)
            + (wasClean ? .zero : world.random.duration(upTo: world.options.recoveryTime))
        world.schedule.add(after: recovery, for: postmaster) { [self] in recovered() }
    }

    private func recovered() {
        guard let running = server, running.phase == .recovering else { return }
        server?.phase = running.asPrimary ? .primary : .standby
        world.note(machine, "Postgres is \(running.asPrimary ? "primary" : "standby") at \(position)")
        if running.asPrimary { append(WriteAheadLog.checkpointBytes, write: nil) }
        world.writersMayHaveChanged(machine)
        connectUpstream(after: .milliseconds(10))
    }

    /// Every process is killed; proof of death follows when the last one is gone.
    func kill() {
        guard server != nil else { return }
        diesAsWriter = canAcknowledge
        server = nil
        isDying = true
        closeStreams()
        postmaster.die()
        world.writersMayHaveChanged(machine)
        let delay = .milliseconds(1) + world.random.duration(upTo: world.options.killTime)
        world.schedule.add(after: delay, for: machine.hardware) { [self] in
            guard isDying else { return }
            isDying = false
            diesAsWriter = false
            gone("killed")
        }
    }

    /// The end of a fast stop: everything is flushed, and the directory says so.
    func stopped() {
        directory?.stoppedCleanly = true
        server = nil
        closeStreams()
        postmaster.die()
        gone("stopped")
    }

    private func gone(_ how: String) {
        world.note(machine, "Postgres is gone: \(how)")
        world.writersMayHaveChanged(machine)
        machine.guardian.reaped(how)
    }

    /// The machine lost its power.
    func vanish() {
        server = nil
        isDying = false
        diesAsWriter = false
        postmaster.die()
        while postmaster.isPaused { world.schedule.resume(postmaster) }
    }

    /// Fast stop: sessions end at once, then the standbys get the rest.
    func beginStop(bound: Duration) {
        guard let phase = server?.phase, phase != .stopping else { return }
        if phase == .primary { append(WriteAheadLog.checkpointBytes, write: nil) }
        server?.phase = .stopping
        world.writersMayHaveChanged(machine)
        let began = world.now
        let least = Duration.milliseconds(50) + world.random.duration(upTo: .milliseconds(100))
        func look() {
            guard server?.phase == .stopping else { return }
            let isDrained = server?.senders.values.allSatisfy { $0.flushed >= position.lsn } ?? true
            if isDrained || world.now - began > streamTimeout { return stopped() }
            world.schedule.add(after: .milliseconds(20), for: postmaster) { look() }
        }
        world.schedule.add(after: least, for: postmaster) { look() }
        world.schedule.add(at: began + bound, for: machine.guardian.process) { [self] in
            guard server?.phase == .stopping else { return }
            world.note(machine, "the stop is out of time")
            kill()
        }
    }

    // MARK: promotion

    /// Ends recovery on the number that Postgres itself finds free, like pg_promote.
    func beginPromotion(skipping: [Timeline]) {
        server?.phase = .promoting
        let time =
            Duration.milliseconds(40)
            + world.random.duration(upTo: world.options.promoteTime)
        world.schedule.add(after: time, for: postmaster) { [self] in
            guard server?.phase == .promoting, let log = directory?.log else { return }
            var number = world.wal.timeline(of: log) + 1
            while skipping.contains(number) { number += 1 }
            let promoted = world.wal.promote(log, to: number)
            directory?.log = promoted
            world.observe(.promoted(machine, from: log, to: promoted))
            if world.spoilsNextPromotion {
                world.spoilsNextPromotion = false
                world.note(machine, "Postgres crashes in the promotion to timeline \(number)")
                return kill()
            }
            server?.phase = .primary
            machine.guardian.standbySignalVanished()
            world.note(machine, "Postgres promoted to timeline \(number) at \(log.end)")
            world.writersMayHaveChanged(machine)
        }
    }

    // MARK: writing

    /// One commit: durable here after a flush; then `done` tells whether the client is told so.
    func commit(bytes: UInt64, write: WriteID, done: @escaping (Bool) -> Void) {
        guard isWritable else { return }
        let flush = .microseconds(300) + world.random.duration(upTo: .milliseconds(2))
        world.schedule.add(after: flush, for: postmaster) { [self] in
            guard isWritable else { return }
            append(bytes, write: write)
            done(canAcknowledge)
        }
    }

    private func append(_ bytes: UInt64, write: WriteID?) {
        guard var log = directory?.log else { return }
        let forks = world.wal.append(to: &log, bytes: bytes, write: write)
        directory?.log = log
        if forks { world.observe(.forkedTimeline(machine)) }
        pumpAll()
    }

    // MARK: what the agent sees

    var position: Position {
        directory.map { world.wal.position(of: $0.log) } ?? Position(timeline: 0, lsn: .zero)
    }

    func report() -> PostgresReport {
        var report = PostgresReport(state: state, takenAt: machine.now)
        guard let directory else { return report }
        report.systemIdentifier = directory.systemIdentifier
        report.foundingMarker = directory.marker
        report.isTorn = directory.isTorn
        report.checkpointTimeline = directory.checkpointTimeline
        report.version = "15.18"
        guard let server else {
            // After a crash the control file tells a lower bound only: here, where the timeline began.
            let isKnown = directory.stoppedCleanly && !isDying
            let start = world.wal.branches[directory.log.branch].start
            report.position = isKnown ? position : Position(timeline: position.timeline, lsn: start)
            report.settled = isKnown ? position : nil
            return report
        }
        if postmaster.isPaused { return report }
        report.gate = server.isGateOpen ? .open : .closed
        if server.phase == .recovering { return report }
        report.position = position
        report.replayed = position.lsn
        if server.phase == .standby, !server.isGateOpen, server.receiver == nil { report.settled = position }
        if let receiver = server.receiver {
            report.streaming = true
            report.streamingFrom = server.upstream.map { "\($0.address):\($0.port)" }
            report.streamingName = receiver.name
        }
        if server.phase == .primary {
            report.standbys = server.senders.sorted { $0.key < $1.key }.map { _, sender in
                StandbyProgress(
                    name: sender.name, state: "streaming", flushed: sender.flushed, replayed: sender.flushed,
                    lagSeconds: nil)
            }
        }
        return report
    }

    private var state: PostgresReport.State {
        if directory == nil { return .absent }
        guard let server else { return isDying ? .unresponsive : .stopped }
        if postmaster.isPaused { return .unresponsive }
        switch server.phase {
        case .recovering, .stopping: return .starting
        case .standby, .promoting: return .standby
        case .primary: return .primary
        }
    }
}
