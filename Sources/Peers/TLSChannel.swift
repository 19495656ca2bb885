import COpenSSL

/// TLS over one socket that never blocks.
///
/// The socket stays the caller's, and MUST be closed after the channel is gone.
final class TLSChannel {
    enum Step: Equatable {
        case done
        case wantsRead
        case wantsWrite
        /// The other side ended the connection.
        case closed
        case failed(Failure)
    }

    enum Transfer: Equatable {
        case bytes(Int)
        case stopped(Step)
    }

    struct Failure: Error, Equatable, CustomStringConvertible {
        enum Kind: Equatable {
            /// The socket failed; the number is an errno.
            case socket(Int32)
            case notTLS
            /// Sound TLS, but the other side offers no shared secret at all.
            case noSecret
            case otherSecret
            /// The other side does not accept our secret.
            case refusedUs
        }

        var kind: Kind
        /// OpenSSL's own words, for the log.
        var reason: String

        var description: String { reason }
    }

    private let context: TLSContext
    private let pointer: OpaquePointer

    /// nil when memory is out.
    init?(context: TLSContext, socket: Int32, dials: Bool) {
        guard let pointer = psk_tls_channel_new(context.pointer, socket, dials ? 1 : 0) else { return nil }
        self.context = context
        self.pointer = pointer
    }

    deinit { psk_tls_channel_free(pointer) }

    /// One step; `.done` means that both sides have proven that they hold the secret.
    func handshake() -> Step { step(psk_tls_handshake(pointer)) }

    func read(into buffer: UnsafeMutableRawBufferPointer) -> Transfer {
        transfer(psk_tls_read(pointer, buffer.baseAddress, Int32(clamping: buffer.count)))
    }

    /// After `.wantsRead` or `.wantsWrite` the next write MUST begin with the same bytes.
    func write(_ bytes: ArraySlice<UInt8>) -> Transfer {
        bytes.withUnsafeBufferPointer { buffer in
            transfer(psk_tls_write(pointer, buffer.baseAddress, Int32(clamping: buffer.count)))
        }
    }

    /// Says goodbye if the socket takes it at once.
    func sayGoodbye() { psk_tls_close(pointer) }

    private func transfer(_ result: Int32) -> Transfer {
        result > 0 ? .bytes(Int(result)) : .stopped(step(result))
    }

    private func step(_ result: Int32) -> Step {
        switch result {
        case PSK_TLS_DONE.rawSigned: .done
        case PSK_TLS_WANT_READ.rawSigned: .wantsRead
        case PSK_TLS_WANT_WRITE.rawSigned: .wantsWrite
        case PSK_TLS_CLOSED.rawSigned: .closed
        case PSK_TLS_LOST.rawSigned:
            .failed(Failure(kind: .socket(psk_tls_errno(pointer)), reason: "the socket failed"))
        default: .failed(Failure(kind: failureKind, reason: String(cString: psk_tls_reason(pointer))))
        }
    }

    private var failureKind: Failure.Kind {
        switch UInt32(bitPattern: psk_tls_failure(pointer)) {
        case PSK_TLS_NO_SECRET.rawValue: .noSecret
        case PSK_TLS_OTHER_SECRET.rawValue: .otherSecret
        case PSK_TLS_REFUSED_US.rawValue: .refusedUs
        default: .notTLS
        }
    }
}

extension psk_tls_result {
    fileprivate var rawSigned: Int32 { rawValue }
}
