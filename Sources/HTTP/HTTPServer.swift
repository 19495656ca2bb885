internal import CMicroHTTP
internal import Glibc
internal import Platform

/// The checks and the status on 5500, answered from memory on threads of their own.
///
/// Nothing that a client does here reaches the control thread: it only publishes reports.
public final class HTTPServer {
    /// Bounds per listening address. Connections above the number wait in the kernel's queue.
    public static let connectionLimit: UInt32 = 256
    /// A connection without progress for so many seconds is closed.
    public static let idleSeconds: UInt32 = 10
    /// Holds the request's line, its headers and the answer's headers; longer requests are refused (414,
    /// 431).
    public static let connectionBytes = 16 * 1024
    private static let stackBytes = 1 << 20

    /// The server could not start: which address and port, why, and what would be right.
    public struct StartError: Error, CustomStringConvertible {
        public let description: String
        /// errno; EADDRINUSE when somebody else has the port.
        public let code: Int32
    }

    /// What the C callbacks get; lives as long as the servers.
    private final class Context: Sendable {
        let report: @Sendable () -> HTTPReport
        init(report: @escaping @Sendable () -> HTTPReport) { self.report = report }
    }

    private let context: Context
    private var servers: [OpaquePointer] = []
    /// The port that is listened on; of use when 0 was asked for.
    public private(set) var port: UInt16

    /// Starts to serve.
    ///
    /// - Parameters:
    ///   - listen: `*` for all of IPv4 and IPv6, or numeric addresses separated by commas.
    ///   - report: the newest report; called on the server's threads, MUST not block.
    public init(
        listen: String, port: UInt16, report: @escaping @Sendable () -> HTTPReport
    ) throws(StartError) {
        context = Context(report: report)
        self.port = port
        do throws(StartError) {
            for host in listen == "*" ? ["0.0.0.0", "::"] : listen.split(separator: ",").map(String.init) {
                try start(on: host.filter { $0 != " " }, isOptional: listen == "*")
            }
        } catch {
            stop()
            throw error
        }
    }

    deinit { stop() }

    /// Ends all connections. Returns when the threads have ended.
    public func stop() {
        for server in servers { cmicrohttp_stop(server) }
        servers = []
    }

    private func start(on host: String, isOptional: Bool) throws(StartError) {
        guard let address = SocketAddress(host: host, port: port) else {
            throw StartError(
                description: "listen_address = \(host): must be * or a numeric IP address", code: EINVAL)
        }
        let listener: Int32
        do {
            listener = try Sockets.listen(on: address)
        } catch  where isOptional && error.code == EAFNOSUPPORT {
            return  // A kernel without IPv6 has one kind of "all addresses" less.
        } catch {
            throw Self.explained(error, address)
        }
        if port == 0, let chosen = Sockets.localAddress(listener)?.port { port = chosen }
        guard let server = serve(listener) else {
            let error = SystemError(call: "MHD_start_daemon", code: errno, detail: "\(address)")
            close(listener)
            throw Self.explained(error, address)
        }
        servers.append(server)
    }

    private static func explained(_ error: SystemError, _ address: SocketAddress) -> StartError {
        let advice =
            error.code == EADDRINUSE
            ? "stop what listens there (ss -ltnp shows it), or set another http_port"
            : "check listen_address and http_port"
        return StartError(description: "HTTP on \(address): \(error): \(advice)", code: error.code)
    }

    private func serve(_ listener: Int32) -> OpaquePointer? {
        var settings = cmicrohttp_settings()
        settings.listener = listener
        settings.connections = Self.connectionLimit
        settings.idle_seconds = Self.idleSeconds
        settings.connection_bytes = Self.connectionBytes
        settings.stack_bytes = Self.stackBytes
        settings.context = Unmanaged.passUnretained(context).toOpaque()
        settings.complain = { _, text in
            guard let text else { return }
            Log.debug("http: \(String(cString: text).filter { !$0.isNewline })")
        }
        settings.answer = { pointer, method, path, request in
            guard let pointer, let method, let path, let request else { return }
            let context = Unmanaged<Context>.fromOpaque(pointer).takeUnretainedValue()
            HTTPServer.answer(context.report(), String(cString: method), String(cString: path), request)
        }
        return cmicrohttp_start(&settings)
    }

    // MARK: One request

    private static let methods = "GET, HEAD, OPTIONS"

    private static func answer(
        _ report: HTTPReport, _ method: String, _ path: String, _ request: OpaquePointer
    ) {
        guard let endpoint = Endpoints.find(path) else { return reply(request, Endpoints.notFound()) }
        let asked = HTTPRequest(path: path, arguments: arguments(of: request), now: BootClock.now())
        switch method {
        case "GET", "HEAD": reply(request, endpoint.answer(report, asked))
        case "OPTIONS":
            let response = endpoint.answer(report, asked)
            let bare = HTTPResponse(status: response.status, type: response.type, body: [])
            reply(request, bare, allow: methods)
        default:
            let refusal = HTTPResponse.text(405, "\(method) is not possible: nothing can be changed here\n")
            reply(request, refusal, allow: methods)
        }
    }

    private static func reply(_ request: OpaquePointer, _ response: HTTPResponse, allow: String? = nil) {
        response.body.withUnsafeBytes { body in
            cmicrohttp_reply(request, response.status, response.type, allow, body.baseAddress, body.count)
        }
    }

    private static func arguments(of request: OpaquePointer) -> [(name: String, value: String)] {
        var found: [(name: String, value: String)] = []
        withUnsafeMutablePointer(to: &found) { list in
            cmicrohttp_arguments(request, list) { list, name, value in
                guard let list, let name else { return }
                let pairs = list.assumingMemoryBound(to: [(name: String, value: String)].self)
                pairs.pointee.append((String(cString: name), value.map { String(cString: $0) } ?? ""))
            }
        }
        return found
    }
}
