//! The rows of a file of JSON lines.

use std::fmt;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::ops::Range;
use std::str;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::row_reader::{BadRow, FilePosition, RowRead, RowSyntax, read_failure, too_large};
use crate::connectors::format::{Columns, RowBuilder};
use crate::error::Result;

const BUFFER_BYTES: usize = 128 << 10;

/// Reads one object a line. A missing key is null, a key that is not asked for is passed over, a blank line too.
pub(super) struct JsonRows {
    path: String,
    reader: BufReader<File>,
    position: FilePosition,
    line: Vec<u8>,
    row_bytes_max: u64,
    names: Vec<String>,
    /// Where in the line each column's value stands; kept from row to row to spare an allocation.
    values: Vec<Option<Range<usize>>>,
}

impl JsonRows {
    /// Opens the file at `path` and goes to `position`.
    pub(super) fn open(
        path: &str,
        syntax: RowSyntax,
        columns: &Columns,
        position: FilePosition,
    ) -> Result<Self> {
        let open = || {
            let mut file = File::open(path)?;
            file.seek(SeekFrom::Start(position.offset))?;
            Ok(file)
        };
        let file = open().map_err(|error: std::io::Error| read_failure(path, error))?;
        Ok(Self {
            path: path.to_owned(),
            reader: BufReader::with_capacity(BUFFER_BYTES, file),
            position,
            line: Vec::new(),
            row_bytes_max: syntax.row_bytes_max,
            names: columns.0.iter().map(|(name, _)| name.clone()).collect(),
            values: Vec::new(),
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
        let line = match str::from_utf8(&self.line) {
            Ok(line) => line,
            Err(_) => return self.reject(rows, None, "the row is not valid UTF-8".into()),
        };
        if let Err(error) = find_values(line, &self.names, &mut self.values) {
            let reason = format!("the row is not a JSON object: {error}");
            return self.reject(rows, None, reason);
        }
        for column in 0..rows.width() {
            let value = self.values[column].clone().map(|range| &line[range]);
            if let Err(problem) = rows.push_json(column, value) {
                let name = self.names[column].clone();
                return self.reject(rows, Some(name), problem.to_string());
            }
        }
        rows.end_row();
        RowRead::Row
    }

    fn reject(&self, rows: &mut RowBuilder, column: Option<String>, reason: String) -> RowRead {
        rows.reject_row();
        let ended = self.line.ends_with(b"\n");
        RowRead::Bad(BadRow {
            line: self.position.line - u64::from(ended),
            column,
            reason,
            raw: self.line.trim_ascii_end().to_vec(),
        })
    }
}

/// Finds the value of each of `names` in the object on `line`. Of a key that comes twice, the last value counts.
fn find_values(
    line: &str,
    names: &[String],
    values: &mut Vec<Option<Range<usize>>>,
) -> serde_json::Result<()> {
    values.clear();
    values.resize(names.len(), None);
    let mut deserializer = serde_json::Deserializer::from_str(line);
    deserializer.deserialize_map(ObjectVisitor {
        line,
        names,
        values,
    })?;
    deserializer.end()
}

struct ObjectVisitor<'a> {
    line: &'a str,
    names: &'a [String],
    values: &'a mut Vec<Option<Range<usize>>>,
}

impl<'de> Visitor<'de> for ObjectVisitor<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        // Rows tend to have their keys in one order: the search begins after the key that came before.
        let mut expected = 0;
        let names = self.names;
        while let Some(column) = map.next_key_seed(ColumnOfKey { names, expected })? {
            let value: &RawValue = map.next_value()?;
            if let Some(column) = column {
                let start = value.get().as_ptr().addr() - self.line.as_ptr().addr();
                self.values[column] = Some(start..start + value.get().len());
                expected = column + 1;
            }
        }
        Ok(())
    }
}

/// Turns a key into the index of the column of that name, if it is asked for.
struct ColumnOfKey<'a> {
    names: &'a [String],
    expected: usize,
}

impl<'de> DeserializeSeed<'de> for ColumnOfKey<'_> {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for ColumnOfKey<'_> {
    type Value = Option<usize>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<Self::Value, E> {
        if self
            .names
            .get(self.expected)
            .is_some_and(|name| name == key)
        {
            return Ok(Some(self.expected));
        }
        Ok(self.names.iter().position(|name| name == key))
    }
}
