import Consensus

/// Shrinks a run that fails to one that still does and has less in it.
///
/// A violation after ten minutes of thirty kinds of trouble explains nothing. What is left here can be read:
/// a few injections, in a world without what did not matter. Deterministic, as runs are.
public struct Minimiser {
    public typealias Attempt = (Simulation) -> Simulation.Outcome

    /// After so many runs the smallest so far is what is told.
    public static let runLimit = 500

    private let attempt: Attempt
    /// The judge whose complaint must stay: a smaller run that fails otherwise is another story.
    private let checker: String
    public private(set) var smallest: Simulation
    public private(set) var violation: Violation
    public private(set) var runs = 1
    private let injections: Int

    /// Nil when the simulation does not fail. A test runs it with a judge of its own.
    public init?(_ simulation: Simulation, attempt: @escaping Attempt = { $0.run() }) {
        let outcome = attempt(simulation)
        guard let violation = outcome.violation else { return nil }
        injections = outcome.faults
        self.attempt = attempt
        smallest = simulation
        self.violation = violation
        checker = violation.checker
    }

    /// Tries until nothing more can be left out.
    public mutating func shrink() {
        cutTail()
        nameInjections()
        var before: Simulation
        repeat {
            before = smallest
            spareHardships()
            withholdKinds()
            thinInjections()
            shorten()
        } while smallest != before && runs < Minimiser.runLimit
    }

    /// Keeps the candidate if it fails by the same judge.
    @discardableResult
    private mutating func keep(_ change: (inout Simulation) -> Void) -> Bool {
        var candidate = smallest
        change(&candidate)
        guard candidate != smallest, runs < Minimiser.runLimit else { return false }
        runs += 1
        guard let found = attempt(candidate).violation, found.checker == checker else { return false }
        smallest = candidate
        violation = found
        cutTail()
        return true
    }

    /// Nothing that would happen after the violation belongs to it.
    private mutating func cutTail() {
        let needed = violation.at - .zero
        if needed < smallest.length { smallest.length = .milliseconds(needed.milliseconds + 1) }
    }

    /// From here on each injection is named, so that each can be left out.
    private mutating func nameInjections() {
        let all = Array(0..<injections)
        if smallest.options.injections == nil { keep { $0.options.injections = all } }
    }

    private mutating func spareHardships() {
        for hardship in Options.Hardship.allCases where !smallest.options.spared.contains(hardship) {
            keep { $0.options.spare(hardship) }
        }
    }

    private mutating func withholdKinds() {
        for fault in Options.Fault.allCases where smallest.options.faults[fault] != nil {
            keep { $0.options.withhold(fault) }
        }
    }

    /// Leaves out halves, then quarters, down to single ones.
    private mutating func thinInjections() {
        var size = max(1, (smallest.options.injections?.count ?? 0) / 2)
        while true {
            var start = 0
            while let all = smallest.options.injections, start < all.count {
                let end = min(start + size, all.count)
                let isSmaller = keep { $0.options.injections?.removeSubrange(start..<end) }
                if !isSmaller { start = end }
            }
            if size == 1 { return }
            size /= 2
        }
    }

    /// Only where the complaint came after the troubles can they end sooner.
    private mutating func shorten() {
        for share in [0.1, 0.25, 0.5, 0.75, 0.9] {
            if keep({ $0.length = .milliseconds($0.length.scaled(by: share).milliseconds) }) { return }
        }
    }
}
