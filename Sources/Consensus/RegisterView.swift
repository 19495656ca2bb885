/// What the rules ask of the register at every step, drawn from its two slots whenever they change.
///
/// Documents are large and their type is not known here; this keeps each step from copying them.
struct RegisterView: Hashable, Sendable {
    /// A member of the accepted document, under the instance on record.
    struct Seat: Hashable, Sendable {
        var member: MemberID
        var instance: Instance?
    }

    var accepted = Version.none
    var committed = Version.none
    /// Of the accepted document; nil while the register is empty.
    var lease: Duration?
    var committedLease: Duration?
    /// Who votes: the *accepted* document says so, committed or not (protocol: Voter changes).
    var voters: Voters?
    /// Everyone who receives the register, and everyone who votes; sorted.
    var seats: [Seat] = []

    /// The longer lease of the two slots: what a promise, and the wait after a boot, must outlast.
    var longestLease: Duration { max(lease ?? .zero, committedLease ?? .zero) }

    func instance(of member: MemberID) -> Instance? {
        seats.first { $0.member == member }?.instance
    }

    init() {}

    init<Document>(_ hard: HardState<Document>) {
        guard let accepted = hard.accepted else { return }
        self.accepted = accepted.version
        committed = hard.committedVersion
        lease = accepted.document.lease
        committedLease = hard.committed?.document.lease
        voters = accepted.document.voters
        seats = Voters(accepted.document.recipients + accepted.document.voters.all).current.map {
            Seat(member: $0, instance: accepted.document.instance(of: $0))
        }
    }
}
