import Consensus
import Platform
import Supervision
import TestSupport
import Testing

@testable import Postgres

/// What needs no Postgres: names, histories, page borders, texts.
@Suite struct ArithmeticTests {
    private static let segment: UInt64 = 16 << 20

    @Test func aRecordEndsBehindTheHeadersOfThePagesThatItReaches() {
        let pages = WALPages(segmentBytes: Self.segment)
        func end(_ start: UInt64, _ length: UInt64) -> UInt64 {
            pages.end(ofRecordAt: LSN(start), length: length).bytes
        }
        // A shutdown checkpoint of Postgres 15: 114 bytes, aligned to 120.
        #expect(end(0x7F1B_5078, 114) == 0x7F1B_50F0)
        // Up to the last byte of a page, and one alignment further: the next page's header of 24 lies
        // between.
        #expect(end(0x3000_1F88, 120) == 0x3000_2000)
        #expect(end(0x3000_1F90, 120) == 0x3000_2000 + 24 + 8)
        // Into a new segment, whose first header has 40 bytes.
        #expect(end(0x30FF_FF90, 120) == 0x3100_0000 + 40 + 8)
    }

    @Test func segmentsAndHistoriesAreNamedAsPostgresDoes() {
        #expect(
            WALNames.segment(LSN(0x1_2345_6789), timeline: 26, segmentBytes: Self.segment)
                == "0000001A0000000100000023")
        #expect(WALNames.history(26) == "0000001A.history")
        #expect(WALNames.timeline(ofHistory: "0000001A.history") == 26)
        #expect(WALNames.timeline(ofHistory: "0000001A0000000100000023") == nil)
        #expect(WALNames.timeline(ofHistory: "0000001A.history.new") == nil)
    }

    @Test func aHistoryIsReadAndAPlaceholderHasNone() {
        let history = TimelineHistory(
            parsing:
                "1\t0/5000148\tno recovery target specified\n\n3\t0/6000000\tno recovery target specified\n")
        #expect(history.start == LSN(0x600_0000))
        #expect(history.left(1) == LSN(0x500_0148))
        #expect(history.left(2) == nil)
        #expect(TimelineHistory(parsing: WALDirectory.placeholder).branches.isEmpty)
    }

    @Test func aLongWaitIsLookedAtLessOften() {
        let bounds = Duration.milliseconds(10)...(.milliseconds(500))
        let now = BootClock.now()
        #expect(Deadline.rest(since: now, within: bounds) == .milliseconds(10))
        let afterTwo = Deadline.rest(since: now - 2_000_000_000, within: bounds)
        #expect(afterTwo >= .milliseconds(200) && afterTwo < .milliseconds(500))
        #expect(Deadline.rest(since: now - 60_000_000_000, within: bounds) == .milliseconds(500))
    }

    @Test func theEndIsOnTheNewestTimelineThatHasBegunThere() throws {
        let directory = try TemporaryDirectory("wal")
        let name = { (timeline: Timeline, lsn: UInt64) in
            WALNames.segment(LSN(lsn), timeline: timeline, segmentBytes: Self.segment)
        }
        try directory.write("1\t0/5000148\tx\n", to: "pg_wal/00000002.history")
        try directory.write("", to: "pg_wal/" + name(1, 0x500_0000))
        let wal = WALDirectory(directory.path)
        func timeline(_ end: UInt64) throws -> Timeline {
            try wal.timeline(atEnd: LSN(end), segmentBytes: Self.segment, knownToBe: 1)
        }
        // The history alone is no WAL.
        #expect(try timeline(0x500_0200) == 1)
        try directory.write("", to: "pg_wal/" + name(2, 0x500_0000))
        #expect(try timeline(0x500_0200) == 2)
        // Before the branch the bytes are the parent's, whatever file they lie in.
        #expect(try timeline(0x500_0100) == 1)
        // A placeholder never counts.
        try directory.write(WALDirectory.placeholder, to: "pg_wal/00000003.history")
        try directory.write("", to: "pg_wal/" + name(3, 0x500_0000))
        #expect(try timeline(0x500_0200) == 2)
    }

    private func control(_ state: String, timeline: Timeline, checkpoint: String) throws -> ControlData {
        try ControlData(
            parsing: """
                Database system identifier:           7123
                Database cluster state:               \(state)
                Latest checkpoint location:           \(checkpoint)
                Latest checkpoint's TimeLineID:       \(timeline)
                Minimum recovery ending location:     0/0
                Min recovery ending loc's timeline:   0
                Bytes per WAL segment:                16777216
                max_connections setting:              100
                max_worker_processes setting:         8
                max_wal_senders setting:              20
                max_prepared_xacts setting:           0
                max_locks_per_xact setting:           64
                """)
    }

    @Test func aStartFollowsOnlyHistoriesOfItsOwnLog() throws {
        let directory = try TemporaryDirectory("wal")
        let wal = WALDirectory(directory.path)
        func left(_ control: ControlData, limit: Timeline?) throws -> [Timeline] {
            try directory.write("1\t0/5000148\tx\n", to: "pg_wal/00000002.history")
            try directory.write(WALDirectory.placeholder, to: "pg_wal/00000003.history")
            try directory.write("1\t0/5000148\tx\n2\t0/6000000\ty\n", to: "pg_wal/00000004.history")
            try directory.write(WALDirectory.placeholder, to: "pg_wal/00000005.history")
            _ = try wal.sanitize(for: control, limit: limit)
            return try wal.historyTimelines()
        }
        let standby = try control("in archive recovery", timeline: 1, checkpoint: "0/4000000")
        // 5 leads nowhere; 3 keeps the row unbroken, without which Postgres would not find 4.
        #expect(try left(standby, limit: 5) == [2, 3, 4])
        #expect(try left(standby, limit: 2) == [2])
        #expect(try left(standby, limit: nil) == [2, 3, 4])
        // A checkpoint past the branch: not our history.
        let ahead = try control("in archive recovery", timeline: 1, checkpoint: "0/5000200")
        #expect(try left(ahead, limit: 5) == [])
        // One that was writing replays its own log first, to show what it wrote past the branch.
        let primary = try control("in production", timeline: 1, checkpoint: "0/4000000")
        #expect(try left(primary, limit: 5) == [])
    }

    @Test func aBranchThatTheDocumentDoesNotKnowIsLeftAsANumberOnly() throws {
        let directory = try TemporaryDirectory("wal")
        let wal = WALDirectory(directory.path)
        let standby = try control("in archive recovery", timeline: 1, checkpoint: "0/4000000")
        // 2 was promoted here or there and burnt; 4 is what the cluster went on with; 5 is burnt as well.
        for (name, parent) in [("2", "0/5000148"), ("4", "0/5000148"), ("5", "0/5000200")] {
            try directory.write("1\t\(parent)\tx\n", to: "pg_wal/0000000\(name).history")
        }
        try directory.write(WALDirectory.placeholder, to: "pg_wal/00000003.history")
        #expect(try wal.sanitize(for: standby, limit: 5, history: [4, 1]) == [2, 5])
        #expect(try wal.historyTimelines() == [2, 3, 4])
        #expect(wal.history(2)?.branches.isEmpty == true)
        #expect(wal.history(4)?.start == LSN(0x500_0148))
        // Without the cluster's word nothing is known to be wrong with it.
        #expect(try wal.sanitize(for: standby, limit: nil) == [])
    }

    @Test func aBranchThatHoldsLessOfItsParentThanTheParentItselfIsNotFollowed() throws {
        let directory = try TemporaryDirectory("wal")
        let wal = WALDirectory(directory.path)
        let standby = try control("in archive recovery", timeline: 1, checkpoint: "0/4000000")
        func left(_ branch: String, parent: String?) throws -> [Timeline] {
            try directory.write("1\t0/5000008\tx\n", to: "pg_wal/00000002.history")
            let names = [1, 2].map { timeline in
                "pg_wal/" + WALNames.segment(LSN(0x500_0000), timeline: timeline, segmentBytes: 16 << 20)
            }
            try directory.write(branch, to: names[1])
            if let parent { try directory.write(parent, to: names[0]) }
            _ = try wal.sanitize(for: standby, limit: 2)
            return try wal.historyTimelines()
        }
        #expect(try left("short", parent: nil) == [2])
        #expect(try left("12345678 and its own", parent: "12345678 and more") == [2])
        #expect(try left("1234567\0", parent: "12345678") == [])
        #expect(try left("1234", parent: "12345678") == [])
    }

    @Test func aReservationFillsTheNumbersBelowAndFreesTheOneMeant() throws {
        let directory = try TemporaryDirectory("wal")
        let wal = WALDirectory(directory.path)
        try directory.write("1\t0/5000148\tx\n", to: "pg_wal/00000002.history")
        try directory.write("1\t0/5000148\tx\n", to: "pg_wal/00000006.history")
        try wal.reserve(5, from: 1)
        #expect(try wal.historyTimelines() == [2, 3, 4])
        #expect(wal.history(2)?.start == LSN(0x500_0148))
        #expect(wal.history(3)?.branches.isEmpty == true)
    }

    @Test func accessIsWrittenAsReviewed() throws {
        let configuration = ManagedConfiguration(
            synchronousStandbys: .placeholder,
            memberAddresses: ["10.0.0.1", "127.0.0.2", "fd00::1", "pg3.internal"], slots: [],
            credentials: Instance.credentials, lease: .seconds(5), isPrimary: false, timeline: 1)
        try expectSnapshot(AccessRules.hbaText(configuration), at: "Snapshots/pg_hba.conf")
    }

    @Test func applicationNameAndProgressAreRead() {
        let shown = "user=repluser channel_binding=prefer application_name=matriarch:pg1:2 port=5433"
        #expect(Facts.applicationName(shown) == "matriarch:pg1:2")
        #expect(OrderRun.progress("23456/40960 kB (57%), 0/1 tablespace\n") == "22 of 40 MB copied")
        #expect(OrderRun.progress("waiting for checkpoint") == nil)
    }
}
