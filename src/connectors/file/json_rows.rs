//! The rows of a file of JSON lines.

use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};

use super::input_file::{InputFile, InputFiles};
use super::row_reader::{BadRow, FilePosition, RowRead, RowSyntax, read_failure, too_large};
use crate::connectors::format::{Columns, JsonObjects, RowBuilder};
use crate::error::Result;

const BUFFER_BYTES: usize = 128 << 10;

/// Reads one object a line. A missing key is null, a key that is not asked for is passed over, a blank line too.
pub(super) struct JsonRows {
    path: String,
    reader: BufReader<InputFile>,
    position: FilePosition,
    line: Vec<u8>,
    row_bytes_max: u64,
    objects: JsonObjects,
}

impl JsonRows {
    /// Opens the file at `path` and goes to `position`.
    pub(super) fn open(
        files: &InputFiles,
        path: &str,
        syntax: RowSyntax,
        columns: &Columns,
        position: FilePosition,
    ) -> Result<Self> {
        let mut file = files.open(path)?;
        file.seek(SeekFrom::Start(position.offset))
            .map_err(|error| read_failure(path, error))?;
        Ok(Self {
            path: path.to_owned(),
            reader: BufReader::with_capacity(BUFFER_BYTES, file),
            position,
            line: Vec::new(),
            row_bytes_max: syntax.row_bytes_max,
            objects: JsonObjects::new(columns),
        })
    }

    pub(super) fn read(&mut self, rows: &mut RowBuilder) -> Result<RowRead> {
        loop {
            self.line.clear();
            // One byte more tells a row that is too large from one that is just not.
            let mut row = Read::take(&mut self.reader, self.row_bytes_max.saturating_add(1));
            let length = row
                .read_until(b'\n', &mut self.line)
                .map_err(|error| read_failure(&self.path, error))?;
            if length as u64 > self.row_bytes_max {
                return Err(too_large(
                    &self.path,
                    self.position.line,
                    self.row_bytes_max,
                ));
            }
            if length == 0 {
                return Ok(RowRead::End);
            }
            self.position.offset += length as u64;
            self.position.line += u64::from(self.line.ends_with(b"\n"));
            if !self.line.trim_ascii().is_empty() {
                return Ok(self.parse(rows));
            }
        }
    }

    pub(super) fn position(&self) -> FilePosition {
        self.position
    }

    fn parse(&mut self, rows: &mut RowBuilder) -> RowRead {
        if let Err(problem) = self.objects.read(&self.line, rows) {
            rows.reject_row();
            let ended = self.line.ends_with(b"\n");
            return RowRead::Bad(BadRow {
                line: self.position.line - u64::from(ended),
                problem,
                raw: self.line.trim_ascii_end().to_vec(),
            });
        }
        rows.end_row();
        RowRead::Row
    }
}
