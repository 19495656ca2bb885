import Config
import Consensus
import Platform
import Supervision

/// Settings that count only when the cluster is created, where this node's value is not the cluster's:
/// reported, never acted on.
struct LocalDifferences {
    private let configuration: Configuration
    /// As read at the start; made up where nobody set them.
    private let local: Credentials
    private var ruling: Ruling?

    /// What of the committed document is compared.
    private struct Ruling: Hashable {
        var primaryRegion: String
        var lease: Duration
        var maximumLag: UInt64
        var credentials: Credentials
    }

    init(_ configuration: Configuration, _ local: Credentials) {
        self.configuration = configuration
        self.local = local
    }

    /// One sentence for each setting that differs from a document that rules since the last call.
    mutating func news(_ document: ClusterDocument) -> [String] {
        let now = Ruling(
            primaryRegion: document.primaryRegion, lease: document.lease,
            maximumLag: document.maximumLagOnFailover, credentials: document.credentials)
        guard now != ruling else { return [] }
        ruling = now
        var cluster = configuration
        cluster.primaryRegion = now.primaryRegion
        cluster.leaseDuration = now.lease
        cluster.maximumLagOnFailover = now.maximumLag
        cluster.operatorRole = now.credentials.operatorRole
        cluster.adminRole = now.credentials.adminRole
        cluster.replicationRole = now.credentials.replicationRole
        // Taking no part in founding, an empty region only says "wherever the cluster is created".
        if configuration.primaryRegion.isEmpty { cluster.primaryRegion = "" }
        let values = configuration.changes(to: cluster).map { change in
            let place = "\(configuration.origin(of: change.key))"
            return
                "\(change.key) = '\(change.old)' (\(place)) is not acted on: the cluster has '\(change.new)'"
        }
        return values + passwords(now.credentials)
    }

    private func passwords(_ cluster: Credentials) -> [String] {
        let pairs = [
            (
                "operator_password_file",
                isGiven(configuration.operatorPassword, configuration.operatorPasswordFile),
                local.operatorPassword == cluster.operatorPassword
            ),
            (
                "replication_password_file",
                isGiven(configuration.replicationPassword, configuration.replicationPasswordFile),
                local.replicationPassword == cluster.replicationPassword
            ),
        ]
        return pairs.filter { $0.1 && !$0.2 }.map { key, _, _ in
            "\(key): the password given here is not acted on: the cluster has another since it was created"
        }
    }

    private func isGiven(_ secret: Secret?, _ file: String?) -> Bool {
        secret != nil || file.map { Files.exists($0) } ?? false
    }
}
