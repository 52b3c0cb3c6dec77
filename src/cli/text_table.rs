//! Rows as an aligned table.

/// On which side a column's cells are flush.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Align {
    /// For words.
    Left,
    /// For figures.
    Right,
}

/// The columns' titles over the rows, two spaces between columns, no space at the ends of lines.
pub(super) fn render_table(columns: &[(&str, Align)], rows: &[Vec<String>]) -> String {
    let titles = columns
        .iter()
        .map(|(title, _)| (*title).to_owned())
        .collect();
    let mut lines: Vec<Vec<String>> = vec![titles];
    lines.extend_from_slice(rows);
    let width = |column: usize| {
        let cells = lines.iter().filter_map(|line| line.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns.len()).map(width).collect();
    let rendered: Vec<String> = lines
        .iter()
        .map(|line| {
            let cells: Vec<String> = line
                .iter()
                .zip(columns.iter().zip(&widths))
                .map(|(cell, ((_, align), width))| match align {
                    Align::Left => format!("{cell:<width$}"),
                    Align::Right => format!("{cell:>width$}"),
                })
                .collect();
            cells.join("  ").trim_end().to_owned()
        })
        .collect();
    rendered.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let columns = [
            ("ID", Align::Right),
            ("STATUS", Align::Left),
            ("SIZE", Align::Right),
        ];
        let row = |cells: [&str; 3]| cells.map(str::to_owned).to_vec();
        let rows = [row(["9", "ok", "12 B"]), row(["1000", "größer", "3.4 MB"])];
        let expected = "  ID  STATUS    SIZE\n   9  ok        12 B\n1000  größer  3.4 MB";
        assert_eq!(render_table(&columns, &rows), expected);
        assert_eq!(render_table(&columns, &[]), "ID  STATUS  SIZE");
    }
}
