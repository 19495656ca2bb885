internal import Glibc

/// A small state that must survive a crash in the middle of writing it: two files, written in turn.
///
/// `DIRECTORY/state.a` and `state.b` each hold {magic, format, sequence, length, CRC-32C, payload}; the valid
/// one with the higher sequence counts. The other is overwritten by the next `store`, which flushes file and
/// directory before it returns. Damage is told, never mended in silence: whoever lost what was promised here
/// must not act as if not. Both are written in place, so that a full disk has room for what it had before.
/// Not for use by several threads or processes at once; lock the directory (`Files.lock`).
public struct TwoSlotFile: Sendable {
    /// What is there at start-up.
    public enum Loaded: Equatable, Sendable {
        /// Neither slot exists: nothing was ever stored here.
        case empty
        /// `damagedSlot` says what is wrong with the other slot: a torn write of a newer state that was never
        /// confirmed, or damage to the disk.
        case loaded([UInt8], sequence: UInt64, damagedSlot: String?)
        /// What was stored is lost.
        case corrupt(String)
    }

    /// The most payload bytes that a slot takes.
    public static let payloadLimit = 4 << 20
    private static let magic = Array("MTRSTATE".utf8)
    private static let format: UInt32 = 1
    private static let headerBytes = 32

    private enum Slot {
        case missing
        case good(payload: [UInt8], sequence: UInt64)
        case bad(String)
    }

    private let paths: [String]
    /// Set by `load`; storing over what was not read could destroy the only good slot.
    private var next: (slot: Int, sequence: UInt64)?

    public init(directory: String) {
        paths = ["\(directory)/state.a", "\(directory)/state.b"]
    }

    /// Reads both slots. Must come before `store`.
    ///
    /// - Throws: when a slot that exists cannot be read (permissions, I/O error): try again, nothing is known
    ///   yet.
    public mutating func load() throws(SystemError) -> Loaded {
        var slots: [Slot] = []
        for path in paths { slots.append(try Self.read(path)) }
        next = nil
        switch (slots[0], slots[1]) {
        case (.missing, .missing):
            next = (0, 1)
            return .empty
        case (.good(let payload, let sequence), .good(_, let other)) where sequence > other:
            next = (1, sequence + 1)
            return .loaded(payload, sequence: sequence, damagedSlot: nil)
        case (.good, .good(let payload, let sequence)):
            next = (0, sequence + 1)
            return .loaded(payload, sequence: sequence, damagedSlot: nil)
        case (.good(let payload, let sequence), let other):
            next = (1, sequence + 1)
            return .loaded(payload, sequence: sequence, damagedSlot: Self.damage(other))
        case (let other, .good(let payload, let sequence)):
            next = (0, sequence + 1)
            return .loaded(payload, sequence: sequence, damagedSlot: Self.damage(other))
        default:
            return .corrupt(slots.compactMap(Self.damage).joined(separator: "; "))
        }
    }

    /// Why the slots that are there could not be written now, as far as asking tells; nil when they could.
    public var obstacle: SystemError? {
        for path in paths where Files.exists(path) && access(path, W_OK) != 0 {
            return SystemError(call: "access", code: errno, detail: path)
        }
        return nil
    }

    /// Stores a new state; when it returns, the state is on the disk and the next `load` finds it.
    ///
    /// When it throws, either the old or the new state is found, and only another successful `store` makes it
    /// sure.
    public mutating func store(_ payload: [UInt8]) throws(SystemError) {
        guard let (slot, sequence) = next else {
            fatalError("state file \(paths[0]): stored before it was loaded, or over a corrupt one")
        }
        if payload.count > Self.payloadLimit {
            throw SystemError(
                call: "store", code: EFBIG, detail: "\(paths[slot]): at most \(Self.payloadLimit) bytes fit")
        }
        try write(Self.encode(payload, sequence), to: paths[slot])
        next = (1 - slot, sequence + 1)
    }

    /// Gives up a corrupt state, on an operator's or the protocol's explicit decision: the damaged slots are
    /// kept as `state.a.damaged`, and the file is as empty.
    public mutating func setAside() throws(SystemError) {
        for path in paths where Files.exists(path) {
            try system("rename", path) { rename(path, "\(path).damaged") }
        }
        try Files.syncDirectory(Files.directory(of: paths[0]))
        next = (0, 1)
    }

    /// Writes in place: the other slot is the copy that a torn write leaves standing. A slot that is not
    /// there yet appears whole or not at all, for there may be no other.
    private func write(_ bytes: [UInt8], to path: String) throws(SystemError) {
        guard Files.exists(path) else { return try Files.replaceDurably(path, bytes, mode: 0o600) }
        let fd = try system("open", path) { open(path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW) }
        defer { close(fd) }
        try Files.writeFully(bytes, to: fd, path)
        try system("ftruncate", path) { ftruncate(fd, bytes.count) }
        try system("fsync", path) { fsync(fd) }
    }

    private static func damage(_ slot: Slot) -> String? {
        if case .bad(let reason) = slot { reason } else { nil }
    }

    private static func encode(_ payload: [UInt8], _ sequence: UInt64) -> [UInt8] {
        var bytes = magic + little(format) + little(sequence) + little(UInt64(payload.count))
        bytes += little(CRC32C.checksum([bytes, payload].joined()))
        return bytes + payload
    }

    private static func read(_ path: String) throws(SystemError) -> Slot {
        let bytes: [UInt8]
        do {
            bytes = try Files.readAll(path, limit: headerBytes + payloadLimit)
        } catch {
            if error.code == ENOENT { return .missing }
            if error.code == EFBIG { return .bad("\(path): longer than any state") }
            throw error
        }
        guard bytes.count >= headerBytes else { return .bad("\(path): only \(bytes.count) bytes, torn") }
        guard bytes.starts(with: magic) else { return .bad("\(path): does not begin as a state file") }
        let header = bytes[..<(headerBytes - 4)]
        let payload = bytes[headerBytes...]
        guard number(bytes[8..<12]) == UInt64(format) else {
            return .bad("\(path): format \(number(bytes[8..<12])), this program reads format \(format)")
        }
        guard number(bytes[20..<28]) == UInt64(payload.count) else {
            return .bad(
                "\(path): \(payload.count) bytes where the header says \(number(bytes[20..<28])), torn")
        }
        guard number(bytes[28..<32]) == UInt64(CRC32C.checksum([header, payload].joined())) else {
            return .bad("\(path): checksum does not match, torn or damaged")
        }
        return .good(payload: Array(payload), sequence: number(bytes[12..<20]))
    }

    private static func little(_ value: some FixedWidthInteger) -> [UInt8] {
        withUnsafeBytes(of: value.littleEndian) { Array($0) }
    }

    private static func number(_ bytes: ArraySlice<UInt8>) -> UInt64 {
        bytes.reversed().reduce(0) { $0 << 8 | UInt64($1) }
    }
}
