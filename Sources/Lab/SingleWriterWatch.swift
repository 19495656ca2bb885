internal import Platform
internal import Synchronization

/// Tries a real write at every node's own Postgres, again and again, so that two writable nodes are seen.
///
/// A write proves that its node was writable at some moment between sending and acknowledgement. A *reign* is
/// all the writes of one node on one timeline. Two reigns are proven to overlap when neither can have ended
/// before the other began.
public final class SingleWriterWatch: Sendable {
    public struct Write: Sendable {
        public var node: String
        public var timeline: String
        public var sent: Moment
        public var at: Moment

        public init(node: String, timeline: String, sent: Moment, at: Moment) {
            self.node = node
            self.timeline = timeline
            self.sent = sent
            self.at = at
        }
    }

    /// What is known of one node's writes on one timeline: the four moments that ordering needs.
    public struct Reign: Sendable {
        public var node: String
        public var timeline: String
        public var writes: Int
        public var firstSent: Moment
        public var firstAcknowledged: Moment
        public var lastSent: Moment
        public var lastAcknowledged: Moment

        /// Whether all of this reign can have come before all of the other.
        func canPrecede(_ other: Reign) -> Bool { lastSent < other.firstAcknowledged }
    }

    public static let table = "lab_probes"
    public static let beat: Duration = .milliseconds(50)
    private static let connectLimit: Duration = .milliseconds(500)
    private static let statementLimit: Duration = .seconds(1)

    private struct State {
        var reigns: [String: Reign] = [:]
        var stopped = false
    }

    private let doors: [Door]
    private let state = Mutex(State())
    private let threads = Mutex<[Thread]>([])

    /// - Parameter doors: every node's own Postgres port, not the relay's.
    public init(at doors: [Door]) { self.doors = doors }

    public func start() throws {
        for door in doors {
            let thread = try Thread.start(name: "watch-\(door.node)") { [self] in probe(door) }
            threads.withLock { $0.append(thread) }
        }
    }

    public func stop() {
        state.withLock { $0.stopped = true }
        let running = threads.withLock { threads in
            defer { threads = [] }
            return threads
        }
        running.forEach { $0.join() }
    }

    /// In the order of their first acknowledged write.
    public var reigns: [Reign] {
        state.withLock { $0.reigns.values.sorted { $0.firstAcknowledged < $1.firstAcknowledged } }
    }

    /// The nodes that took a write in the last `span`.
    public func writable(within span: Duration = .milliseconds(500)) -> [String] {
        let since = Moment.current - span
        return reigns.filter { $0.lastAcknowledged >= since }.map(\.node)
    }

    /// Each proof that there were two writers, in words; empty when there is none.
    public var violations: [String] { SingleWriterWatch.violations(in: reigns) }

    public static func violations(in reigns: [Reign]) -> [String] {
        var found: [String] = []
        for (index, one) in reigns.enumerated() {
            for other in reigns[(index + 1)...] where one.node != other.node {
                let both =
                    "\(one.node) (timeline \(one.timeline)) and \(other.node) (timeline \(other.timeline))"
                if one.timeline == other.timeline {
                    found.append("\(both) both wrote on one timeline")
                } else if !one.canPrecede(other), !other.canPrecede(one) {
                    let together =
                        min(one.lastSent, other.lastSent)
                        - max(one.firstAcknowledged, other.firstAcknowledged)
                    found.append("\(both) took writes at the same time, for \(together.forPeople) or so")
                }
            }
        }
        return found
    }

    /// Adds one acknowledged write; separate from probing so that the judgement can be tested by itself.
    public func record(_ write: Write) {
        state.withLock { state in
            let key = "\(write.node)/\(write.timeline)"
            guard var reign = state.reigns[key] else {
                state.reigns[key] = Reign(
                    node: write.node, timeline: write.timeline, writes: 1, firstSent: write.sent,
                    firstAcknowledged: write.at, lastSent: write.sent, lastAcknowledged: write.at)
                return
            }
            reign.writes += 1
            reign.lastSent = write.sent
            reign.lastAcknowledged = write.at
            state.reigns[key] = reign
        }
    }

    private func probe(_ door: Door) {
        let sql =
            "insert into \(SingleWriterWatch.table) values ('\(door.node)')"
            + " returning substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8)"
        var session: Session?
        while !state.withLock({ $0.stopped }) {
            let began = Moment.current
            do throws(SessionError) {
                let open = try Session.reusing(session, at: door, within: SingleWriterWatch.connectLimit)
                session = open
                let timeline = try open.value(sql, within: SingleWriterWatch.statementLimit) ?? ""
                record(Write(node: door.node, timeline: timeline, sent: began, at: .current))
            } catch .refused {
                // A standby, as it should be; the connection stays good.
            } catch {
                session = nil
            }
            pause(SingleWriterWatch.beat - (.current - began))
        }
    }
}
