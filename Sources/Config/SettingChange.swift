/// A setting whose value differs between what runs and what was read anew.
public struct SettingChange: Hashable, Sendable, CustomStringConvertible {
    public let key: String
    public let old: String
    public let new: String
    public let origin: Origin
    public let change: Setting.Change

    public var description: String {
        let values = "\(key): '\(old)' → '\(new)' (\(origin))"
        switch change {
        case .reload: return values + ", taken over"
        case .restart: return values + ", pending: needs a restart of matriarchd"
        case .creation: return values + ", not acted on: the cluster's own value rules since it was created"
        }
    }
}

extension Configuration {
    /// Every setting that differs in `new`, in the order of the manual.
    public func changes(to new: Configuration) -> [SettingChange] {
        Setting.all.compactMap { setting in
            let (old, now) = (setting.text(in: self), setting.text(in: new))
            guard old != now else { return nil }
            return SettingChange(
                key: setting.key, old: old, new: now, origin: new.origin(of: setting.key),
                change: setting.change)
        }
    }

    /// What runs after a reload: this configuration with those values of `new` that need no restart.
    public func reloaded(with new: Configuration) -> Configuration {
        var result = self
        for setting in Setting.all where setting.change == .reload {
            setting.copy(new, &result)
            result.note(new.origin(of: setting.key), of: setting.key)
        }
        return result
    }
}
