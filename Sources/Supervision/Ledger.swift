import Consensus

/// Something that may leave only after the state that it speaks of is on disk (protocol: What is on disk).
struct Sealed: Sendable {
    private let effect: NodeEffect
    let token: NodeToken

    init(_ effect: NodeEffect, until token: NodeToken) {
        self.effect = effect
        self.token = token
    }

    /// The effect, for whoever can show that the disk has caught up.
    func opened(by receipt: Receipt) -> NodeEffect? { receipt.upTo >= token ? effect : nil }
}

/// The disk's word that everything up to a token is durable. Only a ledger makes one.
struct Receipt: Sendable {
    let upTo: NodeToken

    fileprivate init(upTo: NodeToken) { self.upTo = upTo }
}

/// Which writes are on their way, and what waits for them.
struct Ledger: Sendable {
    /// The sequence of the state that was found at the start, and of the newest that was ordered written.
    private(set) var began: UInt64 = 0
    private(set) var sequence: UInt64 = 0
    private(set) var issued: NodeToken = 0
    private(set) var persisted: NodeToken = 0
    private var raftTokens: [(node: NodeToken, raft: UInt64)] = []
    private var held: [Sealed] = []
    /// Of each while the disk stands still. A held message that is dropped is said again (protocol:
    /// Messages); of tokens the newest stands for those before.
    static let waitingLimit = 256
    private(set) var dataToken: NodeToken = 0

    var isClean: Bool { persisted >= issued }
    /// Whether the newest data record is on disk: nothing destructive may start before.
    var isDataDurable: Bool { persisted >= dataToken }

    /// The sequence of the newest state that is on disk.
    var reached: UInt64 { began + persisted }

    init(began: UInt64 = 0) {
        self.began = began
        sequence = began
    }

    mutating func issue(raft token: UInt64?, data: Bool) -> NodeToken {
        issued += 1
        sequence += 1
        if let token {
            if raftTokens.count == Ledger.waitingLimit { raftTokens.removeLast() }
            raftTokens.append((issued, token))
        }
        if data { dataToken = issued }
        return issued
    }

    mutating func hold(_ effect: NodeEffect) {
        if held.count == Ledger.waitingLimit { held.removeFirst() }
        held.append(Sealed(effect, until: issued))
    }

    /// What the disk's word sets free: messages, and the newest of the elector's own tokens.
    mutating func settle(_ token: NodeToken) -> (free: [NodeEffect], raft: UInt64?) {
        persisted = max(persisted, token)
        let receipt = Receipt(upTo: persisted)
        let free = held.compactMap { $0.opened(by: receipt) }
        held.removeAll { $0.token <= receipt.upTo }
        let covered = raftTokens.last { $0.node <= persisted }?.raft
        raftTokens.removeAll { $0.node <= persisted }
        return (free, covered)
    }
}

extension Node {
    /// Everything that a crash must not take, as of now.
    var durable: DurableState {
        var state = DurableState(instance: instance, member: me)
        state.hard = raft.hard
        state.data = data
        state.grant = grant
        state.sequence = ledger.sequence
        state.witnesses = witnesses
        state.origin = origin
        return state
    }

    mutating func persist(raft token: UInt64? = nil, data: Bool = false) {
        let issued = ledger.issue(raft: token, data: data)
        effects.append(.persist(durable, issued))
    }

    mutating func settle(_ token: NodeToken) {
        let (free, covered) = ledger.settle(token)
        effects += free
        if let covered { drive(.persisted(covered)) }
    }

    /// Sends now when everything said so far is on disk, otherwise once it is.
    mutating func sendWhenDurable(_ effect: NodeEffect) {
        if ledger.isClean { effects.append(effect) } else { ledger.hold(effect) }
    }

    mutating func write(_ record: DataRecord) {
        guard record != data else { return }
        data = record
        persist(data: true)
    }
}

extension PostgresOrder {
    /// For logs and for telling kinds apart.
    public var name: String {
        switch self {
        case .initialize: "initialize"
        case .startStandby: "start-standby"
        case .startPrimary: "start-primary"
        case .stop: "stop"
        case .freeze: "freeze"
        case .follow: "follow"
        case .promote: "promote"
        case .clone: "clone"
        case .rewind: "rewind"
        case .configure: "configure"
        case .tendSlots: "tend-slots"
        case .checkpoint: "checkpoint"
        case .examine: "examine"
        }
    }
}
