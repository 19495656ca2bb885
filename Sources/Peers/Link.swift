import Glibc
import Platform

/// How a link came to its end.
enum LinkEnd: Equatable, CustomStringConvertible {
    /// The other side ended it, or the network did.
    case lost(String)
    case refused(RefusalReason)
    /// The other end is this process.
    case oneself
    /// Our own wish: no longer needed, replaced, or shutting down.
    case dropped

    var description: String {
        switch self {
        case .lost(let reason): reason
        case .refused(let reason): "\(reason)"
        case .oneself: "the address is our own"
        case .dropped: "no longer needed"
        }
    }
}

/// What a link tells its network. Every call may end the link.
protocol LinkOwner: AnyObject {
    /// Judges the hello of the other side.
    func judge(_ hello: Hello, on link: Link) -> Verdict
    func opened(_ link: Link, _ peer: PeerIdentity)
    func received(_ payload: [UInt8], on link: Link, from peer: PeerIdentity)
    /// Called once, just before the socket is closed.
    func willClose(_ link: Link)
    /// Called once, after the socket is closed. `peer` is set when the link was open.
    func ended(_ link: Link, wasOpenTo peer: PeerIdentity?, _ end: LinkEnd)
    /// `wantsWrite` has changed.
    func interestChanged(_ link: Link)
}

/// One connection between two agents: connecting, TLS, hello, then frames both ways.
///
/// Never waits. Its owner calls `advance` when the socket is ready, sets the time limits, and closes
/// nothing itself.
final class Link {
    enum Phase: Equatable {
        case connecting
        case securing
        case greeting
        case open(PeerIdentity)
        case ended
    }

    /// Reads per call of `advance`, so that one busy peer does not keep the others waiting.
    private static let readsPerTurn = 16
    /// Frames are handed to TLS in pieces of about this size: one record, one packet train.
    private static let stagedBytes = 16 * 1024
    static let readBufferBytes = 16 * 1024

    let socket: Int32
    let direction: Via
    /// Where the other end is, for the log.
    let remote: String
    private(set) var phase: Phase
    private(set) var wantsWrite: Bool

    private unowned let owner: any LinkOwner
    private let channel: TLSChannel
    private let local: LocalIdentity
    private let limits: PeerLimits
    private var decoder = FrameDecoder(limit: Hello.maxBytes)
    private var queue: SendQueue
    private var staged: [UInt8] = []
    private var stagedStart = 0
    private var isWriteBlocked = false
    private var isReadBlockedByWrite = false

    /// Takes over a non-blocking socket, which it closes at its end. nil (and the socket closed) when
    /// memory is out.
    init?(
        socket: Int32, direction: Via, remote: String, isConnected: Bool, tls: TLSContext,
        local: LocalIdentity, limits: PeerLimits, owner: any LinkOwner
    ) {
        let dials = if case .outgoing = direction { true } else { false }
        guard let channel = TLSChannel(context: tls, socket: socket, dials: dials) else {
            close(socket)
            return nil
        }
        self.socket = socket
        self.direction = direction
        self.remote = remote
        self.channel = channel
        self.local = local
        self.limits = limits
        self.owner = owner
        phase = isConnected ? .securing : .connecting
        wantsWrite = !isConnected
        queue = SendQueue(maxFrames: limits.queuedFrames, maxBytes: limits.queuedBytes)
    }

    var peer: PeerIdentity? { if case .open(let peer) = phase { peer } else { nil } }
    var queuedFrames: Int { queue.count }
    var droppedFrames: UInt64 { queue.dropped }

    /// Queues one message and sends what the socket takes.
    func send(_ payload: [UInt8], _ key: CoalescingKey?) -> SendOutcome {
        guard case .open(let peer) = phase else { return .noLink }
        guard payload.count + 2 <= limits.frameBytes else { return .refused }
        let outcome = queue.push(
            Frame(version: peer.version, kind: .message, payload: payload).encoded, key: key)
        // A full socket will say so when it has room again; asking it before is a wasted call.
        if !isWriteBlocked { flush() }
        refreshInterest()
        return outcome
    }

    /// Does all that the socket allows now.
    func advance(into buffer: UnsafeMutableRawBufferPointer) {
        if phase == .connecting { finishConnecting() }
        if phase == .securing { secure() }
        if isTalking { flush() }
        if isTalking { read(into: buffer) }
        refreshInterest()
    }

    /// Ends the link and tells its owner. `farewell` is said if the socket takes it at once.
    func end(_ end: LinkEnd, farewell: RefusalReason? = nil) {
        guard phase != .ended else { return }
        if isTalking {
            // Only between whole records: half a frame followed by a farewell would be garbage.
            if let farewell, stagedStart == staged.count {
                _ = channel.write(Farewell.frame(farewell).encoded[...])
            }
            channel.sayGoodbye()
        }
        let wasOpenTo = peer
        phase = .ended
        owner.willClose(self)
        close(socket)
        owner.ended(self, wasOpenTo: wasOpenTo, end)
    }

    // MARK: Beginning

    private func finishConnecting() {
        if let error = Sockets.connectionError(socket) { return end(.lost(error.reason)) }
        phase = .securing
    }

    private func secure() {
        switch channel.handshake() {
        case .done:
            phase = .greeting
            let hello = Frame(version: Frame.greetingVersion, kind: .hello, payload: Hello(local).payload)
            _ = queue.push(hello.encoded, key: nil)
        case .wantsRead: isWriteBlocked = false
        case .wantsWrite: isWriteBlocked = true
        case .closed: end(.lost("closed during the handshake"))
        case .failed(let failure): fail(failure)
        }
    }

    private func greet(_ frame: Frame) {
        guard frame.kind == .hello else {
            return refuse(.malformed("a frame of kind \(frame.kind) before its hello"))
        }
        guard frame.version == Frame.greetingVersion else {
            let known = Frame.greetingVersion
            return refuse(.malformed("a hello in version \(frame.version); only \(known) is known here"))
        }
        let hello: Hello
        do {
            hello = try Hello(payload: frame.payload)
        } catch {
            return refuse(.malformed("\(error)"))
        }
        switch owner.judge(hello, on: self) {
        case .welcome(let peer):
            decoder.limit = limits.frameBytes
            phase = .open(peer)
            owner.opened(self, peer)
        case .oneself: end(.oneself)
        case .refused(let reason): refuse(reason)
        }
    }

    // MARK: Reading

    private var isTalking: Bool {
        switch phase {
        case .greeting, .open: true
        case .connecting, .securing, .ended: false
        }
    }

    private func read(into buffer: UnsafeMutableRawBufferPointer) {
        isReadBlockedByWrite = false
        for _ in 0..<Link.readsPerTurn {
            switch channel.read(into: buffer) {
            case .bytes(let count):
                decoder.append(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
                takeFrames()
                guard isTalking else { return }
            case .stopped(.wantsWrite):
                isReadBlockedByWrite = true
                return
            case .stopped(.closed): return end(.lost("closed by the other side"))
            case .stopped(.failed(let failure)): return fail(failure)
            case .stopped(.wantsRead), .stopped(.done): return
            }
        }
    }

    private func takeFrames() {
        do {
            while isTalking, let frame = try decoder.next() { take(frame) }
        } catch {
            refuse(.malformed("\(error)"))
        }
    }

    private func take(_ frame: Frame) {
        if frame.kind == .refusal { return end(.refused(.refusedByPeer(Farewell.text(of: frame.payload)))) }
        guard case .open(let peer) = phase else { return greet(frame) }
        guard frame.kind == .message, frame.version == peer.version else {
            return refuse(
                .malformed(
                    "a frame of kind \(frame.kind), version \(frame.version), after its hello; agreed on "
                        + "were messages in version \(peer.version)"))
        }
        owner.received(frame.payload, on: self, from: peer)
    }

    // MARK: Writing

    private func flush() {
        while isTalking, stage() {
            switch channel.write(staged[stagedStart...]) {
            case .bytes(let count):
                stagedStart += count
                isWriteBlocked = false
            case .stopped(.wantsWrite), .stopped(.wantsRead):
                isWriteBlocked = true
                return
            case .stopped(.closed): return end(.lost("closed by the other side"))
            case .stopped(.failed(let failure)): return fail(failure)
            case .stopped(.done): return
            }
        }
    }

    /// Makes sure that there are bytes to write, if there are frames. What is staged can no longer be
    /// replaced by something newer, so it is little.
    private func stage() -> Bool {
        if stagedStart < staged.count { return true }
        isWriteBlocked = false
        staged = []
        stagedStart = 0
        while staged.count < Link.stagedBytes, let frame = queue.pop() {
            staged.append(contentsOf: frame)
        }
        return !staged.isEmpty
    }

    // MARK: Ending

    private func refuse(_ reason: RefusalReason) { end(.refused(reason), farewell: reason) }

    private func fail(_ failure: TLSChannel.Failure) {
        switch failure.kind {
        case .socket(let code): end(.lost(SystemError(call: "link", code: code).reason))
        case .otherSecret: end(.refused(.otherSecret))
        case .noSecret: end(.refused(.noSecret))
        case .refusedUs where !isTalking: end(.refused(.secretRefused))
        case .refusedUs, .notTLS: end(.refused(.malformed("\(failure.reason) (TLS)")))
        }
    }

    private func refreshInterest() {
        let wants = phase == .connecting || isWriteBlocked || isReadBlockedByWrite
        guard phase != .ended, wants != wantsWrite else { return }
        wantsWrite = wants
        owner.interestChanged(self)
    }
}
