import Consensus

/// Watches a herd and says what was broken, if anything; knows nothing of how a Raft works inside.
struct Judges {
    private var leaders: [Term: Sender] = [:]
    private var commits: [Version: TestDocument] = [:]
    private var newest: Entry<TestDocument>?
    private var armedUntil: [MemberID: Instant] = [:]
    private(set) var verdicts: [String] = []
    private(set) var elections = 0
    var commitCount: Int { commits.count }

    mutating func observe(_ member: HerdMember, _ happening: Herd.Happening, at now: Instant) {
        switch happening {
        case .effect(.becameLeader(let term)): elected(member, term, now)
        case .effect(.committed(let entry)): committed(entry, by: member, now)
        case .effect: break
        case .guardArmed(_, let until): armed(member, until, now)
        case .guardEnded: armedUntil[member.id] = nil
        }
    }

    private mutating func elected(_ member: HerdMember, _ term: Term, _ now: Instant) {
        elections += 1
        if let other = leaders[term], other != member.sender {
            verdicts.append("\(now): \(member.id) and \(other.member) both lead term \(term)")
        }
        leaders[term] = member.sender
        guard let newest, let mine = member.raft?.hard.accepted else { return }
        if !mine.document.history.starts(with: newest.document.history) {
            verdicts.append("\(now): \(member.id) leads term \(term) without the committed \(newest.version)")
        }
    }

    private mutating func committed(_ entry: Entry<TestDocument>, by member: HerdMember, _ now: Instant) {
        if let known = commits[entry.version], known != entry.document {
            verdicts.append("\(now): \(member.id) commits another \(entry.version)")
        }
        commits[entry.version] = entry.document
        guard let newest else { return self.newest = entry }
        let isNewer = entry.version > newest.version
        let (older, later) = isNewer ? (newest, entry) : (entry, newest)
        if !later.document.history.starts(with: older.document.history) {
            verdicts.append("\(now): \(later.version) does not build on the committed \(older.version)")
        }
        if isNewer { self.newest = entry }
    }

    private mutating func armed(_ member: HerdMember, _ until: Instant, _ now: Instant) {
        for (other, end) in armedUntil where other != member.id && end > now {
            verdicts.append("\(now): \(member.id) holds a lease while \(other)'s lasts until \(end)")
        }
        armedUntil[member.id] = max(until, armedUntil[member.id] ?? until)
    }
}
