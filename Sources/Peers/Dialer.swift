import Platform

/// One peer that this agent keeps an outgoing link to: where it is, and how the attempts went.
final class Dialer {
    enum Standing: Equatable {
        /// Being dialled, linked, or waiting for the next attempt.
        case active
        /// The address is our own: nothing to dial, for as long as it is asked for.
        case oneself
        /// Another dialer has a link to the same agent; this one waits until that is gone.
        case duplicate(of: PeerIdentity)
    }

    let endpoint: Endpoint
    /// Who must answer; nil while only the address is known.
    var expected: String?
    var standing = Standing.active
    var link: Link?
    var addresses: [SocketAddress] = []
    var timer: TimerID?
    /// When the last attempt began, and where to.
    var lastAttempt: Int64?
    var dialled: SocketAddress?
    var openedAt: Int64?
    /// Why it could not be reached since it last was: each reason is logged once.
    private(set) var failures: Set<String> = []
    private static let maxFailures = 8
    var isLookingUp = false
    private(set) var lookedUp: Int64?
    private var nextAddress = 0
    private var attempts = 0
    private var backoff: Backoff

    init(endpoint: Endpoint, expected: String?, limits: PeerLimits) {
        self.endpoint = endpoint
        self.expected = expected
        backoff = Backoff(first: limits.firstRetry, limit: limits.longestRetry)
        if let literal = SocketAddress(host: endpoint.host, port: endpoint.port) { addresses = [literal] }
    }

    /// Only a host name is ever looked up.
    var isLiteral: Bool { SocketAddress(host: endpoint.host, port: endpoint.port) != nil }

    /// The address for the next attempt, each in its turn.
    func takeAddress() -> SocketAddress? {
        guard !addresses.isEmpty else { return nil }
        let address = addresses[nextAddress % addresses.count]
        nextAddress = (nextAddress + 1) % addresses.count
        attempts += 1
        return address
    }

    /// Most attempts are brief, so that a peer which comes back is found soon; every eighth is patient, so
    /// that one which is far away is found at all.
    func connectLimit(_ limits: PeerLimits) -> Duration {
        attempts % 8 == 0 ? limits.patientConnect : limits.connect
    }

    /// Takes the newest answer of the resolver. An empty one changes nothing: the last good addresses are
    /// worth more than none.
    func lookedUp(_ found: [SocketAddress], at now: Int64) {
        isLookingUp = false
        lookedUp = now
        guard !found.isEmpty, found != addresses else { return }
        addresses = found
        nextAddress = 0
    }

    /// A link is open: the next attempt begins where this one succeeded.
    func succeeded(at address: SocketAddress) {
        if let place = addresses.firstIndex(of: address) { nextAddress = place }
        attempts = 0
        failures = []
    }

    /// Whether this reason is a new one. Reasons take turns while a machine boots or a network heals.
    func isNewFailure(_ reason: String) -> Bool {
        failures.count < Dialer.maxFailures && failures.insert(reason).inserted
    }

    /// The link lived: the next loss is a new story.
    func forgetFailures() { backoff.reset() }

    /// How long to wait after a failed attempt or a lost link. Counted from the beginning of that attempt:
    /// one that used up its time in silence is repeated at once.
    func wait(at now: Int64, _ limits: PeerLimits, using random: inout some RandomNumberGenerator) -> Duration
    {
        let wait = backoff.next(using: &random)
        guard let lastAttempt else { return wait }
        return max(limits.firstRetry, wait - .nanoseconds(now - lastAttempt))
    }

    /// Whether a link of it is open to that very process.
    func isLinked(to peer: PeerIdentity) -> Bool {
        link?.peer?.name == peer.name && link?.peer?.nonce == peer.nonce
    }
}
