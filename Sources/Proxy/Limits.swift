internal import Platform
internal import Synchronization

/// Every bound of the proxy that is not an option of the program. Times in nanoseconds.
enum Limit {
    /// A client has this long to send its startup packet; Postgres gives the same (authentication_timeout).
    static let startup: Int64 = 60_000_000_000
    /// One attempt to connect to the primary, and to have its answer to a request for encryption.
    static let connect: Int64 = 3_000_000_000
    /// Between attempts while the primary is named but does not accept connections.
    static let retry: Int64 = 50_000_000
    /// A refused client that first has to finish asking for encryption.
    static let refusing: Int64 = 5_000_000_000
    /// A refused client has been told and should close.
    static let leaving: Int64 = 2_000_000_000
    /// What a client may send before it is connected; more stays in the kernel.
    static let handshakeBytes = 16 * 1024
    /// One read; also the most that waits in the proxy for a slow reader, per direction.
    static let chunkBytes = 64 * 1024
    /// Connections taken in a row before others get their turn.
    static let acceptBatch = 64
    /// A pause of accepting when descriptors run out.
    static let acceptPause: Int64 = 100_000_000
    /// Descriptors kept for everything that is not a session.
    static let spareDescriptors = 64
    /// An idle connection to a machine that is gone is noticed after about this many seconds.
    static let keepaliveSeconds: Int32 = 30
    /// Connections to the control socket; agents, and people who ask for the state.
    static let controlConnections = 16
    static let relayStackBytes = 256 * 1024
}

/// Counts of the whole process, read by `state`.
final class Counters: Sendable {
    let sessions = Atomic<Int>(0)
    let held = Atomic<Int>(0)
    let accepted = Atomic<UInt64>(0)
    let refused = Atomic<UInt64>(0)
    let cut = Atomic<UInt64>(0)
}

/// Bytes moved by one relay; apart from the other relays', so that they do not fight for a cache line.
final class Traffic: Sendable {
    let toServer = Atomic<UInt64>(0)
    let toClient = Atomic<UInt64>(0)
}

/// A warning that may come up a thousand times a second: says it once in ten seconds, with the count of those
/// held back.
struct Complaint {
    private static let interval: Int64 = 10_000_000_000
    private var quietUntil: Int64 = .min
    private var heldBack = 0

    mutating func say(_ text: String, _ fields: Log.Fields = []) {
        let now = BootClock.now()
        if now < quietUntil {
            heldBack += 1
            return
        }
        quietUntil = now + Self.interval
        Log.warning(text, heldBack > 0 ? fields + [("held_back", "\(heldBack)")] : fields)
        heldBack = 0
    }
}
