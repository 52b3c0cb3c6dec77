//! Batches to text.

use std::fmt;
use std::io::{self, BufWriter, Write};

use arrow_array::RecordBatch;
use serde::{Serialize, Serializer};

use super::cell::ColumnView;
use super::row_format::RowFormat;
use crate::error::{Error, Result};

/// How much text is gathered before the destination is written to.
const BUFFER_BYTES: usize = 128 << 10;

/// Writes batches of columns as text. Nulls are empty in CSV and `null` in JSON; a float that is no number is `null`
/// in JSON.
pub(in crate::connectors) struct RowWriter<W: Write> {
    encoder: Encoder<W>,
    /// What is written to, for error messages.
    name: String,
}

enum Encoder<W: Write> {
    Csv {
        // Boxed, because it is several times as large as the other.
        writer: Box<csv::Writer<W>>,
        header_due: bool,
        field: Vec<u8>,
    },
    Json(BufWriter<W>),
}

impl<W: Write> RowWriter<W> {
    /// Writes to `destination`, which error messages call `name`. CSV begins with a header if `header` says so.
    pub(in crate::connectors) fn new(
        format: RowFormat,
        destination: W,
        header: bool,
        name: impl fmt::Display,
    ) -> Self {
        let encoder = match format {
            RowFormat::Csv => Encoder::Csv {
                writer: Box::new(
                    csv::WriterBuilder::new()
                        .has_headers(false)
                        .buffer_capacity(BUFFER_BYTES)
                        .from_writer(destination),
                ),
                header_due: header,
                field: Vec::new(),
            },
            RowFormat::Json => Encoder::Json(BufWriter::with_capacity(BUFFER_BYTES, destination)),
        };
        Self {
            encoder,
            name: name.to_string(),
        }
    }

    /// Writes all rows of `batch`; some of the text may stay in the buffer.
    pub(in crate::connectors) fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        let columns = ColumnView::of_batch(batch)?;
        let written = match &mut self.encoder {
            Encoder::Csv {
                writer,
                header_due,
                field,
            } => {
                let header = std::mem::take(header_due);
                write_csv(writer, header, field, batch, &columns).map_err(io::Error::from)
            }
            Encoder::Json(writer) => write_json(writer, batch, &columns),
        };
        written.map_err(|error| self.failure(error))
    }

    /// Hands everything to the destination.
    pub(in crate::connectors) fn flush(&mut self) -> Result<()> {
        let flushed = match &mut self.encoder {
            Encoder::Csv { writer, .. } => writer.flush(),
            Encoder::Json(writer) => writer.flush(),
        };
        flushed.map_err(|error| self.failure(error))
    }

    /// What is written to; it lacks what is still in the buffer.
    pub(in crate::connectors) fn destination(&self) -> &W {
        match &self.encoder {
            Encoder::Csv { writer, .. } => writer.get_ref(),
            Encoder::Json(writer) => writer.get_ref(),
        }
    }

    /// Hands everything to the destination, and gives that back.
    pub(in crate::connectors) fn into_destination(self) -> Result<W> {
        let destination = match self.encoder {
            Encoder::Csv { writer, .. } => writer.into_inner().map_err(|error| error.into_error()),
            Encoder::Json(writer) => writer.into_inner().map_err(|error| error.into_error()),
        };
        destination.map_err(|error| Error::io(format_args!("write {}", self.name), error))
    }

    fn failure(&self, error: io::Error) -> Error {
        Error::io(format_args!("write {}", self.name), error)
    }
}

fn write_csv<W: Write>(
    writer: &mut csv::Writer<W>,
    header: bool,
    field: &mut Vec<u8>,
    batch: &RecordBatch,
    columns: &[ColumnView<'_>],
) -> csv::Result<()> {
    if header {
        writer.write_record(batch.schema_ref().fields().iter().map(|field| field.name()))?;
    }
    for row in 0..batch.num_rows() {
        for column in columns {
            field.clear();
            column.cell(row).append_text(field);
            writer.write_field(&*field)?;
        }
        // Ends the record.
        writer.write_record(None::<&[u8]>)?;
    }
    Ok(())
}

fn write_json<W: Write>(
    writer: &mut BufWriter<W>,
    batch: &RecordBatch,
    columns: &[ColumnView<'_>],
) -> io::Result<()> {
    for row in 0..batch.num_rows() {
        let row = Row {
            batch,
            columns,
            row,
        };
        serde_json::to_writer(&mut *writer, &row)?;
        writer.write_all(b"\n")?;
    }
    Ok(())
}

/// One row of a batch, as a JSON object.
pub(super) struct Row<'a> {
    pub(super) batch: &'a RecordBatch,
    pub(super) columns: &'a [ColumnView<'a>],
    pub(super) row: usize,
}

impl Serialize for Row<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let fields = self.batch.schema_ref().fields().iter();
        let names = fields.map(|field| field.name());
        let cells = self.columns.iter().map(|column| column.cell(self.row));
        serializer.collect_map(names.zip(cells))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{ArrayRef, Int64Array, StringArray, UInt8Array};

    use super::*;

    fn batch() -> RecordBatch {
        let name: ArrayRef = Arc::new(StringArray::from(vec![Some("a, \"b\""), None]));
        let count: ArrayRef = Arc::new(Int64Array::from(vec![None, Some(2)]));
        RecordBatch::try_from_iter([("name", name), ("count", count)]).unwrap()
    }

    fn text(format: RowFormat, header: bool, batches: &[RecordBatch]) -> String {
        let mut writer = RowWriter::new(format, Vec::new(), header, "memory");
        for batch in batches {
            writer.write(batch).unwrap();
        }
        writer.flush().unwrap();
        String::from_utf8(writer.destination().clone()).unwrap()
    }

    #[test]
    fn csv_has_one_header_and_quotes_what_needs_quotes() {
        let rows = "\"a, \"\"b\"\"\",\n,2\n";
        let batches = [batch(), batch()];
        assert_eq!(
            text(RowFormat::Csv, true, &batches),
            format!("name,count\n{rows}{rows}")
        );
        assert_eq!(text(RowFormat::Csv, false, &batches), rows.repeat(2));
    }

    #[test]
    fn json_has_one_object_a_line_with_columns_in_order() {
        let expected = "{\"name\":\"a, \\\"b\\\"\",\"count\":null}\n{\"name\":null,\"count\":2}\n";
        assert_eq!(text(RowFormat::Json, true, &[batch()]), expected);
    }

    #[test]
    fn a_column_that_has_no_text_form_is_named() {
        let column: ArrayRef = Arc::new(UInt8Array::from(vec![1]));
        let batch = RecordBatch::try_from_iter([("flags", column)]).unwrap();
        let mut writer = RowWriter::new(RowFormat::Csv, Vec::new(), true, "memory");
        let error = writer.write(&batch).unwrap_err();
        assert!(error.to_string().contains("column \"flags\""), "{error}");
    }

    struct FullDisk;

    impl Write for FullDisk {
        fn write(&mut self, _bytes: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::StorageFull.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_full_disk_is_an_error_of_the_surroundings_that_names_the_file() {
        for format in [RowFormat::Csv, RowFormat::Json] {
            let mut writer = RowWriter::new(format, FullDisk, true, "out/part");
            writer.write(&batch()).unwrap();
            let error = writer.flush().unwrap_err();
            assert_eq!(error.kind(), crate::error::ErrorKind::Environment);
            assert_eq!(error.full_message(), "write out/part: no storage space");
        }
    }
}
