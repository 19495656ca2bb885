import Glibc
import Platform
import Testing

@testable import Peers

/// The other end of a link, without manners: it says exactly what a test wants it to say.
final class RawPeer {
    let socket: Int32
    private var channel: TLSChannel?
    private(set) var inbox: [UInt8] = []
    private(set) var isClosedByOther = false

    /// Connects; with a secret, TLS follows by `secure`.
    init(to port: UInt16, secret: ClusterSecret? = nil) throws {
        let address = try #require(SocketAddress(host: "127.0.0.1", port: port))
        socket = try Sockets.connect(to: address)
        if let secret {
            channel = try TLSChannel(context: TLSContext(secret: secret), socket: socket, dials: true)
        }
    }

    /// Takes over a connection: one that an agent made, or one of our own that needed care.
    init(accepted socket: Int32, dialling: Bool = false, secret: ClusterSecret? = nil) throws {
        self.socket = socket
        if let secret {
            channel = try TLSChannel(context: TLSContext(secret: secret), socket: socket, dials: dialling)
        }
    }

    deinit {
        channel = nil
        close(socket)
    }

    /// One step of the handshake; true when it is done.
    func secure() -> Bool { channel?.handshake() == .done }

    /// Sends all of it, or as much as the other side takes before it closes.
    func say(_ bytes: [UInt8]) {
        if let channel {
            _ = channel.write(bytes[...])
        } else {
            _ = try? Sockets.write(socket, bytes)
        }
    }

    /// Takes what has come in.
    func listen() {
        var buffer = [UInt8](repeating: 0, count: 20_000)
        while !isClosedByOther {
            let count = buffer.withUnsafeMutableBytes { space -> Int in
                guard let channel else { return recv(socket, space.baseAddress, space.count, 0) }
                switch channel.read(into: space) {
                case .bytes(let count): return count
                case .stopped(.wantsRead), .stopped(.wantsWrite): return -1
                case .stopped: return 0
                }
            }
            if count > 0 {
                inbox.append(contentsOf: buffer[..<count])
            } else if count == 0 || (channel == nil && errno == ECONNRESET) {
                isClosedByOther = true
            } else {
                return
            }
        }
    }

    var hasBeenSentAway: Bool {
        listen()
        return isClosedByOther
    }

    /// The frames that have come in, of any version.
    var frames: [Frame] {
        listen()
        var decoder = FrameDecoder(limit: 1 << 20)
        inbox.withUnsafeBytes { decoder.append($0) }
        var frames: [Frame] = []
        while let frame = try? decoder.next() { frames.append(frame) }
        return frames
    }
}
