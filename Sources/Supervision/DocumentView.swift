import Consensus

/// What the rules ask of the committed document at every step, drawn from it whenever another is committed.
///
/// An idle member steps many times a second and its document changes once a month.
final class DocumentView: Sendable {
    /// Of the document that this was drawn from.
    let version: Version
    let clusterID: String?
    /// The record of this very instance.
    let mine: Member?
    let isMember: Bool
    let isWitness: Bool
    let primary: PrimaryRecord?
    let isPrimaryMine: Bool
    let lineage: Lineage?
    let hasOpenLineage: Bool
    /// The slots that this member keeps: for all data members but itself, in their order.
    let slots: [String]
    let asPrimary: ManagedConfiguration?
    let asStandby: ManagedConfiguration?
    /// Where this member streams from as a valid standby, and while it still has to prove its data.
    let upstream: Upstream?
    let joiningUpstream: Upstream?

    init(_ hard: HardState<ClusterDocument>, for me: MemberID, _ instance: Instance) {
        let document = hard.committed?.document
        let record = document?.member(me)
        let mine = record?.instance == instance ? record : nil
        let others = document?.members.filter { $0.id != me && $0.kind == .data } ?? []
        version = hard.committedVersion
        clusterID = document?.clusterID
        self.mine = mine
        isMember = mine != nil
        isWitness = mine?.kind == .witness
        primary = document?.primary
        isPrimaryMine = mine != nil && document?.primary?.member == me
        lineage = document?.currentLineage
        hasOpenLineage = document?.hasOpenPrimary ?? false
        slots = others.map(\.slotName).sorted()
        asPrimary = document?.configuration(of: me, slots: slots, isPrimary: true)
        asStandby = document?.configuration(of: me, slots: slots, isPrimary: false)
        upstream = mine.flatMap { document?.upstream(for: $0, named: $0.synchronousName) }
        joiningUpstream = mine.flatMap { document?.upstream(for: $0, named: $0.joiningName) }
    }

    /// Whether the entry is another one than this was drawn from.
    func isOutdated(by hard: HardState<ClusterDocument>) -> Bool { hard.committedVersion != version }
}

extension ClusterDocument {
    fileprivate func configuration(
        of me: MemberID, slots: [String], isPrimary: Bool
    ) -> ManagedConfiguration {
        let active = activeLineages.map(\.timeline)
        var newest = active.first
        // A start here may also follow the timeline that this member began to open.
        if let lineage = currentLineage, lineage.status == .reserved, lineage.member == me {
            newest = lineage.timeline
        }
        return ManagedConfiguration(
            synchronousStandbys: isPrimary ? .none : .placeholder,
            memberAddresses: members.map(\.address).sorted(), slots: slots,
            credentials: credentials, lease: lease, isPrimary: isPrimary,
            timeline: newest, history: newest.map { active.contains($0) ? active : [$0] + active })
    }

    fileprivate func upstream(for member: Member, named name: String) -> Upstream? {
        guard let primary, let source = self.member(primary.member) else { return nil }
        return Upstream(
            member: source.id, address: source.address, port: source.postgresPort, applicationName: name,
            slot: member.slotName, role: credentials.replicationRole,
            password: credentials.replicationPassword, timeline: primary.timeline)
    }
}
