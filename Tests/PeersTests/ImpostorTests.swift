import Glibc
import Platform
import TestSupport
import Testing

@testable import Peers

/// Somebody else's TLS, as the openssl program speaks it, at either end of a link.
@Suite struct ImpostorTests {
    private static let openssl = "/usr/bin/openssl"
    private static var hasOpenSSL: Bool { access(openssl, X_OK) == 0 }

    let stage: Stage
    let secret = ClusterSecret(bytes: SecureRandom.bytes(32))
    let directory: TemporaryDirectory

    init() throws {
        stage = try Stage()
        directory = try TemporaryDirectory("impostor")
    }

    /// Runs openssl until `body` is done with it.
    private func withOpenSSL(_ arguments: [String], _ body: () throws -> Void) throws {
        let child = try ChildProcess.spawn(
            executable: ImpostorTests.openssl, arguments: arguments, standardOutput: .discard,
            standardError: .discard)
        defer {
            try? child.signal(SIGKILL)
            _ = child.wait()
        }
        try body()
    }

    /// A port that nobody listens on now.
    private func freePort() throws -> UInt16 {
        let listener = try Sockets.listen(on: #require(SocketAddress(host: "127.0.0.1", port: 0)))
        defer { close(listener) }
        return try #require(Sockets.localAddress(listener)?.port)
    }

    @Test(.enabled(if: hasOpenSSL, "needs /usr/bin/openssl; run: apt install openssl"))
    func `a listener with a certificate and no secret is not believed`() throws {
        let (key, certificate) = (directory.file("key"), directory.file("certificate"))
        let made = try ChildProcess.run(
            ImpostorTests.openssl,
            [
                "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=pg2", "-keyout", key, "-out",
                certificate,
            ],
            until: BootClock.now() + 60_000_000_000)
        try #require(made.exit.isSuccess, "\(made.error)")
        for (options, isExpected) in [
            ([], { $0 == .noSecret }), (["-tls1_2"], { "\($0)".contains("protocol version") }),
        ] as [([String], (RefusalReason) -> Bool)] {
            let port = try freePort()
            let one = try Station(stage, "pg1", secret: secret)
            let server = [
                "s_server", "-accept", "127.0.0.1:\(port)", "-key", key, "-cert", certificate, "-quiet",
            ]
            try withOpenSSL(server + options) {
                one.network.setPeers([PeerTarget(name: "pg2", host: "127.0.0.1", port: port)])
                stage.runUntil("it is refused") { one.refused.contains(where: isExpected) }
            }
            #expect(one.connected.isEmpty)
        }
    }

    @Test(.enabled(if: hasOpenSSL, "needs /usr/bin/openssl; run: apt install openssl"))
    func `a caller without a secret is refused`() throws {
        let one = try Station(stage, "pg1", secret: secret)
        for (options, expected) in [([], .noSecret), (["-psk", "00112233"], .otherSecret)]
            as [([String], RefusalReason)]
        {
            try withOpenSSL(["s_client", "-connect", "127.0.0.1:\(one.port)", "-tls1_3"] + options) {
                stage.runUntil("it is refused") { one.refused.contains(expected) }
            }
        }
        #expect(one.network.counts.incoming == 0)
    }

    @Test func `we offer TLS 1.3 with a fresh key exchange only, and say neither our name nor our cluster's`()
        throws
    {
        let listener = try Sockets.listen(on: #require(SocketAddress(host: "127.0.0.1", port: 0)))
        defer { close(listener) }
        let port = try #require(Sockets.localAddress(listener)?.port)
        let one = try Station(stage, "secretive-node", secret: secret, cluster: "secretive-cluster")
        one.network.setPeers([PeerTarget(host: "127.0.0.1", port: port)])
        var raw: RawPeer?
        stage.runUntil("the first words are there") {
            if raw == nil, let accepted = try? Sockets.accept(listener) {
                raw = try? RawPeer(accepted: accepted.fd)
            }
            raw?.listen()
            return (raw?.inbox.count ?? 0) > 200
        }
        let words = try #require(raw?.inbox)
        // Extensions: supported_versions with 1.3 alone, psk_key_exchange_modes with psk_dhe_ke alone.
        #expect(contains(words, [0, 0x2B, 0, 3, 2, 3, 4]))
        #expect(contains(words, [0, 0x2D, 0, 2, 1, 1]))
        #expect(contains(words, Array(secret.keyIdentity.utf8)))
        #expect(!contains(words, Array("secretive".utf8)))
    }

    private func contains(_ bytes: [UInt8], _ part: [UInt8]) -> Bool {
        guard bytes.count >= part.count else { return false }
        return (0...(bytes.count - part.count)).contains { Array(bytes[$0..<($0 + part.count)]) == part }
    }
}
