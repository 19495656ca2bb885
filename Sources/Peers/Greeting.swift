/// Why a link to or from somebody is refused. The secret was right unless the case says otherwise.
public enum RefusalReason: Hashable, Sendable, CustomStringConvertible {
    /// It offered a secret that is not ours.
    case otherSecret
    /// It does not accept the secret that we offered.
    case secretRefused
    /// It speaks TLS, but offers no shared secret.
    case noSecret
    case otherCluster(theirs: String, ours: String)
    /// It bears this node's name, but is another machine, or a copy of this one.
    case ownName(String, instance: String)
    /// Somebody else answers where this peer was to be found.
    case otherName(expected: String, found: String)
    case otherVersions(theirs: ClosedRange<UInt8>, ours: ClosedRange<UInt8>)
    /// What it sends is not what an agent sends.
    case malformed(String)
    case tooManyLinks(Int)
    /// It refused us, and said why.
    case refusedByPeer(String)

    /// Reasons of one kind from one address are one entry in the log.
    var kind: Int {
        switch self {
        case .otherSecret: 1
        case .secretRefused: 2
        case .noSecret: 3
        case .otherCluster: 4
        case .ownName: 5
        case .otherName: 6
        case .otherVersions: 7
        case .malformed: 8
        case .tooManyLinks: 9
        case .refusedByPeer: 10
        }
    }

    public var description: String {
        switch self {
        case .otherSecret:
            "its cluster secret is not ours; copy the secret file of this cluster to it if it belongs here"
        case .secretRefused:
            "it does not accept our cluster secret; both nodes need the same secret file"
        case .noSecret: "it offers no cluster secret; is this the peer port of an agent?"
        case .otherCluster(let theirs, let ours):
            "its cluster_name is '\(theirs)', ours is '\(ours)'"
        case .ownName(let name, let instance):
            "it says that it is '\(name)' too (instance \(instance)); node_name must be unique in a cluster"
        case .otherName(let expected, let found):
            "'\(found)' answers where '\(expected)' should; is the address right?"
        case .otherVersions(let theirs, let ours):
            "it speaks peer protocol \(spoken(theirs)), this node \(spoken(ours)): upgrade matriarchd "
                + (theirs.upperBound < ours.lowerBound ? "there" : "on this node") + ", one version at a time"
        case .malformed(let what): "it sent what no agent sends: \(what)"
        case .tooManyLinks(let limit): "there are \(limit) incoming links already"
        case .refusedByPeer(let text): "it refused us: \(text)"
        }
    }
}

extension RefusalReason {
    /// Whether it does not mend itself, and a cluster that worked may be losing a member by it.
    public var callsForAPerson: Bool { if case .otherVersions = self { true } else { false } }
}

private func spoken(_ versions: ClosedRange<UInt8>) -> String {
    versions.count == 1 ? "\(versions.lowerBound)" : "\(versions.lowerBound) to \(versions.upperBound)"
}

/// What a hello amounts to.
enum Verdict: Equatable {
    case welcome(PeerIdentity)
    /// The other end is this very process.
    case oneself
    case refused(RefusalReason)
}

extension Hello {
    /// Judges the other side's hello. `expected` is who was to be found at the address that was dialled, if
    /// known.
    ///
    /// Being oneself comes before all else: it also defeats an attacker without the secret who sends our own
    /// connection back to us, which the shared secret alone could not tell from a peer.
    func judged(by local: LocalIdentity, expecting expected: String?) -> Verdict {
        let isSameInstance = nodeName == local.nodeName && instance == local.instance
        if isSameInstance, nonce == local.nonce, clusterName == local.clusterName { return .oneself }
        guard clusterName == local.clusterName else {
            return .refused(.otherCluster(theirs: clusterName, ours: local.clusterName))
        }
        let newest = min(versions.upperBound, local.versions.upperBound)
        guard newest >= versions.lowerBound, newest >= local.versions.lowerBound else {
            return .refused(.otherVersions(theirs: versions, ours: local.versions))
        }
        guard nodeName != local.nodeName else { return .refused(.ownName(nodeName, instance: instance)) }
        if let expected, expected != nodeName {
            return .refused(.otherName(expected: expected, found: nodeName))
        }
        return .welcome(
            PeerIdentity(
                name: nodeName, instance: instance, nonce: nonce, agentVersion: agentVersion,
                advertised: advertised, version: newest))
    }
}

/// A refusal as the last frame of a link: its text for the other side's log.
enum Farewell {
    static let maxBytes = 512

    static func frame(_ reason: RefusalReason) -> Frame {
        let text = Array(seenFromThere(reason).utf8.prefix(maxBytes))
        return Frame(version: Frame.greetingVersion, kind: .refusal, payload: text)
    }

    static func text(of payload: [UInt8]) -> String {
        let text = String(decoding: payload.prefix(maxBytes), as: UTF8.self)
        // It goes into a log: no control characters from outside.
        return String(
            String.UnicodeScalarView(text.unicodeScalars.filter { $0.value >= 0x20 && $0.value != 0x7F }))
    }

    private static func seenFromThere(_ reason: RefusalReason) -> String {
        switch reason {
        case .otherCluster(let theirs, let ours): "your cluster_name is '\(theirs)', mine is '\(ours)'"
        case .ownName(let name, _): "I am '\(name)' myself; node_name must be unique in a cluster"
        case .otherName(let expected, let found): "you are '\(found)'; I was looking for '\(expected)'"
        case .otherVersions(let theirs, let ours):
            "you speak peer protocol \(spoken(theirs)), I \(spoken(ours)): upgrade matriarchd "
                + (theirs.upperBound < ours.lowerBound ? "on your node" : "on mine")
        case .tooManyLinks(let limit): "I have \(limit) incoming links already"
        case .malformed(let what): "you sent \(what)"
        case .otherSecret, .secretRefused, .noSecret, .refusedByPeer: "\(reason)"
        }
    }
}
