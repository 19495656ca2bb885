import Consensus
import FoundationEssentials
public import Supervision

/// Envelopes as the bytes of frames: JSON, so that a version can add fields which the one before passes over.
public enum EnvelopeCodec {
    /// What fits into one frame.
    public static var maxBytes: Int { PeerLimits().frameBytes - 2 }

    public static func encode(_ envelope: Envelope) throws(EnvelopeError) -> [UInt8] {
        let bytes: [UInt8]
        do {
            bytes = Array(try JSONEncoder().encode(envelope))
        } catch {
            throw .unwritable("\(error)")
        }
        guard bytes.count <= maxBytes else { throw .tooLarge(bytes.count) }
        return bytes
    }

    public static func decode(_ bytes: [UInt8]) throws(EnvelopeError) -> Envelope {
        guard bytes.count <= maxBytes else { throw .tooLarge(bytes.count) }
        do {
            return try JSONDecoder().decode(Envelope.self, from: Data(bytes))
        } catch let error as DecodingError {
            throw .unreadable(explanation(of: error))
        } catch {
            throw .unreadable("\(error)")
        }
    }

    /// Where in the message, and what; never the message itself, which may hold passwords.
    private static func explanation(of error: DecodingError) -> String {
        switch error {
        case .keyNotFound(let key, let context): "\(path(context)) has no \(key.stringValue)"
        case .typeMismatch(let type, let context): "\(path(context)) is no \(type)"
        case .valueNotFound(let type, let context): "\(path(context)) is null instead of a \(type)"
        case .dataCorrupted(let context): "\(path(context)) cannot be understood"
        @unknown default: "not an envelope"
        }
    }

    private static func path(_ context: DecodingError.Context) -> String {
        let keys = context.codingPath.map(\.stringValue)
        return keys.isEmpty ? "the envelope" : keys.joined(separator: ".")
    }
}

/// Why bytes are no envelope, or an envelope no bytes.
public enum EnvelopeError: Error, Equatable, Sendable, CustomStringConvertible {
    case tooLarge(Int)
    case unreadable(String)
    case unwritable(String)

    public var description: String {
        switch self {
        case .tooLarge(let bytes): "a message of \(bytes) bytes; must be at most \(EnvelopeCodec.maxBytes)"
        case .unreadable(let why): "a message that cannot be read: \(why)"
        case .unwritable(let why): "a message that cannot be written: \(why)"
        }
    }
}

extension Envelope {
    /// Messages that a newer one of their kind makes worthless. A person's commands and words that are said
    /// once are not among them.
    public var coalescing: CoalescingKey? {
        switch body {
        case .consensus(let message):
            switch message {
            case .preVote: CoalescingKey(1)
            case .vote: CoalescingKey(2)
            case .append: CoalescingKey(3)
            case .appendAnswer: CoalescingKey(4)
            case .offer: CoalescingKey(5)
            // A voter answers two questions at a time at most: by kind, the newer answer is the one waited
            // for.
            case .voteAnswer(let answer): CoalescingKey(answer.isPreVote ? 6 : 7)
            case .timeoutNow, .release: nil
            }
        case .freeze: CoalescingKey(8)
        case .frozen: CoalescingKey(9)
        case .join: CoalescingKey(10)
        case .joinAnswer: CoalescingKey(11)
        case .founder: CoalescingKey(12)
        case .foundingProposal: CoalescingKey(13)
        case .news: CoalescingKey(14)
        case .rolledBack: CoalescingKey(15)
        case .foundingGrant, .command, .commandAnswer, .question, .reply: nil
        }
    }
}
