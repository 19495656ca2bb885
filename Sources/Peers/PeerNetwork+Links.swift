import Consensus
import Glibc
import Platform

extension PeerNetwork {
    /// Takes over a socket: sets it up, makes a link of it and watches it. nil (and the socket closed) when
    /// that cannot be done.
    func begin(_ socket: Int32, direction: Via, remote: String, isConnected: Bool = true) -> Link? {
        do {
            try LinkSocket.prepare(socket, limits)
        } catch {
            // A connection that is gone already has no options; anything else shows at its first use.
            Log.debug("peers: cannot set up a socket", [("address", remote), ("reason", error.reason)])
        }
        let link = Link(
            socket: socket, direction: direction, remote: remote, isConnected: isConnected, tls: tls,
            local: local, limits: limits, owner: self)
        guard let link else {
            Log.error("peers: no memory for a link", [("address", remote)])
            return nil
        }
        do {
            try loop.watch(socket, link.wantsWrite ? [.read, .write] : .read) { [weak self, weak link] _ in
                guard let self, let link else { return }
                link.advance(into: self.readBuffer)
            }
            return link
        } catch {
            Log.error("peers: cannot watch a link", [("address", remote), ("reason", error.reason)])
            Glibc.close(socket)
            return nil
        }
    }

    /// Ends an outgoing link that is not connected by then; one that is gets its time for the greeting.
    func setConnectDeadline(of link: Link, _ limit: Duration) {
        setDeadline(of: link, limit) { [weak self] link in
            if link.phase == .connecting {
                link.end(.lost("no answer within \(limit)"))
            } else {
                self?.setGreetingDeadline(of: link)
            }
        }
    }

    /// Ends a link whose other side has not said hello by then.
    func setGreetingDeadline(of link: Link) {
        let limit = limits.handshake
        setDeadline(of: link, limit) { $0.end(.lost("no hello within \(limit)")) }
    }

    private func setDeadline(of link: Link, _ limit: Duration, _ handler: @escaping (Link) -> Void) {
        clearDeadline(of: link)
        deadlines[ObjectIdentifier(link)] = after(limit) { [weak link] in
            if let link, link.peer == nil { handler(link) }
        }
    }

    private func clearDeadline(of link: Link) {
        if let timer = deadlines.removeValue(forKey: ObjectIdentifier(link)) { loop.cancel(timer) }
    }
}

extension PeerNetwork: LinkOwner {
    func judge(_ hello: Hello, on link: Link) -> Verdict {
        guard case .outgoing(let endpoint) = link.direction else {
            let verdict = hello.judged(by: local, expecting: nil)
            if case .welcome = verdict, guests.count >= limits.guests {
                return .refused(.tooManyLinks(limits.guests))
            }
            return verdict
        }
        return hello.judged(by: local, expecting: dialers[endpoint]?.expected)
    }

    func opened(_ link: Link, _ peer: PeerIdentity) {
        clearDeadline(of: link)
        switch link.direction {
        case .incoming(let connection): openedByPeer(link, peer, connection)
        case .outgoing(let endpoint):
            guard let dialer = dialers[endpoint] else { return link.end(.dropped) }
            openedByUs(link, peer, dialer)
        }
    }

    func received(_ payload: [UInt8], on link: Link, from peer: PeerIdentity) {
        delegate?.received(payload, from: peer, via: link.direction)
    }

    func interestChanged(_ link: Link) {
        loop.change(link.socket, link.wantsWrite ? [.read, .write] : .read)
    }

    func willClose(_ link: Link) { loop.unwatch(link.socket) }

    func ended(_ link: Link, wasOpenTo peer: PeerIdentity?, _ end: LinkEnd) {
        clearDeadline(of: link)
        droppedByEnded += link.droppedFrames
        if case .refused(let reason) = end { tellRefusal(reason, at: link.remote) }
        switch link.direction {
        case .incoming(let connection): endedIncoming(link, connection, peer, end)
        case .outgoing(let endpoint): endedOutgoing(link, endpoint, peer, end)
        }
    }

    // MARK: Incoming

    private func openedByPeer(_ link: Link, _ peer: PeerIdentity, _ connection: ConnectionID) {
        strangers.removeAll { $0.connection == connection }
        // An earlier link of the same process is left alone: it may have two for a moment, and which of
        // them it keeps is for it to say. One that it has forgotten ends by the kernel's questions.
        guests[connection] = link
        delegate?.connected(peer, via: link.direction)
        let kin = dialers.values.filter { $0.expected == peer.name || $0.endpoint == peer.advertised }
        for dialer in kin where dialer.link?.peer == nil { dialSoon(dialer) }
    }

    private func endedIncoming(
        _ link: Link, _ connection: ConnectionID, _ peer: PeerIdentity?, _ end: LinkEnd
    ) {
        strangers.removeAll { $0.connection == connection }
        guard guests.removeValue(forKey: connection) != nil, let peer else { return }
        Log.debug("incoming link ended", [("peer", peer.name), ("reason", "\(end)")])
        delegate?.disconnected(peer, via: link.direction)
    }

    // MARK: Outgoing

    private func openedByUs(_ link: Link, _ peer: PeerIdentity, _ dialer: Dialer) {
        if let address = dialer.dialled { dialer.succeeded(at: address) }
        dialer.openedAt = BootClock.now()
        guard let twin = dialers.values.first(where: { $0 !== dialer && $0.isLinked(to: peer) }) else {
            Log.info("peer linked", [("peer", peer.name), ("address", link.remote)])
            delegate?.connected(peer, via: link.direction)
            return
        }
        // One link is enough. The dialer that was told the name stays; among equals, the one that was
        // first. For the delegate nothing has changed.
        let loser = dialer.expected != nil && twin.expected == nil ? twin : dialer
        loser.standing = .duplicate(of: peer)
        loser.link?.end(.dropped)
    }

    private func endedOutgoing(_ link: Link, _ endpoint: Endpoint, _ peer: PeerIdentity?, _ end: LinkEnd) {
        if let dialer = dialers[endpoint], dialer.link === link {
            dialer.link = nil
            let lived = dialer.openedAt.map { BootClock.now() - $0 } ?? 0
            if lived >= limits.longestRetry.nanoseconds { dialer.forgetFailures() }
            dialer.openedAt = nil
            if peer == nil, case .lost(let reason) = end { tellFailure(dialer, reason) }
            switch end {
            case .oneself: dialer.standing = .oneself
            case .refused: retry(dialer, after: limits.refusedRetry)
            case .lost, .dropped: retryLater(dialer)
            }
        }
        if let peer, !dialers.values.contains(where: { $0.isLinked(to: peer) }) { lost(peer, link, end) }
    }

    /// The last link of our own to a peer is gone.
    private func lost(_ peer: PeerIdentity, _ link: Link, _ end: LinkEnd) {
        for dialer in dialers.values {
            guard case .duplicate(let original) = dialer.standing, original.name == peer.name else {
                continue
            }
            dialer.standing = .active
            dialSoon(dialer)
        }
        Log.info("peer lost", [("peer", peer.name), ("address", link.remote), ("reason", "\(end)")])
        delegate?.disconnected(peer, via: link.direction)
    }

    /// Says once why a peer cannot be reached, and again when the reason is another one.
    func tellFailure(_ dialer: Dialer, _ reason: String) {
        guard dialer.isNewFailure(reason) else { return }
        var fields = [("address", "\(dialer.endpoint)"), ("reason", reason)]
        if let name = dialer.expected { fields.insert(("peer", name), at: 0) }
        Log.info("peer not reached", fields)
    }

    private func tellRefusal(_ reason: RefusalReason, at address: String) {
        let host = SocketAddress(address)?.host ?? address
        let heldBack = refusals.admits(reason, from: host, at: BootClock.now())
        delegate?.refused(reason, address: address, heldBack: heldBack)
    }
}
