/// Ends the process when a property that safety rests on does not hold.
///
/// `precondition` loses its message under -O and its check under -Ounchecked; this keeps both. A crash of the
/// agent is safe: the guard ends Postgres when nobody renews its deadline.
@inlinable
public func invariant(
    _ holds: @autoclosure () -> Bool, _ why: @autoclosure () -> String,
    file: StaticString = #fileID, line: UInt = #line
) {
    if !holds() { fatalError("invariant broken: \(why())", file: file, line: line) }
}
