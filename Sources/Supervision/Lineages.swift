public import Consensus

/// Where a position stands towards the document's history (protocol: Positions; Rejoining).
public enum Standing: Hashable, Sendable {
    /// On the current lineage.
    case current
    /// On an ancestor, at or before the point where the next active lineage left it: following loses nothing.
    case ancestor
    /// Holds WAL that is not part of the current history.
    case diverged
    /// A timeline that the document does not know.
    case unknown
}

/// A log that left the cluster's history (protocol: Rejoining).
public struct Divergence: Hashable, Codable, Sendable, CustomStringConvertible {
    /// The last place of it that is part of the history.
    public var fork: Position
    /// Where it ends.
    public var end: Position

    public init(fork: Position, end: Position) {
        self.fork = fork
        self.end = end
    }

    public var description: String { "the log left the history at \(fork) and ends at \(end)" }
}

extension ClusterDocument {
    public func lineage(_ timeline: Timeline) -> Lineage? { lineages.first { $0.timeline == timeline } }

    /// The lineage of the member that holds, or last held, the primary role.
    public var currentLineage: Lineage? { primary.flatMap { lineage($0.timeline) } }

    /// Whether there is a primary whose lineage members may follow.
    public var hasOpenPrimary: Bool { currentLineage?.status == .open }

    /// The current lineage and its ancestors, newest first. A reserved one is not active: its parent's chain
    /// is.
    public var activeLineages: [Lineage] {
        var chain: [Lineage] = []
        var next = currentLineage
        if let reserved = next, reserved.status != .open { next = reserved.parent.flatMap(lineage) }
        while let lineage = next, chain.count <= lineages.count {
            chain.append(lineage)
            next = lineage.parent.flatMap(self.lineage)
        }
        return chain
    }

    /// Whether `member` holds the timeline that was set aside for it and never seen to open: its promotion
    /// began and its end was lost.
    ///
    /// Nobody is fresher: it has all of the parent up to where it left it, and no client's write past that.
    public func isUnopenedTip(_ position: Position, of member: MemberID) -> Bool {
        guard let lineage = currentLineage, lineage.status == .reserved else { return false }
        return lineage.member == member && lineage.timeline == position.timeline
    }

    public func standing(of position: Position) -> Standing {
        let chain = activeLineages
        guard let place = chain.firstIndex(where: { $0.timeline == position.timeline }) else {
            return lineage(position.timeline) == nil ? .unknown : .diverged
        }
        guard place > 0 else { return .current }
        guard let left = chain[place - 1].switchLSN else { return .diverged }
        return position.lsn <= left ? .ancestor : .diverged
    }

    /// Where the log that ends at `position` left the active lineages; nil when it did not, or when the
    /// document does not know how.
    public func divergence(of position: Position) -> Divergence? {
        let chain = activeLineages
        var (timeline, end) = (position.timeline, position.lsn)
        for _ in 0...lineages.count {
            if let place = chain.firstIndex(where: { $0.timeline == timeline }) {
                let left = place > 0 ? chain[place - 1].switchLSN : end
                guard let left, left < position.lsn || timeline != position.timeline else { return nil }
                return Divergence(
                    fork: Position(timeline: timeline, lsn: min(left, end)), end: position)
            }
            guard let lineage = lineage(timeline), let parent = lineage.parent,
                let start = lineage.switchLSN ?? lineage.startLSN
            else { return nil }
            (timeline, end) = (parent, min(end, start))
        }
        return nil
    }

    /// Whether `left` holds more of the history than `right`. Only for positions that are not diverged.
    public func isFresher(_ left: Position, than right: Position) -> Bool {
        let leftEpoch = lineage(left.timeline)?.epoch ?? 0
        let rightEpoch = lineage(right.timeline)?.epoch ?? 0
        return (leftEpoch, left.lsn) > (rightEpoch, right.lsn)
    }

    /// How far the history is known to go from the promotions that were begun at its end and came to nothing:
    /// who was chosen for one held this much, though its own log has diverged since.
    public var furthestReservation: Position? {
        guard let active = activeLineages.first else { return nil }
        let starts = lineages.filter { $0.status != .open && $0.parent == active.timeline }
            .compactMap(\.startLSN)
        return starts.max().map { Position(timeline: active.timeline, lsn: $0) }
    }

    /// Timelines that were reserved and must never be followed: they are made unusable on each new primary.
    public var burntTimelines: [Timeline] {
        lineages.filter { $0.status == .burnt }.map(\.timeline)
    }

    /// Adds a lineage, and forgets the oldest beyond 128 that are not among the active chain's newest 64.
    public mutating func append(_ lineage: Lineage) {
        let kept = activeLineages.prefix(64).map(\.timeline)
        lineages.append(lineage)
        while lineages.count > 128,
            let oldest = lineages.dropLast().firstIndex(where: { !kept.contains($0.timeline) })
        {
            lineages.remove(at: oldest)
        }
    }
}
