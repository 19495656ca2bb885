/// A failure of the laboratory or of what it watches, in words for the person who reads the test's output.
public struct LabError: Error, CustomStringConvertible, Sendable {
    public let description: String

    public init(_ description: String) { self.description = description }
}
