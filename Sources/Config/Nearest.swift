/// Finds what a mistyped word was meant to be.
enum Nearest {
    /// `; did you mean 'x'?`, or nothing when no known word is close.
    static func suggestion(for word: String, among known: [String]) -> String {
        guard let best = match(for: word, among: known) else { return "" }
        return "; did you mean '\(best)'?"
    }

    /// The known word with the fewest differing letters, if these are few for its length.
    static func match(for word: String, among known: [String]) -> String? {
        let ranked = known.map { (word: $0, distance: distance(word, $0)) }
        guard let best = ranked.min(by: { $0.distance < $1.distance }) else { return nil }
        return best.distance <= max(1, best.word.count / 3) ? best.word : nil
    }

    /// Insertions, removals and replacements that turn one word into the other.
    private static func distance(_ left: String, _ right: String) -> Int {
        let target = Array(right)
        var row = Array(0...target.count)
        for (i, letter) in left.enumerated() {
            var diagonal = row[0]
            row[0] = i + 1
            for j in target.indices {
                let above = row[j + 1]
                let replaced = diagonal + (letter == target[j] ? 0 : 1)
                row[j + 1] = min(replaced, above + 1, row[j] + 1)
                diagonal = above
            }
        }
        return row[target.count]
    }
}
