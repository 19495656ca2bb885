import Consensus

/// A document with just what the register asks for, and a history that shows on which documents it was built.
struct TestDocument: RegisterDocument {
    var voters: Voters
    var recipients: [MemberID]
    var lease: Duration = .seconds(1)
    var primaryMember: MemberID?
    /// Members that came back under another instance than their first.
    var readmitted: [MemberID: Instance] = [:]
    /// One number per proposal since the first document: a commit must extend every commit before it.
    var history: [Int] = []

    func instance(of member: MemberID) -> Instance? {
        guard recipients.contains(member) || voters.contains(member) else { return nil }
        return readmitted[member] ?? TestDocument.firstInstance(of: member)
    }

    static func firstInstance(of member: MemberID) -> Instance { "\(member)#1" }
}

extension TestDocument: CustomStringConvertible {
    var description: String {
        var text = voters.current.map(\.name).joined(separator: ",")
        if let next = voters.next { text += "→" + next.map(\.name).joined(separator: ",") }
        if !history.isEmpty { text += " after " + history.map(String.init).joined(separator: " ") }
        return text
    }
}
