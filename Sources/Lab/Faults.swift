internal import FoundationEssentials
internal import Glibc
public import Platform

/// What can happen to a node.
extension HerdNode {
    /// The programs of a node, told apart by what they run.
    public enum Part: String, Sendable {
        case agent = "matriarchd"
        case guardian = "matriarch-guard"
        case relay = "matriarch-proxy"
        case postmaster = "postgres"
    }

    /// Every living process of this node.
    public var processes: [Processes.Entry] { Processes.belonging(to: marks) }

    /// The process that is this part; of Postgres the parent of the others.
    public func process(_ part: Part) throws -> Processes.Entry {
        let mine = processes.filter { Processes.executable($0.pid).hasSuffix("/" + part.rawValue) }
        let parents = Set(mine.map(\.pid))
        guard let found = mine.first(where: { !parents.contains($0.parent) }) else {
            throw LabError("\(name) has no \(part.rawValue) running:\n\(logTail())")
        }
        return found
    }

    /// Signals one part; returns the process that got it.
    @discardableResult
    public func signal(_ number: Int32, _ part: Part) throws -> Processes.Entry {
        let process = try process(part)
        Processes.signal(number, process)
        return process
    }

    /// SIGKILL to one part, gone when this returns.
    @discardableResult
    public func kill(_ part: Part) throws -> Processes.Entry {
        let process = try signal(SIGKILL, part)
        while Processes.isAlive(process) { pause(.milliseconds(1)) }
        // Its other threads may still be ending; only its parent, this process, can tell.
        if part == .agent { _ = try waitForAgent(within: .seconds(10)) }
        return process
    }

    /// SIGSTOP or SIGCONT to everything, as a paused virtual machine.
    public func signalEverything(_ number: Int32) { processes.forEach { Processes.signal(number, $0) } }

    /// All of the machine at once: cables first, so that nobody hears a process die, then every process; what
    /// a reboot forgets is forgotten. Loopback addresses have no cable: there, peers see connections reset.
    public func losePower() throws {
        try cut(.powerless)
        try Processes.killAll(marks)
        let manager = FileManager.default
        for entry in try manager.contentsOfDirectory(atPath: runtimeDirectory) {
            try manager.removeItem(atPath: "\(runtimeDirectory)/\(entry)")
        }
    }

    /// Power and cables are back, the agent starts.
    public func returnPower() throws {
        try heal()
        try start()
    }

    /// Cuts this node's cable as described; without namespaces there is none, and only `losePower` may ask.
    public func cut(_ what: Network.Cut) throws {
        guard let network = installation.network, let port = place.port else {
            if what == .powerless { return }
            throw LabError("nodes on loopback addresses have no cable to cut; network namespaces need root")
        }
        try network.cut(port, what)
    }

    /// What `other` sends no longer arrives here; all else does. `heal` ends it.
    public func cut(from other: HerdNode) throws {
        guard let network = installation.network, let port = place.port, let source = other.place.port else {
            throw LabError("nodes on loopback addresses have no cable to cut; network namespaces need root")
        }
        try network.cut(from: source, to: port)
    }

    public func heal() throws {
        guard let network = installation.network, let port = place.port else { return }
        try network.heal(port)
    }

    /// Takes all data and all memory of ever having been a member away.
    public func eraseEverything() throws {
        let manager = FileManager.default
        let all = [dataDirectory, stateDirectory, runtimeDirectory, ownVolume]
        for path in all where manager.fileExists(atPath: path) {
            try manager.removeItem(atPath: path)
        }
        try prepare()
    }
}
