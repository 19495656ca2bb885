import Consensus
import Supervision

/// How a standby gets its WAL: one stream from its upstream, which repairs loss by itself and ends when the
/// other side was silent for too long.
extension PostgresModel {
    static let retryInterval = Duration.milliseconds(100)
    /// A refused standby asks again, too, but nothing will change soon.
    static let refusedRetryInterval = Duration.seconds(1)
    static let resendInterval = Duration.milliseconds(200)
    static let chunkInterval = Duration.milliseconds(100)

    /// wal_receiver_timeout and wal_sender_timeout, as managed.
    var streamTimeout: Duration { world.options.lease.clamped(to: .seconds(3)...(.seconds(10))) }

    // MARK: the standby's end

    /// Lets the walreceiver connect, to another upstream than before if that changed.
    func openGate(towards upstream: Upstream) {
        guard server?.phase == .standby || server?.phase == .recovering else { return }
        if server?.upstream == upstream, server?.isGateOpen == true { return }
        endReceiver()
        server?.upstream = upstream
        server?.isGateOpen = true
        connectUpstream(after: .milliseconds(20))
    }

    func closeGate() {
        server?.isGateOpen = false
        server?.upstream = nil
        endReceiver()
    }

    private func endReceiver() {
        connectAttempt += 1
        guard let receiver = server?.receiver else { return }
        server?.receiver = nil
        world.note(machine, "walreceiver ends")
        let source = world.machines[receiver.source]
        let delay = world.network.streamDelay(&world.random)
        guard world.network.connects(machine.index, source.index, .replication) else { return }
        let index = machine.index
        world.schedule.add(after: delay, for: source.postgres.postmaster) {
            source.postgres.endSender(to: index, receiver: receiver.number)
        }
    }

    func connectUpstream(after delay: Duration) {
        let attempt = connectAttempt
        world.schedule.add(after: delay, for: postmaster) { [self] in
            guard attempt == connectAttempt, server?.phase == .standby, server?.isGateOpen == true,
                server?.receiver == nil, let upstream = server?.upstream
            else { return }
            switch connect(to: upstream) {
            case nil: break
            case .some(let wait): connectUpstream(after: wait)
            }
        }
    }

    /// - Returns: when to try again; nil when a stream is up.
    private func connect(to upstream: Upstream) -> Duration? {
        guard let source = world.machine(at: upstream.address), source !== machine,
            world.network.connects(machine.index, source.index, .replication),
            source.postgres.postmaster.isRunning, let serving = source.postgres.server,
            serving.phase == .primary || serving.phase == .standby,
            let mine = directory, let theirs = source.postgres.directory
        else { return PostgresModel.retryInterval }
        if let refusal = refusal(upstream, mine: mine, theirs: theirs) {
            world.note(machine, "no stream from \(source.id): \(refusal)")
            return PostgresModel.refusedRetryInterval
        }
        connectAttempt += 1
        let number = connectAttempt
        server?.receiver = Receiver(
            number: number, source: source.index, sourceLife: source.postgres.postmaster.life,
            name: upstream.applicationName, lastHeard: world.now)
        source.postgres.server?.senders[machine.index] = Sender(
            name: upstream.applicationName, receiver: number, sent: mine.log.end, flushed: mine.log.end)
        world.note(machine, "streams from \(source.id) as \(upstream.applicationName)")
        world.observe(.streamBegan(machine, from: source))
        watchStream(number)
        source.postgres.pump(to: machine.index)
        return nil
    }

    private func refusal(_ upstream: Upstream, mine: Directory, theirs: Directory) -> String? {
        guard mine.systemIdentifier == theirs.systemIdentifier else { return "another system identifier" }
        guard let configuration = theirs.configuration else { return "not configured" }
        guard configuration.memberAddresses.contains(machine.settings.member.address) else {
            return "no pg_hba.conf entry"
        }
        guard configuration.slots.contains(upstream.slot) else {
            return "replication slot \(upstream.slot) does not exist"
        }
        guard configuration.credentials.replicationPassword == upstream.password else {
            return "password authentication failed"
        }
        return world.wal.refusal(of: mine.log, by: theirs.log)?.rawValue
    }

    /// Notices a dead upstream: at once when its machine says so, by silence otherwise.
    private func watchStream(_ number: Int) {
        world.schedule.add(after: streamTimeout / 4, for: postmaster) { [self] in
            guard let receiver = server?.receiver, receiver.number == number else { return }
            let source = world.machines[receiver.source]
            let isReached = world.network.connects(machine.index, source.index, .replication)
            let lives =
                source.postgres.postmaster.isAlive && source.postgres.postmaster.life == receiver.sourceLife
            if isReached, lives, source.postgres.postmaster.isRunning {
                server?.receiver?.lastHeard = world.now
            }
            let isReset = isReached && !lives && source.hardware.isRunning
            if isReset || world.now - receiver.lastHeard > streamTimeout {
                endReceiver()
                return connectUpstream(after: PostgresModel.retryInterval)
            }
            watchStream(number)
        }
    }

    // MARK: the server's end

    func pumpAll() {
        guard let standbys = server?.senders.keys.sorted() else { return }
        for standby in standbys { pump(to: standby) }
    }

    /// Sends what the standby does not have yet, one piece at a time.
    func pump(to standby: Int) {
        guard let sender = server?.senders[standby], !sender.isBusy, let log = directory?.log,
            sender.sent < log.end
        else { return }
        let most = world.troubles ? world.options.replicationRate / 10 : 10 << 20
        let upTo = LSN(min(log.end.bytes, sender.sent.bytes + most))
        server?.senders[standby]?.isBusy = true
        server?.senders[standby]?.sent = upTo
        let isThrottled = upTo < log.end
        let delay =
            world.network.streamDelay(&world.random) + (isThrottled ? PostgresModel.chunkInterval : .zero)
        deliver(
            world.wal.prefix(of: log, upTo: upTo), to: world.machines[standby], sender.receiver, after: delay)
    }

    private func deliver(_ part: Log, to standby: Machine, _ receiver: Int, after delay: Duration) {
        let source = machine.index
        let life = postmaster.life
        world.schedule.add(after: delay, for: standby.postgres.postmaster) { [self] in
            guard standby.postgres.server?.receiver?.number == receiver else { return }
            if world.network.isCut(source, standby.index, .replication) {
                return deliver(part, to: standby, receiver, after: PostgresModel.resendInterval)
            }
            standby.postgres.receive(part, from: machine)
            acknowledge(
                part.end, from: standby, receiver, life, after: world.network.streamDelay(&world.random))
        }
    }

    private func receive(_ part: Log, from source: Machine) {
        guard let mine = directory?.log else { return }
        if !world.wal.contains(mine, in: part) { world.observe(.receivedForeignBytes(machine, from: source)) }
        directory?.log = part
        server?.receiver?.lastHeard = world.now
        world.observe(.flushed(machine, from: source))
        pumpAll()
    }

    private func acknowledge(
        _ flushed: LSN, from standby: Machine, _ receiver: Int, _ life: Int, after delay: Duration
    ) {
        world.schedule.add(after: delay, for: postmaster) { [self] in
            guard postmaster.life == life, server?.senders[standby.index]?.receiver == receiver else {
                return
            }
            if world.network.isCut(standby.index, machine.index, .replication) {
                return acknowledge(
                    flushed, from: standby, receiver, life, after: PostgresModel.resendInterval)
            }
            server?.senders[standby.index]?.flushed = flushed
            server?.senders[standby.index]?.isBusy = false
            pump(to: standby.index)
        }
    }

    func endSender(to standby: Int, receiver: Int) {
        guard server?.senders[standby]?.receiver == receiver else { return }
        server?.senders[standby] = nil
        world.note(machine, "walsender to \(world.machines[standby].id) ends")
    }

    /// The server is gone: standbys that can be told are told.
    func closeStreams() {
        for other in world.machines where other.postgres.server?.receiver?.source == machine.index {
            guard world.network.connects(machine.index, other.index, .replication),
                let number = other.postgres.server?.receiver?.number
            else { continue }
            let delay = world.network.streamDelay(&world.random)
            world.schedule.add(after: delay, for: other.postgres.postmaster) {
                guard other.postgres.server?.receiver?.number == number else { return }
                other.postgres.endReceiver()
                other.postgres.connectUpstream(after: PostgresModel.retryInterval)
            }
        }
    }
}
