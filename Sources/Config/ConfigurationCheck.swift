import Consensus

/// What no single value shows: settings that cannot go together, and what this version does not do yet.
struct ConfigurationCheck {
    /// A lease must leave at least this for the slowest round trip to a voter: less is eaten by a loaded
    /// machine.
    static let leastRoundTrip = Duration.milliseconds(50)

    private let configuration: Configuration

    init(_ configuration: Configuration) { self.configuration = configuration }

    private struct Finding {
        let keys: [String]
        let code: ConfigurationError.Code
        let problem: String
    }

    /// Every contradiction, except those that involve a key whose value was refused anyway.
    func contradictions(leavingOut broken: [String]) -> [ConfigurationError] {
        let findings = membership() + machine() + ports() + directories() + roles() + heartbeat() + notBuilt()
        return findings.filter { finding in !finding.keys.contains { broken.contains($0) } }.map { finding in
            let key = finding.keys.first { configuration.isSet($0) } ?? finding.keys[0]
            let value = Setting.named(key)?.text(in: configuration)
            return ConfigurationError(
                finding.code, at: configuration.origin(of: key), key: key, value: value, finding.problem)
        }
    }

    private func contradiction(_ keys: [String], _ problem: String) -> Finding {
        Finding(keys: keys, code: .contradiction, problem: problem)
    }

    private func membership() -> [Finding] {
        var found: [Finding] = []
        let hasProof = configuration.clusterSecretFile != nil || configuration.tlsCertificateFile != nil
        if !configuration.peers.isEmpty, !hasProof {
            found.append(
                contradiction(
                    ["peers", "cluster_secret_file"],
                    """
                    peers need a way to prove themselves to each other. Run 'matriarch secret create' once, \
                    copy the file to every node and set cluster_secret_file
                    """))
        }
        if let expected = configuration.bootstrapExpect, expected > 1, configuration.peers.isEmpty {
            found.append(
                contradiction(
                    ["bootstrap_expect", "peers"],
                    "\(expected) members cannot find each other while peers is empty; set peers, or expect 1")
            )
        }
        return found
    }

    private func machine() -> [Finding] {
        var found: [Finding] = []
        if !configuration.isSet("node_name") {
            var probe = configuration
            do {
                try Setting.named("node_name")?.take(configuration.nodeName, &probe)
            } catch {
                let problem = "the host name \(error.problem); set node_name"
                found.append(contradiction(["node_name"], problem))
            }
        }
        if configuration.nodeAddress.isEmpty {
            let problem = "this machine has no address but loopback; set where peers can reach it"
            found.append(contradiction(["node_address"], problem))
        }
        if configuration.postgresBinDirectory.isEmpty, configuration.nodeKind == .data {
            let problem =
                "there is no PostgreSQL in /usr/lib/postgresql; install postgresql-15, or set the directory"
            found.append(contradiction(["postgres_bin_directory"], problem))
        }
        return found
    }

    private func ports() -> [Finding] {
        let ports = [
            ("postgres_port", configuration.postgresPort), ("proxy_port", configuration.proxyPort),
            ("proxy_readonly_port", configuration.proxyReadonlyPort), ("http_port", configuration.httpPort),
            ("peer_port", configuration.peerPort),
        ].filter { $0.1 != 0 }
        return ports.indices.flatMap { i in
            ports[(i + 1)...].filter { $0.1 == ports[i].1 }.map { other in
                contradiction(
                    [other.0, ports[i].0].sorted { configuration.isSet($0) && !configuration.isSet($1) },
                    "\(ports[i].0) and \(other.0) are both \(other.1); each port needs a number of its own")
            }
        }
    }

    private func directories() -> [Finding] {
        let data = configuration.dataDirectory
        let others = [
            ("state_directory", configuration.stateDirectory),
            ("runtime_directory", configuration.runtimeDirectory),
        ]
        return others.filter { $0.1 == data || $0.1.hasPrefix(data + "/") }.map { key, path in
            contradiction(
                [key, "data_directory"],
                "\(path) lies in data_directory \(data), which is replaced when a node is cloned; move it out"
            )
        }
    }

    private func roles() -> [Finding] {
        let roles = [
            ("operator_role", configuration.operatorRole), ("admin_role", configuration.adminRole),
            ("replication_role", configuration.replicationRole),
        ]
        return roles.indices.flatMap { i in
            roles[(i + 1)...].filter { $0.1 == roles[i].1 }.map { other in
                contradiction(
                    [other.0, roles[i].0],
                    "\(roles[i].0) and \(other.0) are both \(other.1); they must be different roles")
            }
        }
    }

    /// Protocol: Times. Three heartbeats and the slowest round trip must fit into the lease before demotion
    /// begins.
    private func heartbeat() -> [Finding] {
        let timings = configuration.timings
        guard timings.roundTripBudget < Self.leastRoundTrip else { return [] }
        let longest = (timings.lease - timings.demoteMargin - Self.leastRoundTrip).milliseconds / 3
        let left = timings.roundTripBudget > .zero ? Quantity.text(timings.roundTripBudget) : "no time"
        return [
            contradiction(
                ["heartbeat_interval", "lease_duration"],
                """
                is too long for a lease of \(Quantity.text(timings.lease)): after three heartbeats the \
                round trip to a voter would have \(left), it needs \
                \(Quantity.text(Self.leastRoundTrip)) or more; at most \(longest)ms here, or a longer lease
                """)
        ]
    }

    private func notBuilt() -> [Finding] {
        var found: [Finding] = []
        if [.quorum, .quorumStrict].contains(configuration.synchronousMode) {
            found.append(
                Finding(
                    keys: ["synchronous_mode"], code: .notBuilt,
                    problem: "quorum durability is not built yet; use 'auto' or 'off'"))
        }
        let certificates = ["tls_certificate_file", "tls_key_file", "tls_ca_file"].filter(configuration.isSet)
        for key in certificates {
            found.append(
                Finding(
                    keys: [key], code: .notBuilt,
                    problem: "certificates for peers are not built yet; use cluster_secret_file"))
        }
        return found
    }

    var notices: [ConfigurationNotice] {
        var notices: [ConfigurationNotice] = []
        if configuration.synchronousMode == .auto {
            notices.append(
                notice(
                    "synchronous_mode",
                    "auto is the same as off in this version: a write that only a lost primary had is lost"))
        }
        for setting in Setting.all where configuration.isSet(setting.key) {
            if let feature = setting.awaits {
                notices.append(notice(setting.key, "has no effect until \(feature) is built"))
            }
        }
        for tag in configuration.tags where Tag.withoutEffectYet.contains(Tag.name(of: tag)) {
            notices.append(notice("tags", "\(Tag.name(of: tag)) has no effect in this version"))
        }
        return notices
    }

    private func notice(_ key: String, _ text: String) -> ConfigurationNotice {
        ConfigurationNotice(origin: configuration.origin(of: key), key: key, text: text)
    }
}
