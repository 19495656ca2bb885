internal import Platform
internal import Supervision

/// The physical slots that are kept here for the other members (protocol: Slots).
extension OrderRun {
    private static let prefix = "matriarch_"

    private struct Slot {
        var name: String
        var isLost: Bool
        var activePID: String?
        var restart: LSN?
    }

    /// Exactly the wanted ones, each with WAL reserved; others of ours are dropped.
    func bringSlots(_ session: Session, _ wanted: [String]) throws {
        var present: Set<String> = []
        for slot in try ownSlots(session) {
            if wanted.contains(slot.name), !slot.isLost {
                present.insert(slot.name)
            } else {
                try drop(session, slot)
            }
        }
        for name in wanted where !present.contains(name) { try create(session, name) }
    }

    /// Moves slots that nobody streams from, and makes those again that lost their WAL.
    func tendSlots(_ goals: [SlotGoal]) throws {
        let session = try openSession()
        let slots = try ownSlots(session)
        for goal in goals {
            // Missing: the next change of the document brings them all in line.
            guard let slot = slots.first(where: { $0.name == goal.slot }) else { continue }
            if slot.isLost {
                try drop(session, slot)
                try create(session, slot.name)
            } else if slot.activePID == nil, let reached = goal.reached, let restart = slot.restart,
                reached > restart
            {
                _ = try session.query(
                    "select pg_replication_slot_advance($1, $2::pg_lsn)", [slot.name, reached.description],
                    until: deadline)
            }
        }
    }

    private func ownSlots(_ session: Session) throws -> [Slot] {
        try session.query(
            """
            select slot_name, coalesce(wal_status, ''), active_pid, restart_lsn from pg_replication_slots
            where slot_type = 'physical' and not temporary and starts_with(slot_name, $1)
            """, [Self.prefix], until: deadline
        ).cells.compactMap { row in
            row[0].map { name in
                Slot(
                    name: name, isLost: row[1] == "lost", activePID: row[2],
                    restart: row[3].flatMap { LSN($0) })
            }
        }
    }

    /// Reserving WAL at once: a slot without it keeps nothing until its standby comes, and can't be moved.
    private func create(_ session: Session, _ name: String) throws {
        _ = try session.query("select pg_create_physical_replication_slot($1, true)", [name], until: deadline)
    }

    private func drop(_ session: Session, _ slot: Slot) throws {
        if let activePID = slot.activePID {
            _ = try session.query(
                "select pg_terminate_backend($1::int, 5000)", [activePID], until: deadline)
        }
        _ = try session.query("select pg_drop_replication_slot($1)", [slot.name], until: deadline)
    }
}
