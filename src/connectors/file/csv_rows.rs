//! The rows of a CSV file with a header.

use std::io::{self, Read, Seek, SeekFrom};

use csv::{ByteRecord, Position, Reader, ReaderBuilder};

use super::bounded_file::BoundedFile;
use super::input_file::{InputFile, InputFiles};
use super::row_reader::{BadRow, FilePosition, RowRead, RowSyntax, read_failure, too_large};
use crate::connectors::format::{Columns, RowBuilder, RowProblem};
use crate::error::{Error, ErrorKind, Result};

const BUFFER_BYTES: usize = 128 << 10;

/// Reads the columns that are asked for, found by the header, whatever their order in the file.
pub(super) struct CsvRows {
    files: InputFiles,
    path: String,
    reader: Reader<BoundedFile<InputFile>>,
    record: ByteRecord,
    row_bytes_max: u64,
    /// For each wanted column, its name and which field of a row holds it.
    fields: Vec<(String, usize)>,
    /// How many fields the header has, and therefore every row.
    width: usize,
}

impl CsvRows {
    /// Reads the header of the file at `path`, then goes to `position`.
    pub(super) fn open(
        files: &InputFiles,
        path: &str,
        syntax: RowSyntax,
        columns: &Columns,
        position: FilePosition,
    ) -> Result<Self> {
        let file = files.open(path)?;
        let row_bytes_max = syntax.row_bytes_max;
        let mut reader = ReaderBuilder::new()
            .delimiter(syntax.delimiter)
            // Rows of another length are found here, where they can be passed over.
            .flexible(true)
            .buffer_capacity(BUFFER_BYTES)
            .from_reader(BoundedFile::new(file));
        reader.get_mut().allow_to(row_bytes_max);
        let header = reader.byte_headers().cloned();
        if reader.get_ref().is_exhausted() && header.is_err()
            || reader.position().byte() > row_bytes_max
        {
            return Err(too_large(path, FilePosition::START.line, row_bytes_max));
        }
        let header = header.map_err(|error| read_failure(path, error))?;
        let width = header.len();
        let fields = find_fields(path, &header, columns)?;
        if position.offset > 0 {
            let mut resumed = Position::new();
            resumed.set_byte(position.offset).set_line(position.line);
            reader
                .seek(resumed)
                .map_err(|error| read_failure(path, error))?;
        }
        Ok(Self {
            files: files.clone(),
            path: path.to_owned(),
            reader,
            record: ByteRecord::new(),
            row_bytes_max,
            fields,
            width,
        })
    }

    pub(super) fn read(&mut self, rows: &mut RowBuilder) -> Result<RowRead> {
        let start = self.position();
        let end = start.offset.saturating_add(self.row_bytes_max);
        self.reader.get_mut().allow_to(end);
        let read = self.reader.read_byte_record(&mut self.record);
        let is_cut_off = read.is_err() && self.reader.get_ref().is_exhausted();
        if is_cut_off || self.position().offset > end {
            return Err(too_large(&self.path, start.line, self.row_bytes_max));
        }
        if !read.map_err(|error| read_failure(&self.path, error))? {
            return Ok(RowRead::End);
        }
        if self.record.len() != self.width {
            let reason = format!(
                "the row has {} fields, and the header {}",
                self.record.len(),
                self.width
            );
            return self.reject(rows, RowProblem::of_row(reason));
        }
        for column in 0..self.fields.len() {
            let field = &self.record[self.fields[column].1];
            if let Err(problem) = rows.push_text(column, field) {
                let problem = RowProblem::of_column(&self.fields[column].0, problem);
                return self.reject(rows, problem);
            }
        }
        rows.end_row();
        Ok(RowRead::Row)
    }

    pub(super) fn position(&self) -> FilePosition {
        let position = self.reader.position();
        FilePosition {
            offset: position.byte(),
            line: position.line(),
        }
    }

    /// Reads the row again as it stands in the file: that is rare, so the path of good rows keeps nothing for it.
    fn reject(&self, rows: &mut RowBuilder, problem: RowProblem) -> Result<RowRead> {
        rows.reject_row();
        let start = self.record.position();
        let start = start.cloned().unwrap_or_else(Position::new);
        let length = self.position().offset - start.byte();
        let file = self.files.open(&self.path)?;
        let raw = read_range(file, start.byte(), length)
            .map_err(|error| read_failure(&self.path, error))?;
        // What lies before the row can be blank lines, or the second half of the line end before it.
        let is_line_end = |byte: &u8| matches!(byte, b'\n' | b'\r');
        let content = raw.iter().position(|byte| !is_line_end(byte)).unwrap_or(0);
        let blank_lines = raw[..content].iter().filter(|&&byte| byte == b'\n').count();
        let end = raw.iter().rposition(|byte| !is_line_end(byte));
        Ok(RowRead::Bad(BadRow {
            line: start.line() + blank_lines as u64,
            problem,
            raw: raw[content..end.map_or(content, |last| last + 1)].to_vec(),
        }))
    }
}

fn find_fields(path: &str, header: &ByteRecord, columns: &Columns) -> Result<Vec<(String, usize)>> {
    let find = |(name, _): &(String, _)| {
        let mut fields = header.iter();
        match fields.position(|field| field == name.as_bytes()) {
            Some(field) => Ok((name.clone(), field)),
            None => {
                let found: Vec<_> = header.iter().map(String::from_utf8_lossy).collect();
                let found = found.join(", ");
                Err(Error::new(
                    ErrorKind::Configuration,
                    format!("{path}: there is no column \"{name}\"; the header has: {found}"),
                ))
            }
        }
    };
    columns.0.iter().map(find).collect()
}

fn read_range(mut file: InputFile, start: u64, length: u64) -> io::Result<Vec<u8>> {
    file.seek(SeekFrom::Start(start))?;
    let mut bytes = Vec::new();
    file.take(length).read_to_end(&mut bytes)?;
    Ok(bytes)
}
