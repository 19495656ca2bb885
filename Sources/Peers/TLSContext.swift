import COpenSSL

/// OpenSSL's standing settings for one secret: TLS 1.3 only, no certificates, always a fresh key exchange.
final class TLSContext {
    let pointer: OpaquePointer

    init(secret: ClusterSecret) throws(TLSError) {
        let identity = Array(secret.keyIdentity.utf8)
        var reason = [CChar](repeating: 0, count: 160)
        let made = secret.withTLSKey { key in
            psk_tls_context_new(identity, identity.count, key.baseAddress, &reason, reason.count)
        }
        guard let made else { throw TLSError(reason: text(of: reason)) }
        pointer = made
    }

    deinit { psk_tls_context_free(pointer) }
}

/// OpenSSL cannot be set up; nothing that an operator's settings could cause.
struct TLSError: Error, Equatable, CustomStringConvertible {
    let reason: String

    var description: String { "OpenSSL: \(reason)" }
}

private func text(of characters: [CChar]) -> String {
    String(decoding: characters.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
}
