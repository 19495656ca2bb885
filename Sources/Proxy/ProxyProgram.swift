internal import Glibc
internal import Platform

/// The whole of `matriarch-proxy`.
public enum ProxyProgram {
    private static let usage: Int32 = 64
    private static let configuration: Int32 = 78

    /// Relays until SIGTERM or SIGINT.
    ///
    /// HUP, USR1 and USR2 are ignored: `systemctl kill` may send to all processes of a unit what is meant
    /// for the agent.
    /// - Returns: 0 after a signal, 64 for wrong arguments, 78 for what freeing a port or a chown mends,
    ///   else 1.
    public static func run(arguments: [String]) -> Int32 {
        for number in [SIGHUP, SIGUSR1, SIGUSR2] { signal(number, SIG_IGN) }
        SignalWatch.block([SIGTERM, SIGINT])
        defer { Log.flush() }
        do {
            guard let options = try ProxyOptions.parse(arguments) else {
                print(ProxyOptions.usage, terminator: "")
                return 0
            }
            try serve(options)
            return 0
        } catch let error as ProxyOptions.UsageError {
            Log.error("matriarch-proxy: \(error)")
            return usage
        } catch let error as SystemError {
            Log.error("matriarch-proxy cannot start: \(explained(error))")
            return [EADDRINUSE, EADDRNOTAVAIL, EACCES, EPERM, ENOENT, ENOTDIR, EINVAL].contains(error.code)
                ? configuration : 1
        } catch {
            Log.error("matriarch-proxy cannot start: \(error)")
            return 1
        }
    }

    private static func serve(_ options: ProxyOptions) throws {
        let loop = try EventLoop()
        let signals = try SignalWatch([SIGTERM, SIGINT], on: loop) { _ in loop.stop() }
        let server = try ProxyServer(options: options, loop: loop)
        Log.notice("relaying", [("listen", options.listenAddress), ("port", "\(options.port)")])
        Systemd.notify("READY=1")
        loop.run()
        Systemd.notify("STOPPING=1")
        server.stop()
        signals.stop()
    }

    private static func explained(_ error: SystemError) -> String {
        switch error.code {
        case EADDRINUSE: "\(error): stop what listens there (ss -ltnp shows it), or set another proxy_port"
        case EADDRNOTAVAIL: "\(error): listen_address must be an address of this machine"
        case EACCES, EPERM: "\(error): this user may not"
        default: "\(error)"
        }
    }
}
