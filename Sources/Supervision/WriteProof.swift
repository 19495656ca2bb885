public import Consensus

/// What the write probe says of the open primary here: that clients' writes come to an end, or do not.
///
/// Nothing is decided by it; it is what `writable` means beyond the lease (protocol: Writable).
struct WriteProof: Hashable, Sendable {
    /// A probe that passed says so much about the time after its beginning: one interval and one budget.
    static let validity = Duration.seconds(3)

    /// When the newest probe that passed had begun.
    var passed: Instant?
    /// The newest probe failed.
    var hasFailed = false
    /// People were told that writes do not come to an end.
    var isAlarmed = false
}

extension Node {
    /// Until when this node may call itself the writable primary; nil when it is not.
    public var writableUntil: Instant? {
        guard isOpen, let deadline = guardian?.deadline, let passed = writes.passed, !writes.hasFailed else {
            return nil
        }
        return min(deadline, passed + WriteProof.validity)
    }

    /// Whether clients are let in here and a probe should find out if they can write.
    public var wantsWriteProbe: Bool { isOpen }

    var isWritable: Bool { writableUntil.map { now < $0 } ?? false }

    /// Why the open primary here is not writable; nil when it is.
    var writesStandStill: String? {
        guard isOpen, !isWritable else { return nil }
        if writes.hasFailed { return "a write to Postgres failed; its log tells why" }
        guard let passed = writes.passed else { return "no write has come to an end yet" }
        return "writes to Postgres do not come to an end since \((now - passed).milliseconds / 1000) s: "
            + "a disk that hangs, or replicas that do not acknowledge"
    }

    mutating func learn(writeBegan: Instant?) {
        writes.hasFailed = writeBegan == nil
        if let writeBegan { writes.passed = writeBegan }
    }

    mutating func watchWrites() {
        guard isOpen, let opened = reign?.openedAt else {
            writes = WriteProof()
            return
        }
        if isWritable {
            guard writes.isAlarmed else { return }
            writes.isAlarmed = false
            record(.init("writes-again", .notice, "writes come to an end again on \(me)"))
        } else if !writes.isAlarmed, now - (writes.passed ?? opened) > WriteProof.validity {
            writes.isAlarmed = true
            record(.init("writes-stuck", .alarm, writesStandStill ?? "writes stand still"))
        }
    }
}
