import Consensus

/// What the rules ask of the committed document at every step, drawn from it whenever another is committed.
///
/// An idle member steps many times a second and its document changes once a month.
struct DocumentView: Sendable {
    /// Of the document that this was drawn from.
    let version: Version
    private(set) var clusterID: String?
    /// The record of this very instance.
    private(set) var mine: Member?
    private(set) var isMember = false
    private(set) var isWitness = false
    private(set) var primary: PrimaryRecord?
    private(set) var isPrimaryMine = false
    private(set) var lineage: Lineage?
    private(set) var hasOpenLineage = false
    /// The slots that this member keeps: for all data members but itself, in their order.
    private(set) var slots: [String] = []
    private(set) var asPrimary: ManagedConfiguration?
    private(set) var asStandby: ManagedConfiguration?
    /// Where this member streams from as a valid standby, and while it still has to prove its data.
    private(set) var upstream: Upstream?
    private(set) var joiningUpstream: Upstream?

    /// Whether the entry is another one than this was drawn from.
    func isOutdated(by hard: HardState<ClusterDocument>) -> Bool { hard.committedVersion != version }

    init(_ hard: HardState<ClusterDocument>, for me: MemberID, _ instance: Instance) {
        version = hard.committedVersion
        guard let document = hard.committed?.document else { return }
        clusterID = document.clusterID
        if let record = document.member(me), record.instance == instance { mine = record }
        isMember = mine != nil
        isWitness = mine?.kind == .witness
        primary = document.primary
        isPrimaryMine = isMember && primary?.member == me
        lineage = document.currentLineage
        hasOpenLineage = lineage?.status == .open
        slots = document.members.filter { $0.id != me && $0.kind == .data }.map(\.slotName).sorted()
        asPrimary = configuration(document, me, isPrimary: true)
        asStandby = configuration(document, me, isPrimary: false)
        guard let mine else { return }
        upstream = upstream(document, as: mine.synchronousName, slot: mine.slotName)
        joiningUpstream = upstream(document, as: mine.joiningName, slot: mine.slotName)
    }

    private func configuration(
        _ document: ClusterDocument, _ me: MemberID, isPrimary: Bool
    ) -> ManagedConfiguration {
        let active = document.activeLineages.map(\.timeline)
        var newest = active.first
        // A start here may also follow the timeline that this member began to open.
        if let lineage, lineage.status == .reserved, lineage.member == me { newest = lineage.timeline }
        return ManagedConfiguration(
            synchronousStandbys: isPrimary ? .none : .placeholder,
            memberAddresses: document.members.map(\.address).sorted(), slots: slots,
            credentials: document.credentials, lease: document.lease, isPrimary: isPrimary,
            timeline: newest, history: newest.map { active.contains($0) ? active : [$0] + active })
    }

    private func upstream(_ document: ClusterDocument, as name: String, slot: String) -> Upstream? {
        guard let primary, let source = document.member(primary.member) else { return nil }
        return Upstream(
            member: source.id, address: source.address, port: source.postgresPort, applicationName: name,
            slot: slot, role: document.credentials.replicationRole,
            password: document.credentials.replicationPassword, timeline: primary.timeline)
    }
}
