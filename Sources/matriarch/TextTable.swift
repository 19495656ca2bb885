/// Rows in columns as wide as their widest cell, two spaces apart.
enum TextTable {
    static func lines(_ rows: [[String]]) -> [String] {
        let widths = (rows.first ?? []).indices.map { column in rows.map { $0[column].count }.max() ?? 0 }
        return rows.map { row in
            let last = row.count - 1
            let cells = zip(row, widths).enumerated().map { column, cell in
                cell.0 + String(repeating: " ", count: column == last ? 0 : cell.1 - cell.0.count)
            }
            return cells.joined(separator: "  ")
        }
    }
}
