/// What the guard knows, as it says with every answer and event. See docs/internals/guard.md.
public struct GuardState: Hashable, Sendable {
    public enum Mode: String, Sendable {
        /// No epoch is armed and no process of Postgres is left.
        case stopped
        /// Postgres runs without a right to write.
        case standby
        /// An epoch is armed, whether Postgres runs yet (again) or not.
        case primary
    }

    /// What is being done to Postgres.
    public enum Ending: String, Sendable { case none, stop, kill }

    /// How the postmaster ended last, since the guard started it.
    public struct Exit: Hashable, Sendable {
        /// Exit status, or minus the signal.
        public let code: Int32
        /// When, on `BootClock`.
        public let at: Int64
        /// A clean shutdown: the WAL ends with a shutdown checkpoint.
        public var isClean: Bool { code == 0 }
    }

    public let mode: Mode
    /// The armed epoch; nil when none is.
    public let epoch: UInt64?
    /// Until when the armed epoch may write, on `BootClock`; 0 when none is armed.
    public let deadline: Int64
    /// The highest epoch that was ever disarmed; it and all before it can never be armed again.
    public let disarmed: UInt64
    /// Nil is the proof of death: no process of the Postgres that the guard started is left.
    public let postmaster: Int32?
    /// The postmaster's start in clock ticks since boot, which tells it from another process of its number.
    public let startTime: UInt64
    public let exit: Exit?
    /// When the last kill was complete, on `BootClock`; nil when this Postgres was not killed.
    public let killedAt: Int64?
    public let ending: Ending

    /// Postgres is alive and may write: an epoch is armed and its deadline ahead.
    public func isArmed(at now: Int64) -> Bool { epoch != nil && postmaster != nil && deadline > now }

    /// Reads "mode=… epoch=… …"; nil for anything else. Unknown keys are a newer guard's, and left alone.
    init?(_ text: Substring) {
        var values: [Substring: Substring] = [:]
        for word in text.split(separator: " ") {
            guard let equals = word.firstIndex(of: "=") else { return nil }
            values[word[..<equals]] = word[word.index(after: equals)...]
        }
        guard let mode = values["mode"].flatMap({ Mode(rawValue: String($0)) }),
            let epoch = values["epoch"].flatMap({ UInt64($0) }),
            let deadline = values["deadline"].flatMap({ Int64($0) }),
            let disarmed = values["disarmed"].flatMap({ UInt64($0) }),
            let postmaster = values["postmaster"].flatMap({ Int32($0) }),
            let startTime = values["start"].flatMap({ UInt64($0) }),
            let killedAt = values["killed"].flatMap({ Int64($0) }),
            let ending = values["ending"].flatMap({ Ending(rawValue: String($0)) }),
            let exit = values["exit"].map(Self.exit)
        else { return nil }
        self.mode = mode
        self.epoch = epoch == 0 ? nil : epoch
        self.deadline = deadline
        self.disarmed = disarmed
        self.postmaster = postmaster == 0 ? nil : postmaster
        self.startTime = startTime
        self.exit = exit
        self.killedAt = killedAt == 0 ? nil : killedAt
        self.ending = ending
    }

    private static func exit(_ text: Substring) -> Exit? {
        let parts = text.split(separator: ":")
        guard parts.count == 2, let code = Int32(parts[0]), let at = Int64(parts[1]) else { return nil }
        return Exit(code: code, at: at)
    }
}

/// What can be asked of the guard.
public enum GuardRequest: Hashable, Sendable {
    /// Who we are: the agent's start on `BootClock`. The guard obeys the newest agent that has said hello.
    case hello(session: Int64)
    case state
    /// Postgres with `-D` and the guard's own data directory, then `arguments`; `environment` is added to the
    /// guard's.
    case start(standby: Bool, arguments: [String], environment: [String: String])
    /// Gives Postgres the right to write until `deadline` (`BootClock`).
    case arm(epoch: UInt64, deadline: Int64)
    case renew(epoch: UInt64, deadline: Int64)
    /// Takes the right back; only while Postgres is dead or certainly in recovery. MUST NOT be sent once
    /// promotion was asked for: kill instead.
    case disarm(epoch: UInt64)
    case stop(Stop, boundMilliseconds: UInt32)
    /// Ends Postgres and disarms; answered with the proof of death, or `pending` after two seconds.
    case kill

    public enum Stop: String, Sendable { case fast, immediate }

    private static let separator = "\u{1f}"

    /// The packet to send.
    var packet: [UInt8] {
        let text =
            switch self {
            case .hello(let session): "hello \(session)"
            case .state: "state"
            case .start(let standby, let arguments, let environment):
                (["start \(standby ? "standby" : "primary")"]
                    + environment.sorted { $0.key < $1.key }.map { "e\($0)=\($1)" }
                    + arguments.map { "a\($0)" }).joined(separator: Self.separator)
            case .arm(let epoch, let deadline): "arm \(epoch) \(deadline)"
            case .renew(let epoch, let deadline): "renew \(epoch) \(deadline)"
            case .disarm(let epoch): "disarm \(epoch)"
            case .stop(let how, let bound): "stop \(how.rawValue) \(bound)"
            case .kill: "kill"
            }
        return Array(text.utf8)
    }
}

/// What came of a request that reached the guard.
public enum GuardAnswer: Hashable, Sendable {
    case done(GuardState)
    /// A kill goes on, but processes sit in the kernel; an event follows with the proof of death.
    case pending(GuardState, survivors: String)
    /// `reason` is the fixed word ("superseded", "stale", "over", "late", "writable", "foreign", "locked",
    /// …).
    case refused(GuardState, reason: String, explanation: String)

    public var state: GuardState {
        switch self {
        case .done(let state), .pending(let state, _), .refused(let state, _, _): state
        }
    }
}

/// What the guard tells by itself.
public struct GuardEvent: Hashable, Sendable {
    public enum Kind: Hashable, Sendable {
        /// Postgres has ended by itself or was stopped; nothing of it is left.
        case exited
        /// A kill is complete; nothing of Postgres is left.
        case killed
        /// The guard has begun to kill Postgres: "deadline", "standby-signal-missing" or "stop-bound".
        case fenced(reason: String)
    }

    public let kind: Kind
    public let state: GuardState
}

/// A packet from the guard.
enum GuardPacket: Hashable, Sendable {
    case answer(GuardAnswer)
    case event(GuardEvent)

    init?(_ bytes: some Collection<UInt8>) {
        let text = String(decoding: bytes, as: UTF8.self)
        let (verdict, rest) = Self.firstWord(text[...])
        let (body, why) = Self.splitExplanation(rest)
        switch verdict {
        case "OK":
            guard let state = GuardState(body) else { return nil }
            self = .answer(.done(state))
        case "PENDING":
            guard let state = GuardState(body) else { return nil }
            self = .answer(.pending(state, survivors: why))
        case "ERR":
            let (reason, state) = Self.firstWord(body)
            guard let state = GuardState(state) else { return nil }
            self = .answer(.refused(state, reason: String(reason), explanation: why))
        case "EVENT":
            guard let event = Self.event(body) else { return nil }
            self = .event(event)
        default: return nil
        }
    }

    private static func event(_ text: Substring) -> GuardEvent? {
        var (name, rest) = firstWord(text)
        var kind: GuardEvent.Kind
        switch name {
        case "exited": kind = .exited
        case "killed": kind = .killed
        case "fenced":
            (name, rest) = firstWord(rest)
            guard name.hasPrefix("reason=") else { return nil }
            kind = .fenced(reason: String(name.dropFirst("reason=".count)))
        default: return nil
        }
        return GuardState(rest).map { GuardEvent(kind: kind, state: $0) }
    }

    private static func firstWord(_ text: Substring) -> (word: Substring, rest: Substring) {
        let end = text.firstIndex(of: " ") ?? text.endIndex
        return (text[..<end], text[end...].dropFirst())
    }

    /// The explanation is the last thing in the packet and may hold anything.
    private static func splitExplanation(_ text: Substring) -> (body: Substring, why: String) {
        let mark = " why="
        var start = text.startIndex
        while start < text.endIndex {
            if text[start...].hasPrefix(mark) {
                return (text[..<start], String(text[start...].dropFirst(mark.count)))
            }
            start = text.index(after: start)
        }
        return (text, "")
    }
}
