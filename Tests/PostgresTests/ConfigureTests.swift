import Consensus
import Glibc
import Platform
import Supervision
import TestSupport
import Testing

@testable import Postgres

/// Settings, roles, access and slots, on real Postgres (docs/internals/postgres.md).
@Suite(.serialized) struct ConfigureTests {
    @Test(.requiresPostgres) func managedSettingsWinOverEveryFileAndTheUsersOwnStay() async {
        await #expect(processExitsWith: .success) {
            onRealPostgres {
                let a = try Instance("a")
                try a.perform(.initialize(attempt: 1, Instance.credentials))
                let own = try Files.readText(a.site.data("postgresql.conf"))
                let mine = own + "work_mem = '7MB'\nwal_sender_timeout = '77s'\nwal_level = 'minimal'\n"
                // Somebody wrote a comment in Latin-1.
                let latin = Array("# caf".utf8) + [0xE9, 0x0A]
                try Files.replaceDurably(a.site.data("postgresql.conf"), latin + mine.utf8)
                let automatic =
                    "# comment\nwal_level = 'logical'\nmaintenance_work_mem = '17MB'\nport = '1'\n"
                try Files.replaceDurably(a.site.data("postgresql.auto.conf"), Array(automatic.utf8))
                try a.arm()
                try a.perform(.startPrimary(a.configuration(asPrimary: true)))
                #expect(try a.sql("show wal_level") == "replica")
                #expect(try a.sql("show wal_sender_timeout") == "5s")
                #expect(try a.sql("show work_mem") == "7MB")
                #expect(try a.sql("show maintenance_work_mem") == "17MB")
                #expect(try a.sql("show data_checksums") == "on")
                let whole = try Files.readAll(a.site.data("postgresql.conf"), limit: 1 << 20)
                #expect(whole.starts(with: latin))
                let left = try Files.readText(a.site.data("postgresql.auto.conf"))
                #expect(left == "# comment\nmaintenance_work_mem = '17MB'\n")

                try a.sql("alter system set wal_retrieve_retry_interval = '9s'")
                try a.sql("alter system set work_mem = '8MB'")
                try a.perform(.configure(a.configuration(asPrimary: true)))
                let kept = try Files.readText(a.site.data("postgresql.auto.conf"))
                #expect(!kept.contains("wal_retrieve_retry_interval"))
                #expect(kept.contains("work_mem = '8MB'"))
                _ = try waitFor("it is back in force") {
                    try a.sql("show wal_retrieve_retry_interval") == "100ms" ? true : nil
                }
            }
        }
    }

    @Test(.requiresPostgres) func rolesGetInAsTheyShouldAndNotOtherwise() async {
        await #expect(processExitsWith: .success) {
            onRealPostgres {
                let a = try Instance("a")
                try a.found()
                let good = Instance.credentials
                #expect(try a.sql("select rolsuper from pg_roles where rolname = 'repluser'") == "f")
                #expect(try a.sql("select rolsuper from pg_roles where rolname = 'postgres'") == "t")
                _ = try a.openRemote("postgres", good.operatorPassword)
                let replication = try a.openRemote(
                    "repluser", good.replicationPassword, ["replication": "true"])
                _ = try replication.command("IDENTIFY_SYSTEM", until: Deadline.after(.seconds(5)))
                let reader = try a.openRemote("repluser", good.replicationPassword)
                _ = try reader.query(
                    "select pg_read_binary_file('PG_VERSION'), pg_stat_file('PG_VERSION', true)",
                    until: Deadline.after(.seconds(5)))
                func refused(_ role: String, _ password: String, _ changes: [String: String] = [:]) -> Bool {
                    do {
                        _ = try a.openRemote(role, password, changes)
                        return false
                    } catch { return (error as? PostgresError)?.state?.isAuthorization == true }
                }
                #expect(refused("postgres", "wrong"))
                #expect(refused("repluser", good.operatorPassword))
                #expect(refused("matriarch_admin", good.operatorPassword))
                #expect(refused("matriarch_admin", good.operatorPassword, ["replication": "true"]))
                #expect(refused("postgres", good.operatorPassword, ["replication": "true"]))

                // Without this machine among the members nothing of the replication role comes in.
                a.memberAddresses = ["10.9.9.9"]
                try a.perform(.configure(a.configuration(asPrimary: true)))
                _ = try waitFor("pg_hba is in force") {
                    refused("repluser", good.replicationPassword, ["replication": "true"]) ? true : nil
                }
                #expect(refused("repluser", good.replicationPassword))
            }
        }
    }

    @Test(.requiresPostgres) func aPasswordThatWasChangedByHandIsPutBackAndNoneIsEverShown() async {
        await #expect(processExitsWith: .success) {
            onRealPostgres {
                let a = try Instance("a")
                try a.perform(.initialize(attempt: 1, Instance.credentials))
                let all = "log_statement = 'all'\nlog_min_duration_statement = 0\n"
                let path = a.site.data("postgresql.conf")
                try Files.replaceDurably(path, Array((try Files.readText(path) + all).utf8))
                try a.arm()
                try a.perform(.startPrimary(a.configuration(asPrimary: true)))
                try a.perform(.configure(a.configuration(asPrimary: true)))
                try a.sql("alter role repluser password 'other'")
                // Another agent's run: this one would trust what it has seen.
                let fresh = try Instance.freshRun(of: a)
                #expect(fresh.outcome(of: .configure(a.configuration(asPrimary: true))).result == .done)
                _ = try a.openRemote("repluser", Instance.credentials.replicationPassword)
                let log = try Files.readText(a.directory.file("postgres.log"), limit: 1 << 24)
                #expect(log.contains("alter role"))
                for password in [
                    Instance.credentials.operatorPassword, Instance.credentials.replicationPassword,
                ] {
                    #expect(!log.contains(password))
                }
            }
        }
    }

    @Test(.requiresPostgres) func slotsAreOnesOwnOnly() async {
        await #expect(processExitsWith: .success) {
            onRealPostgres {
                let a = try Instance("a")
                try a.found()
                try a.sql("select pg_create_physical_replication_slot('users_own')")
                a.slots = ["matriarch_b", "matriarch_c"]
                try a.perform(.configure(a.configuration(asPrimary: true)))
                let list = "select string_agg(slot_name, ' ' order by slot_name) from pg_replication_slots"
                #expect(try a.sql(list) == "matriarch_b matriarch_c users_own")
                #expect(
                    try a.sql("select count(*) from pg_replication_slots where restart_lsn is not null")
                        == "2")
                a.slots = ["matriarch_c"]
                try a.perform(.configure(a.configuration(asPrimary: true)))
                #expect(try a.sql(list) == "matriarch_c users_own")
                let wrong = a.attempt(.configure(a.configuration(asPrimary: false)))
                #expect(wrong.reason?.contains("the document says otherwise") == true)
            }
        }
    }

    @Test(.requiresPostgres) func settingsThatPostgresRefusesAreToldInItsWords() async {
        await #expect(processExitsWith: .success) {
            onRealPostgres {
                let a = try Instance("a")
                try a.perform(.initialize(attempt: 1, Instance.credentials))
                let path = a.site.data("postgresql.conf")
                try Files.replaceDurably(
                    path, Array((try Files.readText(path) + "no_such_setting = 1\n").utf8))
                try a.arm()
                let outcome = a.attempt(.startPrimary(a.configuration(asPrimary: true)))
                #expect(outcome.reason?.contains("no_such_setting") == true)
                #expect(outcome.report.state == .stopped)
            }
        }
    }
}
