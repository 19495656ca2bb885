import Config
import TestSupport
import Testing

/// Texts made from the table of settings, compared with what is in the tree; `make docs` writes them anew.
@Suite struct GeneratedTextTests {
    private func machine() -> Machine {
        Machine(
            hostName: "pg1", addresses: ["10.0.0.1"], postgresBinDirectories: ["/usr/lib/postgresql/15/bin"],
            environment: [:])
    }

    private func sources(_ text: String) -> ConfigurationSources {
        let files = ConfigurationFiles(
            bytes: { _ in .success(Array(text.utf8)) }, names: { _ in .failure(.missing) })
        return ConfigurationSources(machine: machine(), files: files)
    }

    @Test func theSampleFileIsWhatDescribeConfigPrints() throws {
        try expectSnapshot(SettingsManual.sampleFile, at: SourceTree.root + "/etc/matriarch.conf")
    }

    @Test func theManualPageIsMadeFromTheTable() throws {
        try expectSnapshot(SettingsManual.page, at: SourceTree.root + "/docs/operate/configuration.md")
    }

    @Test func theHelpListsEverySetting() throws {
        try expectSnapshot(AgentArguments.help, at: "Snapshots/help.txt")
    }

    @Test(arguments: [("5s", "default"), ("1s", "short")])
    func theCheckReportSaysWhatFollowsFromTheLease(lease: String, name: String) throws {
        guard
            case .ok(let configuration, let notices) = Configuration.read(
                sources("lease_duration = \(lease)"))
        else {
            Issue.record("refused")
            return
        }
        let report = SettingsManual.report(on: configuration, notices: notices)
        try expectSnapshot(report, at: "Snapshots/check-\(name).txt")
    }

    @Test func theSampleAsItStandsChangesNothing() throws {
        let empty = Configuration.read(sources(""))
        let sample = Configuration.read(sources(SettingsManual.sampleFile))
        guard case .ok(let plain, _) = empty, case .ok(let same, _) = sample else {
            Issue.record("the sample file is refused")
            return
        }
        #expect(plain == same)
    }

    /// A sample line that would be refused as written teaches the wrong thing.
    @Test func everySampleLineIsAcceptedWhenUncommented() {
        let built = Setting.all.filter { !$0.key.hasPrefix("tls_") }
        for setting in built {
            let line = SettingsManual.sampleFile.split(separator: "\n").first {
                $0.hasPrefix("#\(setting.key) = ")
            }
            #expect(line != nil, "\(setting.key) has no line")
            let companion =
                switch setting.key {
                case "peers": "\ncluster_secret_file = '/etc/matriarch/cluster.secret'"
                case "bootstrap_expect":
                    "\npeers = 'pg2'\ncluster_secret_file = '/etc/matriarch/cluster.secret'"
                default: ""
                }
            let outcome = Configuration.read(sources(String(line?.dropFirst() ?? "") + companion))
            guard case .ok = outcome else {
                Issue.record("\(line ?? ""): \(outcome)")
                continue
            }
        }
    }

    @Test func aPasswordDoesNotShowItself() {
        var machine = machine()
        machine.environment["OPERATOR_PASSWORD"] = "hunter2"
        let files = ConfigurationFiles(bytes: { _ in .failure(.missing) }, names: { _ in .failure(.missing) })
        guard case .ok(let configuration, _) = Configuration.read(.init(machine: machine, files: files))
        else {
            Issue.record("refused")
            return
        }
        #expect(configuration.operatorPassword?.text == "hunter2")
        #expect(!"\(configuration)".contains("hunter2"))
        #expect(!String(reflecting: configuration).contains("hunter2"))
    }
}
