import Config
import Consensus
import Peers
import Platform
import Supervision

/// What the settings become for the node: its own record, its seeds, and what a cluster founded here starts
/// with.
extension Configuration {
    func nodeSettings() throws -> NodeSettings {
        var settings = NodeSettings(
            member: try ownRecord(), clusterName: clusterName,
            seeds: peers.map { seed($0) }, foundersExpected: bootstrapExpect,
            primaryRegion: primaryRegion.isEmpty ? region : primaryRegion, lease: leaseDuration,
            heartbeat: heartbeatInterval, maximumLagOnFailover: maximumLagOnFailover,
            coldStartWait: coldStartWait, stopTimeout: stopTimeout, credentials: try credentials(),
            agentVersion: Program.version)
        settings.deadMemberRemoval = deadMemberRemoval
        return settings
    }

    private func ownRecord() throws -> Member {
        guard !nodeAddress.isEmpty else {
            throw StartError(
                "node_address is not set and this machine has no address but loopback: set node_address to "
                    + "where "
                    + "peers and clients reach this node")
        }
        return Member(
            id: MemberID(nodeName), instance: "", address: nodeAddress, postgresPort: postgresPort,
            peerPort: peerPort, region: region, kind: nodeKind == .witness ? .witness : .data, tags: tags,
            joined: WallClock.now().seconds)
    }

    private func seed(_ peer: Config.PeerAddress) -> Supervision.PeerAddress {
        let prefix = peer.lookup == .host ? "" : Agent.seedGroupPrefix
        return Supervision.PeerAddress(member: nil, host: prefix + peer.host, port: peer.port ?? peerPort)
    }

    /// Passwords count only where a cluster is founded; a joining node is handed the cluster's.
    private func credentials() throws -> Credentials {
        Credentials(
            operatorRole: operatorRole,
            operatorPassword: try password(operatorPassword, operatorPasswordFile, "operator_password_file"),
            adminRole: adminRole, replicationRole: replicationRole,
            replicationPassword: try password(
                replicationPassword, replicationPasswordFile, "replication_password_file"))
    }

    private func password(_ given: Secret?, _ file: String?, _ key: String) throws -> String {
        if let given { return given.text }
        guard let file, Files.exists(file) else { return SecureRandom.password() }
        let bytes: [UInt8]
        do { bytes = try Files.readAll(file, limit: 4096) } catch {
            throw StartError("\(key) = '\(file)': \(error): this user must be able to read it")
        }
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw StartError("\(key) = '\(file)': it is not UTF-8: save the file as UTF-8")
        }
        let line = text.split(whereSeparator: \.isNewline).first.map(String.init) ?? ""
        guard !line.isEmpty else {
            throw StartError("\(key) = '\(file)': it is empty: its first line must be the password")
        }
        return line
    }

    /// The secret that peers prove themselves with. A node without peers makes its own, to be copied to those
    /// that join later.
    func loadSecret() throws -> ClusterSecret {
        let path = clusterSecretPath
        if clusterSecretFile == nil, peers.isEmpty, !Files.exists(path) {
            Log.notice("no cluster secret yet: made one", [("file", path)])
            return try ClusterSecret.create(path)
        }
        return try ClusterSecret.load(path)
    }
}

extension SecureRandom {
    /// 144 random bits as letters and digits that survive shells and connection strings.
    static func password() -> String {
        let letters = Array("ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz23456789")
        return String(bytes(26).map { letters[Int($0) % letters.count] })
    }
}

/// The cluster's passwords where the operator finds them, mode 0600.
struct CredentialFiles {
    let directory: String
    private var written: Credentials?

    init(directory: String) { self.directory = directory }

    var operatorPath: String { "\(directory)/operator_password" }

    /// Follows the committed document; nothing is written when nothing changed.
    mutating func follow(_ credentials: Credentials) {
        guard credentials != written else { return }
        let files = [
            (operatorPath, credentials.operatorPassword),
            ("\(directory)/replication_password", credentials.replicationPassword),
        ]
        for (path, password) in files {
            do { try Files.replaceDurably(path, Array((password + "\n").utf8), mode: 0o600) } catch {
                Log.warning("the cluster's password can't be written to \(path): \(error)")
                return
            }
        }
        written = credentials
    }
}
