public import Consensus

/// How far one start of an agent has got with its state file; it rides on every message.
///
/// A member that was put back to an older state can't know it: it has forgotten. Its peers can, because they
/// remember how far it had got (protocol: Rolled back).
public struct Life: Hashable, Codable, Sendable {
    /// The sequence of the state that was found at this start.
    public var began: UInt64
    /// The sequence of the newest state that is on disk.
    public var reached: UInt64

    public init(began: UInt64, reached: UInt64) {
        self.began = began
        self.reached = reached
    }
}

/// The furthest that a member's state file was seen to get, and by which start of it.
public struct Witnessed: Hashable, Codable, Sendable {
    public var member: MemberID
    public var instance: Instance
    public var nonce: BootNonce
    public var reached: UInt64

    public init(member: MemberID, instance: Instance, nonce: BootNonce, reached: UInt64) {
        self.member = member
        self.instance = instance
        self.nonce = nonce
        self.reached = reached
    }
}

/// What peers say to a start of an agent whose state is older than they have seen.
public struct RollbackVerdict: Hashable, Codable, Sendable {
    /// The start that is meant: one that has ended, or begun since, is none of it.
    public var nonce: BootNonce
    public var reached: UInt64
    /// Whether somebody leads who can take the member in again.
    public var isLed: Bool

    public init(nonce: BootNonce, reached: UInt64, isLed: Bool) {
        self.nonce = nonce
        self.reached = reached
        self.isLed = isLed
    }
}

/// Finding out that a member came back with an older state (protocol: Rolled back).
extension Node {
    /// How far the member's state file was seen to get; nil when it was never heard.
    public func witnessed(of member: MemberID) -> UInt64? {
        guard let instance = document?.instance(of: member) else { return nil }
        return known(member, instance)?.reached
    }

    private func known(_ member: MemberID, _ instance: Instance) -> Witnessed? {
        witnesses.first { $0.member == member && $0.instance == instance }
    }

    /// Whether this start of the sender works with an older state than it once had; notes how far it is if
    /// not.
    ///
    /// A start that has ended looks the same while its last messages are under way; they are no loss, and the
    /// verdict means nothing to the start after it.
    mutating func isRolledBack(_ sender: Sender, _ life: Life) -> Bool {
        guard isMember(sender), sender.member != me else { return false }
        if let known = known(sender.member, sender.instance), known.nonce != sender.nonce,
            life.began < known.reached
        {
            return true
        }
        witness(
            Witnessed(
                member: sender.member, instance: sender.instance, nonce: sender.nonce, reached: life.reached))
        return false
    }

    /// Takes what another member saw, or this one: the furthest counts.
    mutating func witness(_ seen: Witnessed) {
        guard seen.member != me, document?.instance(of: seen.member) == seen.instance else { return }
        if let known = known(seen.member, seen.instance) {
            guard seen.reached > known.reached || known.nonce != seen.nonce && seen.reached == known.reached
            else { return }
        }
        witnesses.removeAll { $0.member == seen.member }
        witnesses.append(seen)
        witnesses.sort { $0.member < $1.member }
    }

    mutating func tellRolledBack(_ sender: Sender, on channel: Channel?) {
        let verdict = RollbackVerdict(
            nonce: sender.nonce, reached: known(sender.member, sender.instance)?.reached ?? 0,
            isLed: raft.leader != nil && raft.leader != sender.member && rollback == nil)
        let destination = channel.map { Destination.channel($0) } ?? .member(sender.member)
        effects.append(
            .send(Envelope(cluster: clusterID, body: .rolledBack(verdict)), to: destination))
    }

    /// A peer has seen a newer state of this member than the one that it started with.
    mutating func takeVerdict(_ verdict: RollbackVerdict, from sender: Sender) {
        guard isMember(sender), verdict.nonce == nonce, verdict.reached > ledger.began else { return }
        if rollback == nil {
            drive(.stepDown)
            rollback = verdict
            record(
                .init(
                    "rolled-back", .alarm,
                    "\(sender.member) has seen state \(verdict.reached) of this member, which began with "
                        + "\(ledger.began): it was put back to an older one, and must not vote with it"))
        }
        rollback?.isLed = verdict.isLed
    }

    /// Asks the others again whether there is somebody to be taken in by.
    mutating func seekVerdict() {
        guard let rollback, !rollback.isLed, let document else { return }
        for member in document.members where member.id != me {
            effects.append(.send(Envelope(cluster: clusterID, body: .news), to: .member(member.id)))
        }
    }
}
