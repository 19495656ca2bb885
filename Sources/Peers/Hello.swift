/// The first frame of either side: who speaks, of which cluster, in which versions.
///
/// A list of fields, each a tag, a length of two bytes and its bytes. Unknown tags are passed over, so that
/// a later version can add to it; the tags and meanings below never change.
struct Hello: Equatable, Sendable {
    static let maxBytes = 4096

    var clusterName: String
    var nodeName: String
    var instance: String
    var nonce: UInt64
    var agentVersion: String
    var versions: ClosedRange<UInt8>
    var advertised: Endpoint?

    private enum Tag: UInt8 {
        case clusterName = 1
        case nodeName, instance, nonce, agentVersion, versions, host, port
    }

    init(_ identity: LocalIdentity) {
        clusterName = identity.clusterName
        nodeName = identity.nodeName
        instance = identity.instance
        nonce = identity.nonce
        agentVersion = identity.agentVersion
        versions = identity.versions
        advertised = identity.advertised
    }

    var payload: [UInt8] {
        var bytes: [UInt8] = []
        func add(_ tag: Tag, _ value: [UInt8]) {
            bytes.append(tag.rawValue)
            bytes.append(bigEndian: UInt16(value.count))
            bytes.append(contentsOf: value)
        }
        add(.clusterName, Hello.bounded(clusterName))
        add(.nodeName, Hello.bounded(nodeName))
        add(.instance, Hello.bounded(instance))
        add(.nonce, withUnsafeBytes(of: nonce.bigEndian) { Array($0) })
        add(.agentVersion, Hello.bounded(agentVersion))
        add(.versions, [versions.lowerBound, versions.upperBound])
        if let advertised {
            add(.host, Hello.bounded(advertised.host))
            add(.port, withUnsafeBytes(of: advertised.port.bigEndian) { Array($0) })
        }
        return bytes
    }

    /// Names come from settings, which have limits of their own; this one only keeps the frame within its
    /// bound.
    private static func bounded(_ text: String) -> [UInt8] { Array(text.utf8.prefix(255)) }

    init(payload: [UInt8]) throws(HelloError) {
        let fields = try Hello.fields(of: payload)
        func text(_ tag: Tag, _ name: String) throws(HelloError) -> String {
            guard let bytes = fields[tag.rawValue] else { throw .missing(name) }
            guard let text = String(validating: bytes, as: UTF8.self), Hello.isPrintable(text) else {
                throw .unreadable(name)
            }
            return text
        }
        func number<Number: FixedWidthInteger & UnsignedInteger>(
            _ tag: Tag, _ name: String, as type: Number.Type
        ) throws(HelloError) -> Number {
            guard let bytes = fields[tag.rawValue] else { throw .missing(name) }
            guard bytes.count == MemoryLayout<Number>.size else { throw .unreadable(name) }
            return bytes.reduce(0) { $0 << 8 | Number($1) }
        }
        clusterName = try text(.clusterName, "cluster name")
        nodeName = try text(.nodeName, "node name")
        instance = try text(.instance, "instance")
        nonce = try number(.nonce, "nonce", as: UInt64.self)
        agentVersion = try text(.agentVersion, "agent version")
        let both = try number(.versions, "protocol versions", as: UInt16.self)
        let (oldest, newest) = (UInt8(both >> 8), UInt8(both & 0xFF))
        guard oldest <= newest, oldest > 0 else { throw .unreadable("protocol versions") }
        versions = oldest...newest
        if fields[Tag.host.rawValue] != nil {
            let host = try text(.host, "advertised host")
            advertised = Endpoint(host: host, port: try number(.port, "advertised port", as: UInt16.self))
        } else {
            advertised = nil
        }
    }

    private static func fields(of payload: [UInt8]) throws(HelloError) -> [UInt8: [UInt8]] {
        var fields: [UInt8: [UInt8]] = [:]
        var rest = payload[...]
        while let tag = rest.popFirst() {
            guard let high = rest.popFirst(), let low = rest.popFirst() else { throw .cutShort }
            let length = Int(high) << 8 | Int(low)
            guard rest.count >= length else { throw .cutShort }
            guard fields.updateValue(Array(rest.prefix(length)), forKey: tag) == nil else {
                throw .repeated(tag)
            }
            rest = rest.dropFirst(length)
        }
        return fields
    }

    /// Names go into logs and onto terminals, so a peer must not be able to send control characters.
    private static func isPrintable(_ text: String) -> Bool {
        !text.isEmpty && text.utf8.count <= 255
            && text.unicodeScalars.allSatisfy { $0.value >= 0x20 && !(0x7F...0x9F).contains($0.value) }
    }
}

enum HelloError: Error, Equatable, CustomStringConvertible {
    case missing(String)
    case unreadable(String)
    case repeated(UInt8)
    case cutShort

    var description: String {
        switch self {
        case .missing(let field): "a hello without \(field)"
        case .unreadable(let field): "a hello whose \(field) cannot be read"
        case .repeated(let tag): "a hello with field \(tag) twice"
        case .cutShort: "a hello that ends within a field"
        }
    }
}
