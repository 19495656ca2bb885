/// What may be left out of a world without changing what else is drawn for it.
extension Options {
    /// Troubles that are there all the time, rather than injected now and then.
    public enum Hardship: String, CaseIterable, Sendable {
        case loss, duplication, delays, clockDrift, lateTimers, slowDisks, failingOrders, lostWAL
        case joiners, foreignData
    }

    public mutating func spare(_ hardship: Hardship) {
        if !spared.contains(hardship) { spared.append(hardship) }
        switch hardship {
        case .loss: weather.loss = 0
        case .duplication: weather.duplication = 0
        case .delays: weather.delayed = 0
        case .clockDrift: clockDrift = 0
        case .lateTimers: wakeLateness = .milliseconds(1)
        case .slowDisks: persistTime = .milliseconds(1)
        case .failingOrders: orderFailures = 0
        case .lostWAL: rewindImpossible = 0
        case .joiners: joiners = 0
        case .foreignData: foreignJoiner = false
        }
    }

    public mutating func withhold(_ fault: Fault) {
        if !withheld.contains(fault) { withheld.append(fault) }
    }

    /// Whether the injection of this number, of this kind, is one that happens.
    func happens(_ injection: Int, _ fault: Fault) -> Bool {
        !withheld.contains(fault) && (injections?.contains(injection) ?? true)
    }
}
