import Consensus

/// One member of the herd: its machine's clock, disk, tmpfs and guard, and the agent while it runs.
final class HerdMember {
    let id: MemberID
    var instance: Instance
    var nonce: BootNonce = 0
    var raft: Raft<TestDocument>?

    /// When the agent wants its next step, on the world's clock.
    var wakeAt = Instant.distantFuture

    /// The boot clock: its value at the start of the world, and by how many millionths it runs fast.
    var clockOffset: Duration = .zero
    var clockError = 0

    /// What is on disk.
    var disk = HardState<TestDocument>()
    /// Ordered but not yet on disk, oldest first.
    var writes: [Write] = []
    /// Messages that wait for the write with their token.
    var held: [(token: UInt64, message: Message<TestDocument>, to: MemberID)] = []
    /// While true, writes wait for `persist`.
    var isDiskSlow = false
    var newestToken: UInt64 = 0

    /// What tmpfs remembers; gone when the machine restarts.
    var promise: Promise?
    var ranInThisBoot = false

    var standing = GuardStanding.disarmed
    /// When the guard ends the primary, on the world's clock.
    var guardDeadline: Instant?
    var fitness = Fitness.unfit

    struct Write {
        var token: UInt64
        var hard: HardState<TestDocument>
        var doneAt: Instant
    }

    init(_ id: MemberID) {
        self.id = id
        instance = TestDocument.firstInstance(of: id)
    }

    var sender: Sender { Sender(member: id, instance: instance, nonce: nonce) }

    /// What this member's clock shows at an instant of the world.
    func local(_ world: Instant) -> Instant {
        let elapsed = world.nanoseconds
        let error =
            elapsed / 1_000_000 * Int64(clockError) + elapsed % 1_000_000 * Int64(clockError) / 1_000_000
        return Instant(nanoseconds: elapsed + error) + clockOffset
    }

    /// The first instant of the world at which this member's clock shows `local` or later.
    func world(_ local: Instant) -> Instant {
        if local == .distantFuture { return .distantFuture }
        let target = local - clockOffset
        var guess = Instant(
            nanoseconds: Int64(Double(target.nanoseconds) / (1 + Double(clockError) * 1e-6)))
        while self.local(guess) >= local { guess = guess - .microseconds(1) }
        while self.local(guess) < local { guess = guess + .nanoseconds(100) }
        return guess
    }
}
