import Consensus
import FoundationEssentials
import Glibc
import Platform
import Supervision

/// Why the agent can't start; all of these are mended by editing, chown or freeing a port, and end with exit
/// 78.
struct StartError: Error, CustomStringConvertible {
    let description: String

    init(_ description: String) { self.description = description }
}

/// The member's memory: the durable state in two slots, the promise in tmpfs, and the lock that keeps a
/// second agent out.
struct StateDirectory {
    struct Loaded {
        var durable: DurableState
        var promise: Promise?
        var sameBoot: Bool
        var notices: [String]
    }

    let path: String
    let runtime: String
    private(set) var file: TwoSlotFile
    private let lock: FileLock
    private let boot: String

    init(path: String, runtime: String) throws {
        self.path = path
        self.runtime = runtime
        // Everybody may enter the runtime directory: the control socket tells by itself who may do what.
        let places: [(key: String, path: String, mode: UInt32)] = [
            ("state_directory", path, 0o700), ("runtime_directory", runtime, 0o755),
        ]
        for place in places {
            do { try Files.makeDirectory(place.path, mode: place.mode) } catch {
                throw Self.unusable(place.key, place.path, error)
            }
        }
        do { lock = try Files.lock("\(path)/lock") } catch let held as FileLock.Held {
            throw StartError("state_directory = '\(path)': another matriarchd uses it (\(held))")
        } catch let error as SystemError {
            throw Self.unusable("state_directory", path, error)
        }
        file = TwoSlotFile(directory: path)
        do { boot = try BootID.current } catch {
            throw StartError("which boot this is can't be read: \(error)")
        }
    }

    private static func unusable(_ key: String, _ path: String, _ error: SystemError) -> StartError {
        let advice =
            switch error.code {
            case EROFS: "it must be writable, and its file system is mounted read-only"
            case ENOSPC, EDQUOT: "its file system is full: make room there"
            case EIO: "look at the disk"
            default:
                "it must be a directory that belongs to the user that runs matriarchd "
                    + "(chown postgres: \(path))"
            }
        return StartError("\(key) = '\(path)': \(error.reason): \(advice)")
    }

    /// Reads what is there; makes a new identity where nothing is. A corrupt state is never replaced.
    mutating func load(member: MemberID) throws -> Loaded {
        var loaded: Loaded
        switch try read() {
        case .empty:
            let fresh = StateDirectory.fresh(member, .none, nil)
            loaded = Loaded(
                durable: fresh, sameBoot: false, notices: ["a new instance: no state in \(path) yet"])
            do { try file.store(StateDirectory.encode(fresh)) } catch {
                throw Self.unusable("state_directory", path, error)
            }
        case .corrupt(let damage):
            throw StartError(
                "the state in \(path) is damaged in both slots (\(damage)). It held this member's term, vote "
                    + "and document; without it the member must not vote. Look at the disk; to come back "
                    + "as a new instance that copies its data again, move state.a and state.b away and start")
        case .loaded(let bytes, _, let damaged):
            let durable = try decode(bytes)
            guard durable.member == member else {
                throw StartError(
                    "the state in \(path) belongs to node_name = '\(durable.member)', this node is "
                        + "'\(member)': set node_name = '\(durable.member)', or give this node a "
                        + "state_directory of its own"
                )
            }
            loaded = Loaded(durable: durable, sameBoot: false, notices: [])
            if let damaged {
                loaded.notices.append("one state slot is damaged, the other is used: \(damaged)")
            }
        }
        loaded.promise = readPromise()
        loaded.sameBoot = loaded.promise != nil
        // The room that promises need is taken now.
        do { try store(loaded.promise) } catch let error as SystemError {
            throw Self.unusable("runtime_directory", runtime, error)
        }
        return loaded
    }

    private mutating func read() throws -> TwoSlotFile.Loaded {
        if let obstacle = file.obstacle { throw Self.unusable("state_directory", path, obstacle) }
        do { return try file.load() } catch {
            throw StartError(
                "state_directory = '\(path)': \(error): this user must be able to read and write it")
        }
    }

    private func decode(_ bytes: [UInt8]) throws -> DurableState {
        do { return try JSONDecoder().decode(DurableState.self, from: Data(bytes)) } catch {
            throw StartError(
                "the state in \(path) is whole but not understood (\(error)): was it written by a newer "
                    + "matriarchd? Install that version")
        }
    }

    static func encode(_ durable: DurableState) -> [UInt8] {
        do { return Array(try JSONEncoder().encode(durable)) } catch {
            fatalError("the durable state can't be encoded: \(error)")
        }
    }

    /// A member without memory, under an identity that nobody has seen yet.
    static func fresh(_ member: MemberID, _ data: DataState, _ origin: Belonging?) -> DurableState {
        var state = DurableState(instance: newInstance(), member: member)
        state.data.state = data
        state.origin = origin
        return state
    }

    private static func newInstance() -> String {
        SecureRandom.bytes(8).map { byte in
            let text = String(byte, radix: 16)
            return byte < 16 ? "0" + text : text
        }.joined()
    }

    // MARK: the promise

    private struct PromiseFile: Codable {
        var boot: String
        /// Nil while none was given: then nothing is known of this boot either.
        var promise: Promise?
    }

    private var promisePath: String { "\(runtime)/promise.json" }

    /// A promise counts only in the boot in which it was given: the clock that it is measured on ends with
    /// it.
    private func readPromise() -> Promise? {
        guard let bytes = try? Files.readAll(promisePath, limit: 4096),
            let file = try? JSONDecoder().decode(PromiseFile.self, from: Data(bytes)),
            file.boot == boot
        else { return nil }
        return file.promise
    }

    /// Blanks behind the text up to here, so that a shorter promise covers a longer one.
    private static let promiseBytes = 1024

    /// Into tmpfs, so without fsync. In one write over the last one, at each heartbeat: no room has to be
    /// found for it, so that a full disk takes no vote away.
    func store(_ promise: Promise?) throws {
        let text = try JSONEncoder().encode(PromiseFile(boot: boot, promise: promise))
        precondition(text.count <= Self.promiseBytes, "a promise of \(text.count) bytes")
        let blanks = [UInt8](repeating: UInt8(ascii: " "), count: Self.promiseBytes - text.count)
        try Files.overwrite(promisePath, Array(text) + blanks, mode: 0o600)
    }

    /// The state file, for the thread that writes it.
    func writer() -> TwoSlotFile { file }
}
