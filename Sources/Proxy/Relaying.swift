internal import Glibc
internal import Platform
internal import Synchronization

/// One direction of a session.
struct Pipe {
    /// What was read and could not be written yet; while there is any, no more is read. At most
    /// `Limit.chunkBytes`.
    var pending: [UInt8] = []
    /// How much of `pending` is written.
    var written = 0
    /// The source has said all; the sink is told so once `pending` is written.
    var isEnding = false
    /// The sink has been told.
    var hasEnded = false

    var isBlocked: Bool { !pending.isEmpty }

    enum Outcome {
        case goOn
        /// Nobody takes the bytes any more, or the connection failed.
        case broken
    }

    /// Reads once from `source` and writes once to `sink`: what is read together is small or soon comes
    /// again.
    mutating func move(
        from source: Int32, to sink: Int32, through buffer: UnsafeMutableRawBufferPointer,
        count: borrowing Atomic<UInt64>
    ) -> Outcome {
        switch try? Sockets.read(source, into: buffer) {
        case .wouldBlock: return .goOn
        case nil: return .broken
        case .closed:
            isEnding = true
            return finish(sink)
        case .bytes(let length):
            let bytes = UnsafeRawBufferPointer(rebasing: buffer[..<length])
            count.add(UInt64(length), ordering: .relaxed)
            switch try? Sockets.write(sink, bytes) {
            case .bytes(length): return .goOn
            case .bytes(let some): pending = Array(bytes[some...])
            case .wouldBlock: pending = Array(bytes)
            case .closed, nil: return .broken
            }
            return .goOn
        }
    }

    /// Writes on what waits.
    mutating func flush(to sink: Int32) -> Outcome {
        while isBlocked {
            let outcome = pending.withUnsafeBytes { bytes in
                try? Sockets.write(sink, UnsafeRawBufferPointer(rebasing: bytes[written...]))
            }
            switch outcome {
            case .bytes(let count): written += count
            case .wouldBlock: return .goOn
            case .closed, nil: return .broken
            }
            if written == pending.count {
                pending = []
                written = 0
            }
        }
        return finish(sink)
    }

    private mutating func finish(_ sink: Int32) -> Outcome {
        if isEnding, !hasEnded, !isBlocked {
            Sockets.shutdownWriting(sink)
            hasEnded = true
        }
        return .goOn
    }
}

extension Session {
    func relayClient(_ ready: Readiness) {
        guard let server else { return }
        var outcome = Pipe.Outcome.goOn
        if ready.contains(.write), toClient.isBlocked { outcome = toClient.flush(to: client.fd) }
        if outcome == .goOn, ready.contains(.read), client.interest.contains(.read) {
            outcome = toServer.move(
                from: client.fd, to: server.fd, through: relay.buffer, count: relay.traffic.toServer)
        }
        settle(outcome)
    }

    func relayServer(_ ready: Readiness) {
        guard let server else { return }
        var outcome = Pipe.Outcome.goOn
        if ready.contains(.write), toServer.isBlocked { outcome = toServer.flush(to: server.fd) }
        if outcome == .goOn, ready.contains(.read), server.interest.contains(.read) {
            outcome = toClient.move(
                from: server.fd, to: client.fd, through: relay.buffer, count: relay.traffic.toClient)
        }
        settle(outcome)
    }

    /// Waits for what can be done next: a side is read only while all that came from it is passed on, so
    /// that a slow reader slows its writer and not this process.
    private func settle(_ outcome: Pipe.Outcome) {
        if outcome == .broken || (toServer.hasEnded && toClient.hasEnded) { return end() }
        wantClient(Self.interest(reading: toServer, writing: toClient))
        wantServer(Self.interest(reading: toClient, writing: toServer))
    }

    private static func interest(reading source: Pipe, writing sink: Pipe) -> Interest {
        var interest: Interest = []
        if !source.isEnding, !source.isBlocked { interest.insert(.read) }
        if sink.isBlocked { interest.insert(.write) }
        return interest
    }
}
