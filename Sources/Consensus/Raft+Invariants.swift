/// What may never go back; compared after each step.
struct Floor: Hashable, Sendable {
    var term: Term
    var accepted: Version
    var committed: Version
}

extension Raft {
    mutating func checkInvariants() {
        let reached = Floor(term: hard.term, accepted: register.accepted, committed: register.committed)
        invariant(reached.term >= floor.term, "term went back from \(floor.term) to \(reached.term)")
        invariant(reached.accepted >= floor.accepted, "accepted went back from \(floor.accepted)")
        invariant(reached.committed >= floor.committed, "committed went back from \(floor.committed)")
        invariant(reached.committed <= reached.accepted, "\(reached.committed) committed but not accepted")
        invariant(reached.accepted.term <= hard.term, "accepted \(reached.accepted) in term \(hard.term)")
        invariant((promise?.term ?? 0) <= hard.term, "promised in a term after \(hard.term)")
        floor = reached
        switch role {
        case .follower: break
        case .candidate(let candidate):
            invariant(
                candidate.isPreVote || hasOwnVote, "a candidate of term \(hard.term) without its own vote")
        case .leader:
            invariant(hasOwnVote, "a leader of term \(hard.term) without its own vote")
            invariant(releasedTerm < hard.term, "term \(hard.term) was released and is led")
            invariant(
                reached.accepted.term == hard.term, "a leader of \(hard.term) holds \(reached.accepted)")
        }
    }

    var hasOwnVote: Bool {
        hard.votedFor?.candidate == identity.member && hard.votedFor?.nonce == identity.nonce
    }
}
