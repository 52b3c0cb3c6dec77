//! Reads the rows that a user gives, line by line.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::csv_lines::CsvRecord;
use super::offline_arguments::RowsFormat;
use super::progress_bar::progress_bar;
use super::shown_row::{Column, RowPart};
use crate::error::{Error, ErrorKind, Result};
use crate::state::rows::Cell;
use crate::telemetry::{TerminalLine, format_bytes};

/// How large one row can be. A quote that is never closed is noticed there, and not at the end of the input.
const ROW_BYTES_MAX: u64 = 64 << 20;

/// After how many bytes the progress is shown again.
const PROGRESS_BYTES: u64 = 1 << 20;

/// How many wrong rows are named before the others are left unread.
const WRONG_ROWS_MAX: usize = 10;

/// A row as it was given: its parts as JSON, as far as they were there.
#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct InputRow {
    #[serde(deserialize_with = "present")]
    pub(super) subtask: Option<Value>,
    #[serde(deserialize_with = "present")]
    pub(super) key: Option<Value>,
    #[serde(deserialize_with = "present")]
    pub(super) map_key: Option<Value>,
    #[serde(deserialize_with = "present")]
    pub(super) value: Option<Value>,
    #[serde(deserialize_with = "present")]
    pub(super) expires_at: Option<Value>,
}

/// What rows are rows of.
pub(super) trait RowTaker {
    /// The columns of CSV.
    fn columns(&self) -> Vec<Column>;

    /// Whether a row can do without a part.
    fn can_miss(&self, part: RowPart) -> bool;

    /// The value of a part of a row, out of its cells.
    ///
    /// # Errors
    /// [`ErrorKind::Data`] when they show none.
    fn part_of_cells(&self, part: RowPart, cells: &[Cell]) -> Result<Value>;

    /// Takes a row.
    ///
    /// # Errors
    /// [`ErrorKind::Data`] when it is wrong.
    fn take(&mut self, row: InputRow) -> Result<()>;
}

/// Lines of rows, and how many of them have been read.
pub(super) struct RowInput<'a> {
    /// What messages call it.
    name: String,
    reader: Box<dyn BufRead>,
    /// How many bytes there are, if that is known.
    bytes: Option<u64>,
    bytes_read: u64,
    lines_read: u64,
    progress: &'a TerminalLine,
    /// How many bytes had been read when the progress was last shown.
    shown_bytes: u64,
}

/// The order in which the columns of a table stand in its lines.
struct CsvOrder {
    /// For each part, where its cells are, in the order of its columns.
    parts: Vec<(RowPart, Vec<usize>)>,
    width: usize,
}

impl<'a> RowInput<'a> {
    /// The rows in a file, or `-` for those on standard input.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`] when the file cannot be opened.
    pub(super) fn open(path: &Path, progress: &'a TerminalLine) -> Result<Self> {
        if path == Path::new("-") {
            let reader = Box::new(BufReader::new(io::stdin()));
            return Ok(Self::new("standard input", reader, None, progress));
        }
        let name = path.display().to_string();
        let opened = File::open(path).and_then(|file| Ok((file.metadata()?.len(), file)));
        let (bytes, file) = opened.map_err(|error| {
            let message = format!("read rows from {name}");
            Error::new(ErrorKind::Configuration, message).with_source(error)
        })?;
        let reader = Box::new(BufReader::new(file));
        Ok(Self::new(&name, reader, Some(bytes), progress))
    }

    fn new(
        name: &str,
        reader: Box<dyn BufRead>,
        bytes: Option<u64>,
        progress: &'a TerminalLine,
    ) -> Self {
        Self {
            name: name.to_owned(),
            reader,
            bytes,
            bytes_read: 0,
            lines_read: 0,
            progress,
            shown_bytes: 0,
        }
    }

    /// Gives all rows to `taker`; says how many there were.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`] with the line of each wrong row, up to the tenth; [`ErrorKind::Environment`] when the
    /// input cannot be read.
    pub(super) fn read(mut self, format: RowsFormat, taker: &mut dyn RowTaker) -> Result<u64> {
        let read = match format {
            RowsFormat::Json => self.read_json(taker),
            RowsFormat::Csv => self.read_csv(taker),
        };
        self.progress.clear();
        read
    }

    fn read_json(&mut self, taker: &mut dyn RowTaker) -> Result<u64> {
        let (mut rows, mut wrong) = (0, Vec::new());
        let mut line = String::new();
        while self.next_line(&mut line)? {
            if line.trim().is_empty() {
                continue;
            }
            rows += 1;
            let parsed = serde_json::from_str(&line)
                .map_err(|error| Error::new(ErrorKind::Data, error.to_string()));
            if let Err(error) = parsed.and_then(|row| taker.take(row)) {
                self.note(&mut wrong, self.lines_read, &error)?;
            }
        }
        self.finish(rows, wrong)
    }

    fn read_csv(&mut self, taker: &mut dyn RowTaker) -> Result<u64> {
        let (mut rows, mut wrong) = (0, Vec::new());
        let mut order: Option<CsvOrder> = None;
        let mut line = String::new();
        while self.next_line(&mut line)? {
            let first_line = self.lines_read;
            let cells = self.csv_record(&mut line)?;
            let Some(order) = &order else {
                let found = CsvOrder::new(&cells, taker);
                order = Some(found.map_err(|error| self.at(first_line, &error))?);
                continue;
            };
            let is_blank = matches!(cells.as_slice(), [cell] if cell.is_nothing());
            if is_blank && order.width > 1 {
                continue;
            }
            rows += 1;
            let row = order.row(&cells, taker);
            if let Err(error) = row.and_then(|row| taker.take(row)) {
                self.note(&mut wrong, first_line, &error)?;
            }
        }
        if order.is_none() {
            let message = format!("{}: the line of titles is missing", self.name);
            return Err(Error::new(ErrorKind::Configuration, message));
        }
        self.finish(rows, wrong)
    }

    /// The cells of the record that begins with `line`, and can go on in the lines behind it.
    fn csv_record(&mut self, line: &mut String) -> Result<Vec<Cell>> {
        let (first_line, first_byte) = (self.lines_read, self.bytes_read);
        let mut record = CsvRecord::new();
        loop {
            let pushed = record.push_line(line);
            if let Some(cells) = pushed.map_err(|error| self.at(self.lines_read, &error))? {
                return Ok(cells);
            }
            let is_too_large = self.bytes_read - first_byte > ROW_BYTES_MAX;
            if is_too_large || !self.next_line(line)? {
                let message = "a quote is opened in this row and not closed";
                let error = Error::new(ErrorKind::Data, message);
                return Err(self.at(first_line, &error));
            }
        }
    }

    /// Reads the next line with its line end; says whether there is one.
    fn next_line(&mut self, line: &mut String) -> Result<bool> {
        line.clear();
        let mut limited = Read::take(&mut self.reader, ROW_BYTES_MAX + 1);
        let read = limited.read_line(line);
        self.lines_read += 1;
        let bytes = match read {
            Ok(bytes) => bytes as u64,
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                let error = Error::new(ErrorKind::Data, "the line is not UTF-8");
                return Err(self.at(self.lines_read, &error));
            }
            Err(error) => return Err(Error::io(format!("read rows from {}", self.name), error)),
        };
        if bytes > ROW_BYTES_MAX {
            let message = format!("a row is larger than {}", format_bytes(ROW_BYTES_MAX));
            return Err(self.at(self.lines_read, &Error::new(ErrorKind::Data, message)));
        }
        self.bytes_read += bytes;
        if self.bytes_read - self.shown_bytes >= PROGRESS_BYTES {
            self.shown_bytes = self.bytes_read;
            self.progress.show(match self.bytes {
                Some(bytes) => progress_bar("read rows", self.bytes_read, bytes),
                None => format!("read rows: {}", format_bytes(self.bytes_read)),
            });
        }
        Ok(bytes > 0)
    }

    /// Notes that a row is wrong.
    ///
    /// # Errors
    /// All that were noted, when there are enough.
    fn note(&self, wrong: &mut Vec<String>, line: u64, error: &Error) -> Result<()> {
        wrong.push(self.at(line, error).to_string());
        if wrong.len() < WRONG_ROWS_MAX {
            return Ok(());
        }
        wrong.push(format!("{}: the rows behind are not looked at", self.name));
        Err(Error::new(ErrorKind::Configuration, wrong.join("\n")))
    }

    fn finish(&self, rows: u64, wrong: Vec<String>) -> Result<u64> {
        match (rows, wrong.is_empty()) {
            (_, false) => Err(Error::new(ErrorKind::Configuration, wrong.join("\n"))),
            (0, true) => {
                let message = format!("{}: there is no row", self.name);
                Err(Error::new(ErrorKind::Configuration, message))
            }
            (rows, true) => Ok(rows),
        }
    }

    fn at(&self, line: u64, error: &Error) -> Error {
        let message = format!("{}:{line}: {}", self.name, error.full_message());
        Error::new(ErrorKind::Configuration, message)
    }
}

impl CsvOrder {
    /// The order that a line of titles says.
    ///
    /// # Errors
    /// [`ErrorKind::Data`] when a title is unknown, stands twice or is missing.
    fn new(titles: &[Cell], taker: &dyn RowTaker) -> Result<Self> {
        let columns = taker.columns();
        let wrong = |message: String| Err(Error::new(ErrorKind::Data, message));
        let known = || {
            let titles: Vec<&str> = columns.iter().map(|column| column.title.as_str()).collect();
            titles.join(", ")
        };
        for (index, title) in titles.iter().enumerate() {
            let title = &title.text;
            if columns.iter().all(|column| column.title != *title) {
                return wrong(format!(
                    "there is no column \"{title}\" (there are {})",
                    known()
                ));
            }
            if titles[..index].iter().any(|other| other.text == *title) {
                return wrong(format!("the column \"{title}\" stands twice"));
            }
        }
        let mut parts: Vec<(RowPart, Vec<usize>)> = Vec::new();
        for column in &columns {
            let Some(place) = titles.iter().position(|title| title.text == column.title) else {
                let of_part = |other: &&Column| other.part == column.part;
                let has_others = titles.iter().any(|title| {
                    columns
                        .iter()
                        .filter(of_part)
                        .any(|other| other.title == title.text)
                });
                if taker.can_miss(column.part) && !has_others {
                    continue;
                }
                let title = &column.title;
                return wrong(format!(
                    "the column \"{title}\" is missing (there are {})",
                    known()
                ));
            };
            match parts.last_mut() {
                Some((part, places)) if *part == column.part => places.push(place),
                _ => parts.push((column.part, vec![place])),
            }
        }
        Ok(Self {
            parts,
            width: titles.len(),
        })
    }

    fn row(&self, cells: &[Cell], taker: &dyn RowTaker) -> Result<InputRow> {
        if cells.len() != self.width {
            let message = format!(
                "there are {} cells under {} titles",
                cells.len(),
                self.width
            );
            return Err(Error::new(ErrorKind::Data, message));
        }
        let mut row = InputRow::default();
        for (part, places) in &self.parts {
            let own: Vec<Cell> = places.iter().map(|place| cells[*place].clone()).collect();
            // What a row can do without is not there when its cells are empty.
            if taker.can_miss(*part) && own.iter().all(Cell::is_nothing) {
                continue;
            }
            let value = taker.part_of_cells(*part, &own);
            *row.part_mut(*part) = Some(value.map_err(|error| error.context(part))?);
        }
        Ok(row)
    }
}

impl InputRow {
    fn part_mut(&mut self, part: RowPart) -> &mut Option<Value> {
        match part {
            RowPart::Subtask => &mut self.subtask,
            RowPart::Key => &mut self.key,
            RowPart::MapKey => &mut self.map_key,
            RowPart::Value => &mut self.value,
            RowPart::ExpiresAt => &mut self.expires_at,
        }
    }
}

/// A part that is there, be it null.
fn present<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> std::result::Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}
