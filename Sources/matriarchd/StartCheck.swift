import Config
import Glibc
import Peers
import Platform
import Postgres

extension Configuration {
    var postgresSite: PostgresSite {
        PostgresSite(
            dataDirectory: dataDirectory, binDirectory: postgresBinDirectory,
            runtimeDirectory: runtimeDirectory, socketDirectory: runtimeDirectory,
            port: postgresPort, listenAddresses: listenAddress,
            clusterName: clusterName, adminRole: adminRole)
    }

    /// For --check-config: what would stop the start although every setting is good; nothing is made.
    ///
    /// As root only what does not depend on who runs matriarchd: it is never run as root.
    func startProblems() -> [String] {
        let isRoot = geteuid() == 0
        var problems: [String] = []
        do throws(PreflightFailure) {
            // A witness runs no Postgres.
            if nodeKind == .data {
                if isRoot { try postgresSite.checkPrograms() } else { try postgresSite.preflight() }
            }
        } catch {
            problems.append(error.description)
        }
        guard let path = clusterSecretFile else { return problems }
        do throws(SecretError) {
            if !isRoot || !Files.exists(path) { _ = try ClusterSecret.load(path) }
        } catch {
            problems.append("\(error)")
        }
        return problems
    }
}
