//! Reads the rows of one file, from any position that it was left at.

use std::path::Path;

use serde_json::json;

use super::csv_rows::CsvRows;
use super::input_file::InputFiles;
use super::json_rows::JsonRows;
use crate::connectors::format::{Columns, RowBuilder, RowFormat, RowProblem};
use crate::error::{Error, ErrorKind, Result};
use crate::telemetry::format_bytes;

/// A place between two rows of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FilePosition {
    /// Bytes from the start of the file.
    pub(super) offset: u64,
    /// The number of the line that begins here, from 1.
    pub(super) line: u64,
}

/// How the rows of a file are written.
#[derive(Clone, Copy, Debug)]
pub(super) struct RowSyntax {
    pub(super) format: RowFormat,
    /// What stands between the fields of CSV.
    pub(super) delimiter: u8,
    /// How large a row can be, with its line end.
    pub(super) row_bytes_max: u64,
}

/// What reading a row came to.
#[derive(Debug)]
pub(super) enum RowRead {
    /// A row was added to the batch.
    Row,
    /// The row cannot be used; a rejected row was added to the batch.
    Bad(BadRow),
    /// The file has no more rows.
    End,
}

/// A row that cannot be used.
#[derive(Debug)]
pub(super) struct BadRow {
    /// The line that the row begins on.
    pub(super) line: u64,
    /// What is wrong.
    pub(super) problem: RowProblem,
    /// The row as it stands in the file, without the line end.
    pub(super) raw: Vec<u8>,
}

/// The rows of one open file.
pub(super) enum RowReader {
    Csv(Box<CsvRows>),
    Json(JsonRows),
}

impl RowReader {
    /// Opens the file at `path` and goes to `position`.
    pub(super) fn open(
        files: &InputFiles,
        syntax: RowSyntax,
        columns: &Columns,
        path: &str,
        position: FilePosition,
    ) -> Result<Self> {
        Ok(match syntax.format {
            RowFormat::Csv => {
                let rows = CsvRows::open(files, path, syntax, columns, position)?;
                Self::Csv(Box::new(rows))
            }
            RowFormat::Json => Self::Json(JsonRows::open(files, path, syntax, columns, position)?),
        })
    }

    /// Reads the next row into `rows`.
    #[inline]
    pub(super) fn read(&mut self, rows: &mut RowBuilder) -> Result<RowRead> {
        match self {
            Self::Csv(reader) => reader.read(rows),
            Self::Json(reader) => reader.read(rows),
        }
    }

    /// The place after the last row that was read.
    pub(super) fn position(&self) -> FilePosition {
        match self {
            Self::Csv(reader) => reader.position(),
            Self::Json(reader) => reader.position(),
        }
    }
}

impl FilePosition {
    /// The start of a file.
    pub(super) const START: Self = Self { offset: 0, line: 1 };
}

impl BadRow {
    /// The error that this row in the file at `path` fails a job with.
    pub(super) fn to_error(&self, path: &str) -> Error {
        let Self { line, problem, .. } = self;
        Error::new(ErrorKind::Data, format!("{path}:{line}: {problem}"))
    }

    /// The row as one line of a dead-letter file.
    pub(super) fn to_dead_letter(&self, path: &str) -> String {
        let letter = json!({
            "file": path,
            "line": self.line,
            "column": self.problem.column,
            "reason": self.problem.reason,
            "raw": String::from_utf8_lossy(&self.raw),
        });
        format!("{letter}\n")
    }
}

/// The error of a row that begins on `line` and is larger than it can be.
pub(super) fn too_large(path: &str, line: u64, row_bytes_max: u64) -> Error {
    let max = format_bytes(row_bytes_max);
    let message = format!(
        "{path}:{line}: the row is larger than {max}: close the quote that is open in it, or raise max_row_size"
    );
    Error::new(ErrorKind::Data, message)
}

/// The error of a file that cannot be read.
pub(super) fn read_failure(path: impl AsRef<Path>, error: impl Into<std::io::Error>) -> Error {
    Error::io(
        format_args!("read {}", path.as_ref().display()),
        error.into(),
    )
}
