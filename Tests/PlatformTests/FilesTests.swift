import Glibc
import Platform
import TestSupport
import Testing

struct FilesTests {
    @Test func aReplacedFileHasTheNewBytesTheModeAndNoLeftovers() throws {
        let directory = try TemporaryDirectory()
        let path = "\(directory.path)/settings"
        try Files.replaceDurably(path, Array("one".utf8), mode: 0o644)
        try Files.replaceDurably(path, Array("two".utf8), mode: 0o640)
        #expect(try Files.readText(path) == "two")
        var status = stat()
        #expect(stat(path, &status) == 0)
        #expect(status.st_mode & 0o777 == 0o640)
        #expect(try Files.list(directory.path) == ["settings"])
        try Files.removeDurably(path)
        try Files.removeDurably(path)
        #expect(!Files.exists(path))
    }

    @Test func aFailedReplaceLeavesTheOldFileAndSaysWhereItFailed() throws {
        let directory = try TemporaryDirectory()
        let error = #expect(throws: SystemError.self) {
            try Files.replaceDurably("\(directory.path)/none/settings", [1])
        }
        #expect(error?.code == ENOENT)
        #expect(error?.description == "open: No such file or directory: \(directory.path)/none/settings.new")
    }

    /// The same file, written over: nobody has to find room for it, and whoever has it open sees the new.
    @Test func anOverwrittenFileStaysTheSameFile() throws {
        let directory = try TemporaryDirectory()
        let path = "\(directory.path)/promise"
        try Files.overwrite(path, Array("first ".utf8), mode: 0o600)
        var before = stat()
        #expect(stat(path, &before) == 0)
        try Files.overwrite(path, Array("second".utf8), mode: 0o600)
        var after = stat()
        #expect(stat(path, &after) == 0)
        #expect(try Files.readText(path) == "second")
        #expect(before.st_ino == after.st_ino && after.st_mode & 0o777 == 0o600)
        #expect(try Files.list(directory.path) == ["promise"])
        // Covers the beginning only: who writes texts of several lengths fills them up.
        try Files.overwrite(path, Array("3".utf8), mode: 0o600)
        #expect(try Files.readText(path) == "3econd")
    }

    @Test func aFileLongerThanItsLimitIsRefusedNotCut() throws {
        let directory = try TemporaryDirectory()
        let path = "\(directory.path)/long"
        try Files.replaceDurably(path, [UInt8](repeating: 7, count: 100))
        #expect(try Files.readAll(path, limit: 100).count == 100)
        let error = #expect(throws: SystemError.self) { try Files.readAll(path, limit: 99) }
        #expect(error?.code == EFBIG)
    }

    @Test func aDirectoryIsMadeOnceWithItsModeWhateverTheUmask() throws {
        let directory = try TemporaryDirectory()
        let path = "\(directory.path)/data"
        try Files.makeDirectory(path, mode: 0o750)
        try Files.makeDirectory(path, mode: 0o700)
        var status = stat()
        #expect(stat(path, &status) == 0)
        #expect(status.st_mode & 0o777 == 0o750)
        #expect(try Files.owner(of: path).uid == getuid())
        #expect(try Files.freeBytes(at: path) > 0)
    }

    @Test func aLockedDirectoryNamesItsHolder() throws {
        let directory = try TemporaryDirectory()
        let lock = try Files.lockDirectory(directory.path)
        let error = #expect(throws: FileLock.Held.self) { try Files.lockDirectory(directory.path) }
        #expect(error?.holder == getpid())
        #expect("\(try #require(error))" == "\(directory.path) is locked by process \(getpid())")
        withExtendedLifetime(lock) {}
    }

    @Test func aLockEndsWithItsHolder() throws {
        let directory = try TemporaryDirectory()
        do {
            let lock = try Files.lock("\(directory.path)/agent.lock")
            withExtendedLifetime(lock) {}
        }
        _ = try Files.lock("\(directory.path)/agent.lock")
    }

    @Test(arguments: [
        ("", 0x0000_0000 as UInt32), ("123456789", 0xE306_9283), ("a", 0xC1D0_4330),
        ("The quick brown fox jumps over the lazy dog", 0x2262_0404),
    ])
    func checksumsAreTheKnownOnes(_ text: String, _ checksum: UInt32) {
        #expect(CRC32C.checksum(text.utf8) == checksum)
    }

    @Test func checksumsOfTheStandardsBlocksAreTheKnownOnes() {
        // RFC 3720, B.4.
        #expect(CRC32C.checksum([UInt8](repeating: 0, count: 32)) == 0x8A91_36AA)
        #expect(CRC32C.checksum([UInt8](repeating: 0xFF, count: 32)) == 0x62A8_AB43)
        #expect(CRC32C.checksum((0..<32).map { UInt8($0) }) == 0x46DD_794E)
    }

    @Test func aTimeIsPrintedAsISO8601InUTC() {
        #expect(WallClock.iso8601((1_795_226_400, 123_999_999)) == "2026-11-21T02:00:00.123Z")
        #expect(WallClock.iso8601((0, 0)) == "1970-01-01T00:00:00.000Z")
    }

    @Test func theBootHasAName() throws {
        #expect(try BootID.current.utf8.count == 36)
    }
}
