import Lab
import Platform
import TestSupport
import Testing

/// EX_CONFIG: everything that editing, chown or freeing a port mends.
let configurationExit: Int32 = 78

/// Parent of the suites here: they look for free addresses, so one runs after the other.
@Suite("Bad input", .serialized)
enum BadInput {}

extension BadInput {
    @Suite("A node does not start with wrong settings", .serialized, .requiresPostgres, .requiresHerd)
    struct BadSettingTests {
        struct Case: Sendable, CustomTestStringConvertible {
            var what: String
            var changes: [String: String?]
            /// All of these are in the complaint.
            var words: [String]
            var testDescription: String { what }
        }

        static let cases = [
            Case(
                what: "unknown key", changes: ["lease_duraton": "5s"],
                words: ["matriarch.conf", "lease_duraton", "lease_duration"]),
            Case(
                what: "bad unit", changes: ["lease_duration": "5 parsecs"],
                words: ["lease_duration", "5 parsecs"]),
            Case(
                what: "out of range", changes: ["lease_duration": "100ms"],
                words: ["lease_duration", "1s", "60s"]),
            Case(
                what: "no number", changes: ["http_port": "many"], words: ["http_port", "many"]),
            Case(
                what: "contradicting ports", changes: ["http_port": "5433"],
                words: ["http_port", "postgres_port", "5433"]),
            Case(
                what: "heartbeat too slow for the lease", changes: ["heartbeat_interval": "900ms"],
                words: ["heartbeat_interval", "lease"]),
            Case(
                what: "peers without a secret", changes: ["peers": "127.0.0.9", "cluster_secret_file": nil],
                words: ["peers", "matriarch secret create"]),
            Case(
                what: "what is not built yet", changes: ["synchronous_mode": "quorum"],
                words: ["synchronous_mode", "quorum", "not built"]),
            Case(
                what: "a name beyond the limit", changes: ["node_name": String(repeating: "n", count: 64)],
                words: ["matriarch.conf", "node_name", "64 characters", "at most 63"]),
            Case(
                what: "no room for a socket's path",
                changes: ["runtime_directory": "/tmp/" + String(repeating: "r", count: 100)],
                words: ["runtime_directory", "105 bytes", "at most 92"]),
            Case(
                what: "no Postgres binaries", changes: ["postgres_bin_directory": "/nowhere/bin"],
                words: ["/nowhere/bin"]),
            Case(
                what: "secret file missing", changes: ["cluster_secret_file": "/nowhere/secret"],
                words: ["/nowhere/secret"]),
        ]

        @Test("Each is refused with 78 and words that mend it", arguments: cases)
        func refused(_ bad: Case) throws {
            let lone = try LoneNode()
            try lone.node.configure(bad.changes)
            let (exit, words) = try lone.refusal()
            #expect(exit == .status(configurationExit))
            for word in bad.words { #expect(words.contains(word), "no '\(word)' in: \(words)") }
            #expect(lone.node.processes.isEmpty, "something was started all the same")
            try lone.herd.destroy()
        }

        @Test("Bytes that are not UTF-8 in the settings file: refused with 78, the line and the byte")
        func notUTF8() throws {
            let lone = try LoneNode()
            let path = lone.node.configurationPath
            _ = try Files.append(path, Array("state_directory = '/tmp/caf".utf8) + [0xE9, 0x27, 0x0A])
            let line = try Files.readText(path).split(separator: "\n").count
            let (exit, words) = try lone.refusal()
            #expect(exit == .status(configurationExit))
            for word in ["matriarch.conf:\(line)", "0xE9", "UTF-8"] {
                #expect(words.contains(word), "\(words)")
            }
            #expect(lone.node.processes.isEmpty, "something was started all the same")
            try lone.herd.destroy()
        }

        @Test(
            "--check-config finds what would stop the start although the settings are good",
            arguments: ["postgres_bin_directory": "/nowhere/bin", "cluster_secret_file": "/nowhere/secret"])
        func startChecked(_ key: String, _ value: String) throws {
            let lone = try LoneNode()
            try lone.node.configure([key: value])
            let bad = try lone.node.run([lone.herd.programs["matriarchd"], "--check-config"])
            #expect(bad.status == configurationExit)
            #expect(bad.error.contains(value), "\(bad.error)")
            #expect(!Files.exists(lone.node.dataDirectory))
            try lone.herd.destroy()
        }

        @Test("--check-config finds it without starting anything, and names the line")
        func checked() throws {
            let lone = try LoneNode()
            let program = lone.herd.programs["matriarchd"]
            let good = try lone.node.run([program, "--check-config"])
            #expect(good.status == 0, "\(good.error)")
            try lone.node.configure(["lease_duration": "1 fortnight"])
            let bad = try lone.node.run([program, "--check-config"])
            #expect(bad.status == configurationExit)
            let lines = try SourceTree.read(lone.node.configurationPath).split(separator: "\n")
            let number = try #require(lines.firstIndex { $0.hasPrefix("lease_duration") }) + 1
            #expect(bad.error.contains("matriarch.conf:\(number)"), "\(bad.error)")
            try lone.herd.destroy()
        }
    }
}
