/// The voter set, and while it changes the next one beside it (joint consensus).
public struct Voters: Hashable, Codable, Sendable {
    /// Sorted, without duplicates.
    public private(set) var current: [MemberID]
    public private(set) var next: [MemberID]?

    public init(_ current: [MemberID], next: [MemberID]? = nil) {
        self.current = Voters.normal(current)
        self.next = next.map(Voters.normal)
    }

    private static func normal(_ members: [MemberID]) -> [MemberID] {
        var result: [MemberID] = []
        for member in members.sorted() where result.last != member { result.append(member) }
        return result
    }

    public var isJoint: Bool { next != nil }

    /// Everyone with a vote in either set, sorted.
    public var all: [MemberID] { Voters.normal(current + (next ?? [])) }

    public func contains(_ member: MemberID) -> Bool {
        current.contains(member) || (next?.contains(member) ?? false)
    }

    /// Whether a document with these voters may be followed by one with `later`: a change goes through both
    /// sets together, and from there forward or back (protocol: Voter changes).
    public func mayBecome(_ later: Voters) -> Bool {
        guard !later.current.isEmpty, later.next?.isEmpty != true else { return false }
        if later == self { return true }
        if let next {
            return !later.isJoint && (later.current == current || later.current == next)
        }
        return later.isJoint && later.current == current
    }

    /// Whether `agreeing` is a majority of the set, and of both sets while joint.
    public func isMajority(_ agreeing: (MemberID) -> Bool) -> Bool {
        Voters.majority(of: current, agreeing) && (next.map { Voters.majority(of: $0, agreeing) } ?? true)
    }

    private static func majority(of set: [MemberID], _ agreeing: (MemberID) -> Bool) -> Bool {
        !set.isEmpty && set.count(where: agreeing) > set.count / 2
    }

    /// The newest value that a majority (of both sets while joint) has reached or passed; nil when there is
    /// none.
    public func reachedByMajority<Value: Comparable>(_ value: (MemberID) -> Value?) -> Value? {
        guard let first = Voters.reached(in: current, value) else { return nil }
        guard let next else { return first }
        guard let second = Voters.reached(in: next, value) else { return nil }
        return min(first, second)
    }

    private static func reached<Value: Comparable>(
        in set: [MemberID], _ value: (MemberID) -> Value?
    ) -> Value? {
        let values = set.compactMap(value).sorted(by: >)
        let needed = set.count / 2 + 1
        return values.count >= needed ? values[needed - 1] : nil
    }
}
