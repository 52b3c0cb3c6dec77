//! Takes lines of CSV apart into cells.

use crate::error::{Error, ErrorKind, Result};
use crate::state::rows::Cell;

/// One record of a table, as far as its lines have come: a cell in quotes can have several lines.
#[derive(Clone, Debug)]
pub(super) struct CsvRecord {
    cells: Vec<Cell>,
    cell: Cell,
    place: Place,
}

/// Where in a cell the next character stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// At its beginning.
    Start,
    /// In one without quotes.
    Bare,
    /// Between the quotes.
    Quoted,
    /// Behind a quote that ends the cell, unless another one follows.
    Closed,
}

impl CsvRecord {
    /// No line yet.
    pub(super) fn new() -> Self {
        Self {
            cells: Vec::new(),
            cell: empty(),
            place: Place::Start,
        }
    }

    /// Takes a line, with its line end. Gives the cells when the record is complete with it.
    ///
    /// # Errors
    /// [`ErrorKind::Data`] when something follows the quote that ends a cell.
    pub(super) fn push_line(&mut self, line: &str) -> Result<Option<Vec<Cell>>> {
        for letter in line.chars() {
            match (self.place, letter) {
                (Place::Quoted, '"') => self.place = Place::Closed,
                (Place::Closed, '"') => {
                    self.cell.text.push('"');
                    self.place = Place::Quoted;
                }
                (Place::Quoted, letter) => self.cell.text.push(letter),
                (Place::Start, '"') => {
                    self.cell.is_quoted = true;
                    self.place = Place::Quoted;
                }
                (_, ',') => self.end_cell(),
                (_, '\n') => {
                    if self.place == Place::Bare && self.cell.text.ends_with('\r') {
                        self.cell.text.pop();
                    }
                }
                (Place::Closed, '\r') => {}
                (Place::Closed, _) => {
                    let message =
                        "a quote within a cell must be doubled, and the cell stand in quotes";
                    return Err(Error::new(ErrorKind::Data, message));
                }
                (Place::Start | Place::Bare, letter) => {
                    self.cell.text.push(letter);
                    self.place = Place::Bare;
                }
            }
        }
        if self.place == Place::Quoted {
            return Ok(None);
        }
        self.end_cell();
        Ok(Some(std::mem::take(&mut self.cells)))
    }

    fn end_cell(&mut self) {
        self.cells.push(std::mem::replace(&mut self.cell, empty()));
        self.place = Place::Start;
    }
}

fn empty() -> Cell {
    Cell {
        text: String::new(),
        is_quoted: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The cells of a record, those in quotes with one quote before them.
    fn cells(lines: &[&str]) -> Vec<String> {
        let mut record = CsvRecord::new();
        let (last, first) = lines.split_last().unwrap();
        for line in first {
            assert_eq!(record.push_line(line).unwrap(), None, "{line}");
        }
        let cells = record.push_line(last).unwrap().unwrap();
        let shown = cells.into_iter().map(|cell| {
            let quote = if cell.is_quoted { "\"" } else { "" };
            format!("{quote}{}", cell.text)
        });
        shown.collect()
    }

    #[test]
    fn quotes_hold_commas_quotes_and_line_ends() {
        assert_eq!(cells(&["a,,b c\n"]), ["a", "", "b c"]);
        assert_eq!(
            cells(&["\"\",\"a,\"\"b\"\"\",c\r\n"]),
            ["\"", "\"a,\"b\"", "c"]
        );
        assert_eq!(cells(&["\"a\r\n", "b\",c"]), ["\"a\r\nb", "c"]);
        assert_eq!(cells(&["\n"]), [""]);
        assert_eq!(cells(&["a \"b\",\n"]), ["a \"b\"", ""]);
    }

    #[test]
    fn what_follows_a_closing_quote_is_refused() {
        let error = CsvRecord::new().push_line("\"a\"b\n").unwrap_err();
        assert!(error.to_string().contains("must be doubled"), "{error}");
    }
}
