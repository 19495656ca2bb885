import Consensus
import Supervision
import TestSupport
import Testing

@testable import Supervision

/// One node on a stage: a script is its disk, its guard, its Postgres and its peers.
///
/// Answers name each rule that decided, and each effect that a reviewer wants to see; heartbeats and votes
/// are left out. Unless a script says otherwise the disk writes at once and the guard obeys. Words of the
/// vocabulary:
///
/// - `start a members=a,b,c,w:witness [voters=] [primary=b epoch=4 timeline=2] …` a disk as found; `see
///   Facts`
/// - `hear b term=5 [opened] [no-checkpoint] [copiers=a,c] [at=2:0/500] [final=] …` a leader's append,
///   with changes to the document as in `start`
/// - `peer b answers [streaming] [at=]`, `peer b silent`; `lead` waits until this node leads
/// - `guard alive|dead [armed=4] [for=700ms] [spent=3]`, `guard lost`, `guard manual`
/// - `write passed|failed|hangs` the write probe of a primary, which else passes
/// - `postgres standby gate=closed settled=2:0/500 …`; `done […]`, `done failed=text`, `done
///   impossible=text`, `done promoted=3:0/500`
/// - `freeze b`, `frozen b at=2:0/500`, `released b`, `vote c`, `join d`, `founder b`, `proposal b`, `grant
///   b`
/// - `ask remove c`, `ask promote-voter c`, `ask demote-voter c`, `ask reinit c`, `ask restart c`,
///   `ask pause [for=2s]`, `ask resume`
/// - `life b [nonce=7] began=40 reached=50` on all that b says from now on; `rolled-back b reached=100 [led]`
/// - `switchover [to=]`, `stop`, `signal`, `disk slow|fast`, `run 500ms [hearing]`, `show`
final class Stage {
    let recorder = Recorder()
    let table: [Rule]
    var node: Node?
    var now = Instant(nanoseconds: 1_000_000_000)

    // The machine.
    var disk = DurableState(instance: "", member: "")
    var writes: [(state: DurableState, token: NodeToken)] = []
    var isDiskSlow = false
    var guardian: GuardReport?
    var isGuardManual = false
    var areWritesManual = false
    var postgres = PostgresReport(state: .stopped, takenAt: .zero)
    var orders: [(job: JobID, order: PostgresOrder)] = []

    // The others.
    var document: ClusterDocument?
    var answering: [MemberID: MemberReport] = [:]
    var stored: [MemberID: Version] = [:]
    var word: LeaderWord?
    /// Which start of each peer speaks, and how far its state has got; nonce 7 and nothing said if not here.
    var lives: [MemberID: (nonce: BootNonce, life: Life)] = [:]
    var sequence: UInt64 = 0

    /// What must never happen and did; a test fails on the first.
    var complaints: [String] = []
    var pending: [NodeEvent] = []
    private var lines: [String] = []
    private var lastRule = ""
    private var said: [String] = []

    /// More events than this at one instant are a herd that does not come to rest.
    private static let eventLimit = 300

    init(table: [Rule] = Rule.all) {
        let recorder = recorder
        self.table = table.map { rule in
            Rule(
                name: rule.name, why: rule.why, applies: rule.applies,
                action: { node in
                    let action = rule.action(node)
                    recorder.note(rule.name, action, before: node.effects.count)
                    return action
                })
        }
    }

    func run(_ command: ScriptCommand) throws -> String {
        lines = []
        said = []
        try perform(command)
        return lines.joined(separator: "\n")
    }

    func say(_ line: String) { lines.append(line) }

    /// A line that repeats itself while nothing changes is said once per command.
    private func sayOnce(_ line: String) {
        guard !said.contains(line) else { return }
        said.append(line)
        lines.append(line)
    }

    // MARK: the loop

    func feed(_ event: NodeEvent) {
        pending.append(event)
        var count = 0
        while !pending.isEmpty {
            count += 1
            guard count < Stage.eventLimit else {
                say("… and so on: the rules never come to rest")
                pending = []
                return
            }
            take(pending.removeFirst())
        }
    }

    private func take(_ event: NodeEvent) {
        guard var node else { return }
        recorder.clear()
        let committed = node.hard.committedVersion
        let effects = node.step(event, at: now)
        let decisions = recorder.taken()
        for (place, effect) in effects.enumerated() {
            for decision in decisions where decision.place == place { tell(decision) }
            judge(effect, of: node)
            if let line = EffectText.line(effect, now: now) { sayOnce("  " + line) }
        }
        for decision in decisions where decision.place >= effects.count { tell(decision) }
        if node.hard.committedVersion != committed, let document = node.document {
            sayOnce("  commits \(node.hard.committedVersion) \(EffectText.line(document))")
        }
        self.node = node
        for effect in effects { obey(effect) }
    }

    private func tell(_ decision: Recorder.Decision) {
        let line = "rule \(decision.rule)" + (decision.reason.map { ": \($0)" } ?? "")
        guard line != lastRule else { return }
        lastRule = line
        say(line)
    }

    /// The world's answer to an effect, given at the same instant.
    private func obey(_ effect: NodeEffect) {
        switch effect {
        case .persist(let state, let token):
            writes.append((state, token))
            if !isDiskSlow { finishWrites() }
        case .armGuard(let epoch, let deadline): arm(epoch, deadline)
        case .disarmGuard(let epoch): disarm(epoch)
        case .killPostgres: kill()
        case .postgres(let job, let order): orders.append((job, order))
        case .send(let envelope, .member(let member)): answer(envelope, as: member)
        case .storePromise, .send, .cancelOrder, .route, .connect, .answer, .record, .exit, .startOver: break
        }
    }

    func finishWrites() {
        guard let newest = writes.last else { return }
        disk = newest.state
        writes = []
        pending.append(.persisted(newest.token))
    }

    /// Lets time pass: the node is woken when it asked for it, the guard acts at its deadline.
    func pass(_ duration: Duration, hearing: Bool, until isDone: () -> Bool = { false }) {
        let end = now + duration
        while now < end, !isDone() {
            var next = min(end, node?.nextWake ?? end)
            if let guardian, guardian.epoch != nil, guardian.isPostgresAlive {
                next = min(next, max(guardian.deadline, now))
            }
            if hearing, let word { next = min(next, max(word.repeatAt, now)) }
            now = next == now ? now + .milliseconds(1) : next
            if hearing, let word, now >= word.repeatAt { repeatWord() }
            if let guardian, guardian.epoch != nil, guardian.isPostgresAlive, guardian.deadline <= now,
                !isGuardManual
            {
                kill()
            }
            let isProbed = !areWritesManual && node?.wantsWriteProbe ?? false
            feed(isProbed ? .writeProbed(now) : .tick)
        }
    }
}

/// Notes which rules decided, and where among the effects.
///
/// Unchecked: the rules that note here must be Sendable, but one thread alone plays a script.
final class Recorder: @unchecked Sendable {
    struct Decision {
        var rule: String
        var reason: String?
        var place: Int
    }

    private var decisions: [Decision] = []
    private(set) var everyone: Set<String> = []

    func note(_ rule: String, _ action: Action, before place: Int) {
        everyone.insert(rule)
        var reason: String?
        if case .wait(let text) = action { reason = text }
        decisions.append(Decision(rule: rule, reason: reason, place: place))
    }

    func clear() { decisions = [] }
    func taken() -> [Decision] { decisions }
}
