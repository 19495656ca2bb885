extension Setting {
    /// Every setting, in the order of the manual.
    public static let all = cluster + node + ports + failover + roles

    private static let cluster = [
        Setting(
            "cluster_name", \.clusterName, .name("cluster name"), in: .cluster, change: .restart,
            help: """
                The name of the cluster, the same on all of its nodes. A node refuses peers of another name, \
                so that two clusters on one network cannot mix.
                """),
        Setting(
            "primary_region", \.primaryRegion, .name("region"), in: .cluster, change: .creation,
            default: "the region of the node that creates the cluster", example: "iad",
            defaultVariables: ["PRIMARY_REGION"],
            help: """
                The region whose members vote and may become primary. It is read once, when the cluster is \
                created. From then on the replicated value rules; a differing value here is reported and \
                never acted on.
                """),
        Setting(
            "peers", \.peers, .peers, in: .cluster, change: .restart,
            example: "10.0.0.2, 10.0.0.3:5501, dns:my-pg.internal",
            help: """
                Other members, to find the cluster by. One reachable entry is enough; the full list of \
                members comes from the cluster. 'dns:NAME' stands for all addresses of a name. A port is \
                only needed where it differs from peer_port here. Setting peers needs cluster_secret_file.
                """),
        Setting(
            "bootstrap_expect", \.bootstrapExpect, SettingKind<Int>.founders.orUnset, in: .cluster,
            change: .restart, default: "1 when peers is empty, else not set", example: "3",
            help: """
                How many members of the primary region must find each other before they create a new \
                cluster. All of them must agree on one proposal, so two halves of a network cannot create \
                two clusters. Without it, a node with peers only ever joins an existing cluster.
                """),
        Setting(
            "cluster_secret_file", \.clusterSecretFile, SettingKind<String>.path.orUnset, in: .cluster,
            change: .restart, example: "/etc/matriarch/cluster.secret",
            help: """
                The secret by which members prove themselves to each other: 'matriarch secret create' writes \
                one; copy it to every node, readable by the user of the agent alone (mode 0600). A node \
                without the right one is refused, and the refusal is logged with its address. A node \
                without peers makes its own in state_directory.
                """),
        Setting(
            "tls_certificate_file", \.tlsCertificateFile, SettingKind<String>.path.orUnset, in: .cluster,
            change: .restart, example: "/etc/matriarch/node.crt",
            help:
                "The certificate that proves this node to its peers. Not built yet: use a secret."),
        Setting(
            "tls_key_file", \.tlsKeyFile, SettingKind<String>.path.orUnset, in: .cluster, change: .restart,
            example: "/etc/matriarch/node.key",
            help: "The private key of tls_certificate_file. Not built yet: use a secret."),
        Setting(
            "tls_ca_file", \.tlsCAFile, SettingKind<String>.path.orUnset, in: .cluster, change: .restart,
            example: "/etc/matriarch/ca.crt",
            help: "The authority that signs the members' certificates. Not built yet: use a secret."),
    ]

    private static let node = [
        Setting(
            "node_name", \.nodeName, .name("node name"), in: .node, change: .restart,
            default: "the host name", example: "pg1", defaultVariables: ["FLY_MACHINE_ID"],
            help: """
                The name of this node: unique in the cluster, and the same for as long as the node keeps its \
                state. A second node of the same name is refused.
                """),
        Setting(
            "node_address", \.nodeAddress, .host, in: .node, change: .restart,
            default: "the first address that is not loopback", example: "10.0.0.1",
            help: "Where peers and clients reach this node: a name or an IP address, without a port."),
        Setting(
            "region", \.region, .name("region"), in: .node, change: .restart,
            defaultVariables: ["FLY_REGION"],
            help: "Where this node is. Only healthy members of the primary region become primary."),
        Setting(
            "node_kind", \.nodeKind, .choice, in: .node, change: .restart,
            help: """
                A 'data' node holds a copy. A 'witness' only votes: with two data nodes it makes the third \
                voter that automatic failover needs. It runs no Postgres and needs none installed. A node \
                stays what it joined as.
                """),
        Setting(
            "tags", \.tags, .tags, in: .node, change: .restart, example: "nofailover, rack=b2",
            help: """
                Words about this node. 'nofailover': never becomes primary. 'priority=N': of several that \
                hold the same, the one with the highest becomes primary; 1 when not set, 0 is nofailover. \
                'noloadbalance': /replica over HTTP never answers 200. 'clonefrom': new copies are taken \
                from here instead of from the primary. Any other key=value is a label, left alone. \
                Accepted, but without effect yet: nosync, replicatefrom=NODE.
                """),
        Setting(
            "data_directory", \.dataDirectory, .path, in: .node, change: .restart,
            help: """
                The data directory of Postgres. When it is empty, the agent fills it: with a new database on \
                the node that creates the cluster, with a copy of the primary elsewhere.
                """),
        Setting(
            "state_directory", \.stateDirectory, .path, in: .node, change: .restart,
            help: """
                Where the agent keeps what it has promised: term, vote and cluster document. It must survive \
                reboots. Never restore it from a backup.
                """),
        Setting(
            "runtime_directory", \.runtimeDirectory, .socketDirectory, in: .node, change: .restart,
            help: "Sockets, and promises that hold until the next boot. On a tmpfs, as /run is."),
        Setting(
            "postgres_bin_directory", \.postgresBinDirectory, .path, in: .node, change: .restart,
            default: "the newest of /usr/lib/postgresql/*/bin", example: "/usr/lib/postgresql/15/bin",
            help: "Where postgres, initdb, pg_basebackup, pg_rewind and pg_controldata are."),
    ]

    private static let ports = [
        Setting(
            "listen_address", \.listenAddress, .listenAddress, in: .ports, change: .restart,
            help: "The address that all ports below listen on."),
        Setting(
            "postgres_port", \.postgresPort, .port, in: .ports, change: .restart,
            help: """
                Postgres itself. Members replicate through it. Applications should use proxy_port, which \
                always leads to the primary.
                """),
        Setting(
            "proxy_port", \.proxyPort, .portOrOff, in: .ports, change: .restart,
            help: "Read-write: on every node it leads to the writable primary."),
        Setting(
            "proxy_readonly_port", \.proxyReadonlyPort, .portOrOff, in: .ports, change: .restart,
            awaits: "the read-only proxy", help: "Read-only: leads to the nearest healthy standby."),
        Setting(
            "http_port", \.httpPort, .port, in: .ports, change: .restart,
            help: "Checks and status over HTTP. Read-only."),
        Setting(
            "peer_port", \.peerPort, .port, in: .ports, change: .restart,
            help: "Agents talk to each other here, encrypted and mutually authenticated."),
    ]

    private static let failover = [
        Setting(
            "lease_duration", \.leaseDuration, .duration(.seconds(1)...(.seconds(60))), in: .failover,
            change: .creation,
            help: """
                How long a primary may act without hearing from a majority. A lost primary is replaced about \
                this long after it fell silent; every other time limit derives from it. Short leases need \
                quick networks: 'matriarchd --check-config' prints the round trip that the lease allows.
                """),
        Setting(
            "heartbeat_interval", \.heartbeatInterval,
            SettingKind<Duration>.duration(.milliseconds(20)...(.seconds(20))).orUnset, in: .failover,
            change: .restart, default: "lease_duration / 10", example: "500ms",
            help: "How often the leader renews its lease. Three may be lost before a lease is in danger."),
        Setting(
            "synchronous_mode", \.synchronousMode, .choice, in: .failover, change: .creation,
            help: """
                Which acknowledged writes survive a failover. 'off': the newest reachable copy wins, and a \
                write that only the lost primary had is lost. 'quorum' (none is lost) and 'quorum_strict' \
                (writes wait rather than go unprotected) are not built yet and refused. 'auto' will become \
                'quorum' once three copies are there; in this version it is the same as 'off'.
                """),
        Setting(
            "maximum_lag_on_failover", \.maximumLagOnFailover, .size(0...(1 << 40)), in: .failover,
            change: .creation,
            help: """
                In mode 'off': a standby that is further behind the last known position of the primary is \
                not promoted automatically.
                """),
        Setting(
            "drain_timeout", \.drainTimeout, .duration(.zero...(.seconds(300))), in: .failover,
            change: .reload, awaits: "draining",
            help: "How long a switchover lets running transactions finish before it ends their sessions."),
        Setting(
            "stop_timeout", \.stopTimeout, .duration(.seconds(1)...(.seconds(3600))), in: .failover,
            change: .reload,
            help: "How long a planned stop of Postgres may take before it is killed."),
        Setting(
            "cold_start_wait", \.coldStartWait, .duration(.zero...(.seconds(3600))), in: .failover,
            change: .reload,
            help: """
                After all nodes were down: how long to wait for the last primary before another node, which \
                may have less, takes over.
                """),
        Setting(
            "sync_drop", \.syncDrop, .duration(.seconds(1)...(.seconds(3600))), in: .failover,
            change: .reload, awaits: "quorum durability",
            help: "In mode 'quorum': how long a standby may be silent before it no longer counts as a copy."),
        Setting(
            "dead_member_removal", \.deadMemberRemoval,
            SettingKind<Duration>.duration(.seconds(60)...(.seconds(365 * 86_400))).orOff, in: .failover,
            change: .reload,
            help: """
                How long a member may be silent before it is removed as by 'matriarch member remove', \
                with its replication slots. The primary's value counts: set it alike on all members. A \
                voter is removed only when those who vote then can bear another loss, which takes three, \
                and two of them may lead. The silence counts from when the primary came to lead.
                """),
    ]

    private static let roles = [
        Setting(
            "operator_role", \.operatorRole, .role, in: .roles, change: .creation,
            help: "The superuser for people. Logs in with a password."),
        Setting(
            "admin_role", \.adminRole, .role, in: .roles, change: .creation,
            help: "The agent's own superuser. Comes in through the Unix socket only."),
        Setting(
            "replication_role", \.replicationRole, .role, in: .roles, change: .creation,
            help: "The role that standbys replicate as. Not a superuser."),
        Setting(
            "operator_password_file", \.operatorPasswordFile, SettingKind<String>.path.orUnset, in: .roles,
            change: .creation, default: "a password is made up when the cluster is created",
            example: "/etc/matriarch/operator.password",
            help: """
                A file (mode 0600) with the password of operator_role. Read when the cluster is created; \
                later members get the password from the cluster, and a differing one here is reported. The \
                variable OPERATOR_PASSWORD may hold the password itself instead.
                """),
        Setting(
            "replication_password_file", \.replicationPasswordFile, SettingKind<String>.path.orUnset,
            in: .roles,
            change: .creation, default: "a password is made up when the cluster is created",
            example: "/etc/matriarch/replication.password",
            help: """
                The same for replication_role. The variable REPL_PASSWORD may hold the password itself \
                instead.
                """),
    ]
}
