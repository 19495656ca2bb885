/// One node's matriarch.conf.
public struct NodeConfiguration: Sendable {
    public var settings: [String: String]

    public init(settings: [String: String]) { self.settings = settings }

    init(_ options: Herd.Options, _ node: HerdNode, founders: [String], _ secrets: HerdSecrets) {
        settings = [
            "cluster_name": options.cluster,
            "node_name": node.name,
            "node_address": node.address,
            "listen_address": node.listenAddress,
            "region": options.region,
            "data_directory": node.dataDirectory,
            "state_directory": node.stateDirectory,
            "runtime_directory": node.runtimeDirectory,
            "postgres_bin_directory": node.postgresBin,
            "cluster_secret_file": secrets.clusterSecretFile,
            "operator_password_file": secrets.operatorPasswordFile,
            "replication_password_file": secrets.replicationPasswordFile,
        ]
        let others = founders.filter { $0 != node.address }
        if !others.isEmpty { settings["peers"] = others.joined(separator: ", ") }
        if !others.isEmpty, founders.contains(node.address) {
            settings["bootstrap_expect"] = String(founders.count)
        }
        settings.merge(options.settings) { _, given in given }
    }

    public var text: String {
        let lines = settings.sorted { $0.key < $1.key }.map { key, value in
            let quoted = value.split(separator: "'", omittingEmptySubsequences: false).joined(separator: "''")
            return "\(key) = '\(quoted)'"
        }
        return lines.joined(separator: "\n") + "\n"
    }
}
