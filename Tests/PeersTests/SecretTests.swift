import Glibc
import Platform
import Testing

@testable import Peers

@Suite final class SecretTests {
    private let directory: String

    init() throws {
        var template = Array("/tmp/matriarch-secret-XXXXXX".utf8CString)
        directory = try #require(mkdtemp(&template).map { String(cString: $0) })
    }

    deinit {
        for name in (try? Files.list(directory)) ?? [] { unlink("\(directory)/\(name)") }
        rmdir(directory)
    }

    private func file(_ content: String, mode: mode_t = 0o600) throws -> String {
        let path = "\(directory)/secret"
        try Files.replaceDurably(path, Array(content.utf8), mode: mode)
        return path
    }

    private func problem(_ path: String) -> SecretError.Problem? {
        do {
            _ = try ClusterSecret.load(path)
            return nil
        } catch {
            return error.problem
        }
    }

    @Test func `a new secret can be loaded again and is like no other`() throws {
        let first = try ClusterSecret.create("\(directory)/a")
        let second = try ClusterSecret.create("\(directory)/b")
        #expect(try ClusterSecret.load("\(directory)/a").keyIdentity == first.keyIdentity)
        #expect(first.keyIdentity != second.keyIdentity)
        #expect(first.fingerprint.count == 8)
        var status = stat()
        #expect(stat("\(directory)/a", &status) == 0)
        #expect(status.st_mode & 0o7777 == 0o600)
    }

    @Test func `the name of the key does not hold the secret`() throws {
        let secret = try ClusterSecret.create("\(directory)/a")
        let text = try Files.readText("\(directory)/a")
        #expect(!text.contains(secret.keyIdentity))
        secret.withTLSKey { key in
            #expect(key.count == 32)
            #expect(!text.contains(key.map { String($0, radix: 16) }.joined()))
        }
    }

    @Test func `what is derived from a secret never changes`() {
        // HKDF-SHA256 by another implementation: agents of two versions must agree on it.
        let secret = ClusterSecret(bytes: [UInt8](repeating: 0x0F, count: 32))
        #expect(secret.keyIdentity == "78df11baacd5705faac631c06deb0945")
        secret.withTLSKey { #expect(Array($0.prefix(4)) == [0x5E, 0x85, 0xD0, 0x7C]) }
    }

    @Test func `a secret is never overwritten`() throws {
        let path = "\(directory)/a"
        let before = try ClusterSecret.create(path)
        #expect(throws: SecretError(path: path, problem: .exists)) { try ClusterSecret.create(path) }
        #expect(try ClusterSecret.load(path).keyIdentity == before.keyIdentity)
    }

    @Test func `who may not write a secret is told so`() throws {
        // Nobody makes files there, not even root.
        let error = #expect(throws: SecretError.self) { try ClusterSecret.create("/sys/matriarch.secret") }
        guard case .notPermitted = error?.problem else { throw try #require(error) }
        #expect(error?.description.contains("--output") == true)
    }

    @Test(arguments: [0o640, 0o604, 0o660, 0o666, 0o610] as [mode_t])
    func `a secret that others may read is refused`(mode: mode_t) throws {
        let path = "\(directory)/a"
        try ClusterSecret.create(path)
        #expect(chmod(path, mode) == 0)
        #expect(problem(path) == .mode(UInt32(mode)))
        #expect(SecretError(path: path, problem: .mode(UInt32(mode))).description.contains("chmod 0600"))
    }

    @Test func `a secret of another user is refused`() throws {
        try #require(geteuid() == 0, "only root can give a file away")
        let path = "\(directory)/a"
        try ClusterSecret.create(path)
        #expect(chown(path, 65534, 65534) == 0)
        #expect(problem(path) == .owner(65534, rightful: 0))
    }

    @Test func `what is no secret is refused for what it is`() throws {
        let header = ClusterSecret.header
        let digits = String(repeating: "0f", count: 32)
        #expect(problem("\(directory)/none") == .missing)
        #expect(problem(directory) == .notAFile)
        #expect(problem(try file("")) == .noHeader)
        #expect(problem(try file("hunter2\n")) == .noHeader)
        #expect(problem(try file("\(header)\n\(digits.dropLast(2))\n")) == .length(62))
        #expect(problem(try file("\(header)\n\(digits)00\n")) == .length(66))
        #expect(problem(try file("\(header)\n")) == .length(0))
        #expect(problem(try file("\(header)\n\(digits.dropLast(1))x\n")) == .notHexadecimal)
        let later = "# Matriarch cluster secret, version 2. Whatever."
        #expect(problem(try file("\(later)\n\(digits)\n")) == .version(later))
        #expect(problem(try file("\(header)\n\(digits)\n")) == nil)
        #expect(problem(try file("\(header)\r\n\(digits)\r\n")) == nil)
    }
}
