import Glibc
import Platform
import TestSupport

@testable import Proxy

/// A `matriarch-proxy` as a process, killed with its owner.
final class ProxyProcess {
    static let program = BuiltPrograms.path("matriarch-proxy")

    let directory: TemporaryDirectory
    let process: ChildProcess
    private let host: String
    private let port: UInt16
    private var orders: Wire?

    /// Starts it and waits until it can be spoken to.
    init(
        host: String, port: UInt16, descriptors: Int? = nil, in directory: TemporaryDirectory? = nil
    ) throws {
        self.host = host
        self.port = port
        let directory = try directory ?? TemporaryDirectory("proxy")
        self.directory = directory
        var command = [Self.program] + Self.arguments(directory.path, host, port)
        if let descriptors { command = ["/usr/bin/prlimit", "--nofile=\(descriptors)"] + command }
        process = try ChildProcess.spawn(
            executable: command[0], arguments: Array(command.dropFirst()), standardOutput: .discard,
            standardError: .discard)
        let process = process
        _ = try waitFor("the proxy answers (\(process.executable))") { try? state() }
    }

    deinit {
        try? process.signal(SIGKILL)
        _ = process.wait()
    }

    static func runToEnd(
        _ directory: String, host: String, port: UInt16
    ) throws -> (exit: ChildProcess.Exit, output: String, error: String) {
        try ChildProcess.run(
            program, arguments(directory, host, port), until: BootClock.now() + 10_000_000_000)
    }

    private static func arguments(_ directory: String, _ host: String, _ port: UInt16) -> [String] {
        ["--runtime-directory", directory, "--listen-address", host, "--port", "\(port)"]
    }

    func connect() throws -> Wire { try Wire.connect(host: host, port: port) }

    /// Gives an order as an agent of session 1.
    func route(_ backend: Backend, epoch: UInt64 = 1) throws {
        let orders = try orders ?? greet()
        self.orders = orders
        try orders.send(Array(Message.order(backend.order(epoch: epoch)).text.utf8))
    }

    private func greet() throws -> Wire {
        let orders = try Wire.connect(path: ProxyServer.socketPath(directory.path))
        try orders.send(Array("hello 1 main".utf8))
        _ = try orders.receiveText()
        return orders
    }

    func session(_ backend: Backend) throws -> (client: Wire, server: Wire) {
        let client = try connect()
        try client.send(Packet.startup())
        let server = try backend.accept()
        _ = try server.receive(Packet.startup().count)
        return (client, server)
    }

    func state() throws -> ProxyState {
        let asking = try Wire.connect(path: ProxyServer.socketPath(directory.path))
        try asking.send(Array("state".utf8))
        guard case .state(let state) = Message(try asking.receiveText()) else {
            throw Wire.Failure(description: "no state")
        }
        return state
    }

    /// Memory that is in use now.
    func residentBytes() throws -> Int {
        let fields = try Files.readText("/proc/\(process.pid)/statm").split(separator: " ")
        return (fields.count > 1 ? Int(fields[1]) ?? 0 : 0) * Int(sysconf(Int32(_SC_PAGESIZE)))
    }

    /// Processor time that was used, in hundredths of a second.
    func processorTicks() throws -> Int {
        let line = try Files.readText("/proc/\(process.pid)/stat")
        let fields = line.split(separator: ")").last?.split(separator: " ") ?? []
        guard fields.count > 12, let user = Int(fields[11]), let system = Int(fields[12]) else {
            throw Wire.Failure(description: "no processor time in \(line)")
        }
        return user + system
    }
}
