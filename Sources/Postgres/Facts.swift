internal import Consensus
internal import Supervision

/// What one statement tells of a running Postgres, whichever role it has.
///
/// One statement and not one for each role: each is a round trip, and the poller makes it every second.
struct Facts {
    struct Receiver {
        var status: String
        var host: String
        var port: String
        var conninfo: String
    }

    var isRecovering: Bool
    var systemIdentifier: UInt64?
    var version: String?
    /// Of the last checkpoint (on a standby: the last restart point).
    var checkpointTimeline: Timeline?
    /// Where a primary's log ends on its disk; nil on a standby.
    var written: Position?
    var received: LSN?
    var replayed: LSN?
    var segmentBytes: UInt64
    /// A standby's recovery has got to this timeline at least.
    var recoveryTimeline: Timeline
    var receiver: Receiver?
    /// When the settings were last loaded, in Postgres's words.
    var settingsLoaded: String?
    /// Whether replay is paused; nil on a primary.
    var replayState: String?

    /// The functions that only a primary answers stand behind `case`: on a standby they are errors.
    static let question = """
        select r.recovering, s.system_identifier, current_setting('server_version'), c.timeline_id,
               p.lsn, case when not r.recovering then left(pg_walfile_name(p.lsn), 8) end,
               pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn(), i.bytes_per_wal_segment,
               greatest(c.timeline_id, m.min_recovery_end_timeline),
               w.status, w.sender_host, w.sender_port, w.conninfo, pg_conf_load_time(),
               case when r.recovering then pg_get_wal_replay_pause_state() end
        from (select pg_is_in_recovery() as recovering offset 0) r
             cross join lateral
                 (select case when not r.recovering then pg_current_wal_flush_lsn() end as lsn offset 0) p
             cross join pg_control_system() s cross join pg_control_init() i
             cross join pg_control_checkpoint() c cross join pg_control_recovery() m
             left join pg_stat_wal_receiver w on true
        """

    init?(_ rows: Session.Rows) {
        guard let row = rows.first, row.count == 16, let segmentBytes = row[8].flatMap({ UInt64($0) }),
            let recoveryTimeline = row[9].flatMap({ Timeline($0) })
        else { return nil }
        isRecovering = row[0] == "t"
        systemIdentifier = row[1].flatMap { UInt64($0) }
        version = row[2]?.split(separator: " ").first.map(String.init)
        checkpointTimeline = row[3].flatMap { Timeline($0) }
        if let lsn = row[4].flatMap({ LSN($0) }), let timeline = row[5].flatMap({ Timeline($0, radix: 16) }) {
            written = Position(timeline: timeline, lsn: lsn)
        }
        guard isRecovering || written != nil else { return nil }
        received = row[6].flatMap { LSN($0) }
        replayed = row[7].flatMap { LSN($0) }
        self.segmentBytes = segmentBytes
        self.recoveryTimeline = recoveryTimeline
        settingsLoaded = row[14]
        replayState = row[15]
        if let status = row[10] {
            receiver = Receiver(
                status: status, host: row[11] ?? "", port: row[12] ?? "", conninfo: row[13] ?? "")
        }
    }

    /// "… application_name=matriarch:pg1:1 …" as the walreceiver shows its connection.
    static func applicationName(_ conninfo: String) -> String? {
        conninfo.split(separator: " ").first { $0.hasPrefix("application_name=") }.map { word in
            word.dropFirst("application_name=".count).filter { $0 != "'" }
        }
    }
}
