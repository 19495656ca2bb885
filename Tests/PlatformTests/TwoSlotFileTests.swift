import Glibc
import Platform
import TestSupport
import Testing

struct TwoSlotFileTests {
    private let directory: TemporaryDirectory
    private var a: String { "\(directory.path)/state.a" }
    private var b: String { "\(directory.path)/state.b" }

    init() throws { directory = try TemporaryDirectory() }

    private func reload() throws -> TwoSlotFile.Loaded {
        var file = TwoSlotFile(directory: directory.path)
        return try file.load()
    }

    /// Stores "1" … "count".
    private func store(_ count: Int) throws {
        var file = TwoSlotFile(directory: directory.path)
        _ = try file.load()
        for number in 1...count { try file.store(Array("state \(number)".utf8)) }
    }

    /// Damages do not flush.
    private func put(_ path: String, _ bytes: [UInt8]) throws {
        let fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC)
        try #require(fd >= 0)
        defer { close(fd) }
        try #require(bytes.isEmpty || write(fd, bytes, bytes.count) == bytes.count)
    }

    private func overwrite(_ path: String, _ change: (inout [UInt8]) -> Void) throws {
        var bytes = try Files.readAll(path, limit: 1 << 20)
        change(&bytes)
        try put(path, bytes)
    }

    @Test func nothingStoredIsEmpty() throws {
        #expect(try reload() == .empty)
    }

    @Test(arguments: 1...5)
    func theLastStateStoredIsFound(_ count: Int) throws {
        try store(count)
        let found = TwoSlotFile.Loaded.loaded(
            Array("state \(count)".utf8), sequence: UInt64(count), damagedSlot: nil)
        #expect(try reload() == found)
    }

    @Test func theSequenceGoesOnAfterARestart() throws {
        try store(2)
        try store(2)
        guard case .loaded(_, let sequence, _) = try reload() else {
            Issue.record("not loaded")
            return
        }
        #expect(sequence == 4)
    }

    @Test func aShorterStateReplacesALongerOne() throws {
        var file = TwoSlotFile(directory: directory.path)
        _ = try file.load()
        for size in [1000, 900, 10, 0] { try file.store([UInt8](repeating: 1, count: size)) }
        #expect(try reload() == .loaded([], sequence: 4, damagedSlot: nil))
    }

    /// A write torn anywhere leaves the state before it, with the damage told.
    @Test func aWriteTornAnywhereLeavesTheStateBefore() throws {
        try store(3)
        let newest = try Files.readAll(a, limit: 1 << 20)
        for length in 0..<newest.count {
            try put(a, Array(newest[..<length]))
            guard case .loaded(let payload, let sequence, let damage?) = try reload() else {
                Issue.record("torn at \(length)")
                continue
            }
            #expect(payload == Array("state 2".utf8))
            #expect(sequence == 2)
            #expect(damage.hasPrefix(a))
        }
    }

    /// Every single bit counts, in header and payload.
    @Test func everyFlippedBitIsNoticed() throws {
        try store(3)
        let newest = try Files.readAll(a, limit: 1 << 20)
        for bit in 0..<(newest.count * 8) {
            var bytes = newest
            bytes[bit / 8] ^= 1 << UInt8(bit % 8)
            try put(a, bytes)
            guard case .loaded(_, 2, .some) = try reload() else {
                Issue.record("bit \(bit)")
                continue
            }
        }
    }

    @Test func theDamagedSlotIsTheOneThatIsWrittenNext() throws {
        try store(3)
        try overwrite(a) { $0.removeLast() }
        try store(1)
        #expect(try reload() == .loaded(Array("state 1".utf8), sequence: 3, damagedSlot: nil))
    }

    @Test func twoDamagedSlotsAreCorruptAndSaySo() throws {
        try store(2)
        try overwrite(a) { $0[30] ^= 1 }
        try overwrite(b) { $0 = [] }
        guard case .corrupt(let reason) = try reload() else {
            Issue.record("not corrupt")
            return
        }
        #expect(reason == "\(a): checksum does not match, torn or damaged; \(b): only 0 bytes, torn")
    }

    @Test func aSingleDamagedSlotIsCorruptNotEmpty() throws {
        try store(1)
        try overwrite(a) { $0[35] ^= 1 }
        guard case .corrupt = try reload() else {
            Issue.record("not corrupt")
            return
        }
    }

    @Test func aCorruptStateSetAsideIsKeptForTheAutopsy() throws {
        try store(1)
        try overwrite(a) { $0[35] ^= 1 }
        var file = TwoSlotFile(directory: directory.path)
        _ = try file.load()
        try file.setAside()
        try file.store([9])
        #expect(try reload() == .loaded([9], sequence: 1, damagedSlot: nil))
        #expect(try Files.list(directory.path) == ["state.a", "state.a.damaged"])
    }

    @Test func aFormatOfTheFutureIsNamed() throws {
        try store(1)
        try overwrite(a) { $0[8] = 2 }
        #expect(try reload() == .corrupt("\(a): format 2, this program reads format 1"))
    }
}
