import Consensus

/// Whom a member copies: a standby that its operator offers for it, which spares the primary (protocol:
/// Rejoining).
extension Node {
    /// After so many failures in a row the primary itself is copied.
    private static let offerLimit = 2

    /// Either way the copy proves itself by what the primary has.
    var copySource: Upstream? {
        guard var source = view.joiningUpstream else { return nil }
        if failures.count("clone") < Node.offerLimit, let standby = offeredStandby {
            (source.member, source.address, source.port) = (
                standby.id, standby.address, standby.postgresPort
            )
        }
        return source
    }

    /// The nearest standby tagged `clonefrom` that holds about what the primary has.
    private var offeredStandby: Member? {
        guard let document, let mine = myRecord, let primary = freshBeacon?.position else { return nil }
        let offered = document.members.filter { member in
            guard member.isOfferedForCopies, member.id != me, isReachable(member.id),
                let heard = report(of: member.id)?.report, heard.dataState == .valid, heard.streaming,
                let theirs = heard.position, theirs.timeline == primary.timeline
            else { return false }
            return theirs.lsn.behind(primary.lsn) <= document.maximumLagOnFailover
        }
        func distance(_ member: Member) -> Int { member.region == mine.region ? 0 : 1 }
        return offered.min { (distance($0), $0.id) < (distance($1), $1.id) }
    }
}
