/// Every bound of the links between agents.
public struct PeerLimits: Equatable, Sendable {
    /// Of one frame, after the hello. The document is at most 64 KiB, and JSON adds to it.
    public var frameBytes = 256 * 1024
    /// Of frames that wait on one link because its peer does not take them.
    public var queuedFrames = 64
    public var queuedBytes = 1024 * 1024

    /// From the accepted or connected socket to the other side's hello.
    public var handshake: Duration = .seconds(3)
    /// One attempt to connect. Below the second after which TCP asks again by itself, so that a peer which
    /// comes back is asked often.
    public var connect: Duration = .milliseconds(500)
    /// Every eighth attempt may take this long: for peers that are really that far away.
    public var patientConnect: Duration = .milliseconds(1500)
    /// How soon a lost or failed link is tried again, at first and at most.
    public var firstRetry: Duration = .milliseconds(50)
    public var longestRetry: Duration = .milliseconds(500)
    /// How soon one is tried again that was refused: waiting changes little there, and both sides log it.
    public var refusedRetry: Duration = .seconds(5)
    /// How often the addresses of a host name are looked up again: a group's always, a single peer's while it
    /// cannot be reached.
    public var lookup: Duration = .seconds(5)
    /// How long the kernel keeps a link whose peer does not acknowledge. A link that has lost many packets
    /// in a row sends again ever more rarely; a new one is quicker.
    public var unacknowledged: Duration = .milliseconds(1500)

    /// Incoming links that have not said hello, in all and from one address. The oldest makes room for the
    /// newest: an honest one needs milliseconds.
    public var strangers = 32
    public var strangersPerAddress = 8
    /// Connections that are taken in a second, from whomever. More wait, so that whoever floods the port
    /// does not keep the loop from its other duties.
    public var acceptsPerSecond = 2000
    /// Connections of a second that get a handshake, which costs a hundred times as much: so many from
    /// addresses that we dial ourselves, and so many from all others. The rest is closed at once, so that
    /// nobody waits behind a flood.
    public var greetingsPerSecond = 200
    /// Incoming links that have. Beyond it new ones are refused.
    public var guests = 64
    /// Addresses of one group.
    public var groupAddresses = 16

    /// One refusal per address and reason is told in this time, and a limited number of all.
    public var refusalLog: Duration = .seconds(60)

    public init() {}
}
