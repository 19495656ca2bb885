import Consensus
import Platform

/// A host name each of whose addresses is a peer.
final class Group {
    let endpoint: Endpoint
    /// As of the last good look-up.
    var members: [Endpoint] = []
    var timer: TimerID?
    /// Why the last look-up failed; logged when it changes.
    var failure: String?

    init(endpoint: Endpoint) { self.endpoint = endpoint }
}

extension PeerNetwork {
    // MARK: What to dial

    /// Ending a link tells the delegate, who may set other peers there and then: `isCurrent` says that this
    /// has not happened.
    func setDialers(_ wanted: [Endpoint: String?], while isCurrent: () -> Bool) {
        for (endpoint, dialer) in dialers where wanted[endpoint] == nil && isCurrent() { drop(dialer) }
        for (endpoint, name) in wanted.sorted(by: { $0.key < $1.key }) where isCurrent() {
            guard let dialer = dialers[endpoint] else {
                let dialer = Dialer(endpoint: endpoint, expected: name, limits: limits)
                dialers[endpoint] = dialer
                dial(dialer)
                continue
            }
            guard dialer.expected != name else { continue }
            dialer.expected = name
            // The one who answers there is not the one who should.
            if let name, let peer = dialer.link?.peer, peer.name != name { dialer.link?.end(.dropped) }
            // With a name it comes before one that has none.
            if case .duplicate = dialer.standing { dialer.standing = .active }
            if dialer.link == nil { dialSoon(dialer) }
        }
    }

    private func drop(_ dialer: Dialer) {
        dialers[dialer.endpoint] = nil
        cancelTimer(of: dialer)
        dialer.link?.end(.dropped)
    }

    func cancelTimer(of dialer: Dialer) {
        if let timer = dialer.timer { loop.cancel(timer) }
        dialer.timer = nil
    }

    // MARK: Groups

    func setGroups(_ endpoints: [Endpoint]) {
        for (endpoint, group) in groups where !endpoints.contains(endpoint) {
            cancelTimer(of: group)
            groups[endpoint] = nil
        }
        for endpoint in endpoints where groups[endpoint] == nil {
            let group = Group(endpoint: endpoint)
            groups[endpoint] = group
            lookUp(group)
        }
    }

    func cancelTimer(of group: Group) {
        if let timer = group.timer { loop.cancel(timer) }
        group.timer = nil
    }

    private func lookUp(_ group: Group) {
        group.timer = nil
        resolver.resolve(group.endpoint.host, port: group.endpoint.port) { [weak self, weak group] answer in
            guard let self, let group, !self.isClosed, self.groups[group.endpoint] === group else { return }
            if let failure = answer.failure, group.failure != failure {
                Log.info("peers not found by name", [("reason", failure)])
            }
            group.failure = answer.failure
            self.found(answer.addresses, for: group)
            group.timer = self.after(self.limits.lookup) { [weak self, weak group] in
                if let self, let group { self.lookUp(group) }
            }
        }
    }

    /// New addresses are dialled. One that the name no longer gives is kept while its link is open: a name
    /// server that forgets a peer must not cut it off.
    private func found(_ addresses: [SocketAddress], for group: Group) {
        let found = addresses.prefix(limits.groupAddresses).map {
            Endpoint(host: $0.host, port: group.endpoint.port)
        }
        guard !found.isEmpty else { return }
        let before = group.members
        group.members = found + before.filter { !found.contains($0) && dialers[$0]?.link?.peer != nil }
        for endpoint in before where !group.members.contains(endpoint) {
            if let dialer = dialers[endpoint], dialer.expected == nil { drop(dialer) }
        }
        for endpoint in group.members where dialers[endpoint] == nil {
            let dialer = Dialer(endpoint: endpoint, expected: nil, limits: limits)
            dialers[endpoint] = dialer
            dial(dialer)
        }
    }

    // MARK: Attempts

    /// One attempt now, unless there is a link, one under way, or no sense in it.
    func dial(_ dialer: Dialer) {
        guard !isClosed, dialers[dialer.endpoint] === dialer else { return }
        guard dialer.link == nil, dialer.standing == .active else { return }
        cancelTimer(of: dialer)
        lookUpIfStale(dialer)
        guard let address = dialer.takeAddress() else { return retry(dialer, after: limits.longestRetry) }
        dialer.lastAttempt = BootClock.now()
        do {
            let socket = try Sockets.connect(to: address)
            let link = begin(
                socket, direction: .outgoing(dialer.endpoint), remote: "\(address)", isConnected: false)
            guard let link else { return retryLater(dialer) }
            dialer.link = link
            dialer.dialled = address
            setConnectDeadline(of: link, dialer.connectLimit(limits))
        } catch {
            tellFailure(dialer, error.reason)
            retryLater(dialer)
        }
    }

    /// A sign of life from a peer that has no open link: not worth waiting for the next attempt.
    func dialSoon(_ dialer: Dialer) {
        let sinceLast = dialer.lastAttempt.map { Duration.nanoseconds(BootClock.now() - $0) }
        let wait = sinceLast.map { max(.zero, limits.firstRetry - $0) } ?? .zero
        // An attempt that has just begun is as good as a new one.
        if wait == .zero, dialer.link?.phase == .connecting { dialer.link?.end(.dropped) }
        if dialer.link == nil { retry(dialer, after: wait) }
    }

    func retryLater(_ dialer: Dialer) {
        retry(dialer, after: dialer.wait(at: BootClock.now(), limits, using: &random))
    }

    func retry(_ dialer: Dialer, after wait: Duration) {
        guard !isClosed, dialers[dialer.endpoint] === dialer else { return }
        cancelTimer(of: dialer)
        dialer.timer = after(wait) { [weak self, weak dialer] in
            guard let self, let dialer else { return }
            dialer.timer = nil
            self.dial(dialer)
        }
    }

    /// Asks for fresh addresses of a name while it cannot be reached; the last good ones are dialled
    /// meanwhile.
    private func lookUpIfStale(_ dialer: Dialer) {
        guard !dialer.isLiteral, !dialer.isLookingUp else { return }
        let now = BootClock.now()
        if let last = dialer.lookedUp, now - last < limits.lookup.nanoseconds { return }
        dialer.isLookingUp = true
        let endpoint = dialer.endpoint
        resolver.resolve(endpoint.host, port: endpoint.port) { [weak self, weak dialer] answer in
            guard let self, let dialer else { return }
            if let failure = answer.failure { self.tellFailure(dialer, failure) }
            let isFirst = dialer.addresses.isEmpty && !answer.addresses.isEmpty
            dialer.lookedUp(answer.addresses, at: BootClock.now())
            if isFirst { self.dialSoon(dialer) }
        }
    }
}
