import Consensus
import Platform
import Supervision
import TestSupport
import Testing

@testable import Postgres

/// Settings that a standby must not have lower than its primary, and those that wait for a restart, on real
/// Postgres (protocol: Settings).
@Suite(.serialized) struct SettingsTests {
    @Test(.requiresPostgres) func aStandbyTakesWhatTheLogAsksForAndGivesItBackWhenTheLogAsksForLess() async {
        await #expect(processExitsWith: .success) {
            onRealPostgres {
                let (a, b) = (try Instance("a"), try Instance("b"))
                try a.found()
                try b.join(a)
                #expect(a.report.pendingRestart == [])
                try a.alter("max_connections = 150")
                // Never comes into force: it is on the command line.
                try a.alter("max_wal_senders = 5")
                #expect(a.report.pendingRestart == ["max_connections"])
                try a.restart()
                #expect(a.report.pendingRestart == [])

                let below = try waitFor("replay stands still") {
                    b.report.isBelowRequirements ? b.report : nil
                }
                #expect(below.unpromotable == "max_connections = 100 is below the primary's 150")
                try b.restart()
                try b.perform(.follow(b.upstream(a, timeline: 1)))
                try a.write(1)
                _ = try waitFor("it replays") { try? b.sql("select value from mark") }
                #expect(try b.sql("show max_connections") == "150")
                #expect(b.report.unpromotable == nil)
                // What its own files say waits for a start that may have it.
                #expect(b.report.pendingRestart == ["max_connections"])

                try a.alter("max_connections = 100")
                try b.restart()
                #expect(try b.sql("show max_connections") == "150", "the log still asks for it")
                try a.restart()
                try b.perform(.follow(b.upstream(a, timeline: 1)))
                try a.write(2)
                _ = try waitFor("it replays") { try? b.sql("select value from mark where value = 2") }
                try b.restart()
                #expect(try b.sql("show max_connections") == "100")
                #expect(b.report.pendingRestart == [])
            }
        }
    }

    @Test(.requiresPostgres) func whoIsKeptBehindByAnOperatorIsNotPromotable() async {
        await #expect(processExitsWith: .success) {
            onRealPostgres {
                let (a, b) = (try Instance("a"), try Instance("b"))
                try a.found()
                try b.join(a)
                #expect(b.report.unpromotable == nil)
                try b.sql("select pg_wal_replay_pause()")
                let survey = Survey(b.site)
                func unpromotable(_ word: String) throws {
                    _ = try waitFor("it says \(word)") {
                        survey.look()?.unpromotable?.contains(word) == true ? true : nil
                    }
                }
                try a.write(1)
                try unpromotable("replay is paused")
                #expect(survey.look()?.isBelowRequirements == false)
                try b.sql("select pg_wal_replay_resume()")
                _ = try waitFor("it could be promoted") {
                    survey.look().flatMap { $0.unpromotable == nil ? true : nil }
                }
                try b.alter("recovery_min_apply_delay = '1h'")
                try unpromotable("recovery_min_apply_delay = 1h")
            }
        }
    }

    @Test func whatIsOnTheCommandLineIsKnownAsSuch() {
        let site = PostgresSite(
            dataDirectory: "/d", binDirectory: "/b", runtimeDirectory: "/r", socketDirectory: "/s", port: 1,
            listenAddresses: "*", clusterName: "c", adminRole: "a")
        let named = ManagedSettings(site: site).arguments.filter { $0 != "-c" }.map { argument in
            String(argument.prefix { $0 != "=" })
        }
        #expect(Set(named) == ManagedSettings.argumentNames)
    }
}

extension Instance {
    /// Changes a setting in this instance's own files and waits until new sessions have read them.
    fileprivate func alter(_ change: String) throws {
        let before = try sql("select pg_conf_load_time()")
        try sql("alter system set \(change)")
        try sql("select pg_reload_conf()")
        _ = try waitFor("it is loaded") { try sql("select pg_conf_load_time()") != before ? true : nil }
    }

    /// Stops it and starts it as what it was; a standby comes up with its gate closed.
    fileprivate func restart() throws {
        let wasPrimary = report.state == .primary
        try perform(.stop(bound: .seconds(30)))
        let configuration = configuration(asPrimary: wasPrimary, timeline: 1)
        try perform(wasPrimary ? .startPrimary(configuration) : .startStandby(configuration))
        if !wasPrimary { _ = try awaitSettled() }
    }
}
