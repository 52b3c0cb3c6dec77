//! One CSV row a record, without a header.

use csv::{ByteRecord, ReaderBuilder};

use crate::connectors::format::{Columns, RowBuilder, RowProblem};

/// Reads rows whose fields stand in the order of the columns.
pub(super) struct CsvFields {
    names: Vec<String>,
    delimiter: u8,
    record: ByteRecord,
}

impl CsvFields {
    /// Reads `columns`, with `delimiter` between them.
    pub(super) fn new(columns: &Columns, delimiter: u8) -> Self {
        Self {
            names: columns.0.iter().map(|(name, _)| name.clone()).collect(),
            delimiter,
            record: ByteRecord::new(),
        }
    }

    /// Sets the next row's values from a row of text. After a problem the row must be rejected.
    pub(super) fn read(&mut self, text: &[u8], rows: &mut RowBuilder) -> Result<(), RowProblem> {
        let text = text.strip_suffix(b"\n").unwrap_or(text);
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        if text.contains(&b'"') || text.contains(&b'\n') || text.contains(&b'\r') {
            return self.read_quoted(text, rows);
        }
        // Without quotes there is nothing to undo, and no reader to be made.
        let fields = text.split(|byte| *byte == self.delimiter);
        push_fields(&self.names, fields, rows)
    }

    fn read_quoted(&mut self, text: &[u8], rows: &mut RowBuilder) -> Result<(), RowProblem> {
        let mut reader = ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .delimiter(self.delimiter)
            .from_reader(text);
        let wrong = |error: csv::Error| RowProblem::of_row(format!("the row is not CSV: {error}"));
        reader.read_byte_record(&mut self.record).map_err(wrong)?;
        if reader.position().byte() < text.len() as u64 {
            return Err(RowProblem::of_row("the record holds more than one row"));
        }
        push_fields(&self.names, self.record.iter(), rows)
    }
}

fn push_fields<'a>(
    names: &[String],
    fields: impl Iterator<Item = &'a [u8]>,
    rows: &mut RowBuilder,
) -> Result<(), RowProblem> {
    let mut count = 0;
    for field in fields {
        if let Some(name) = names.get(count) {
            rows.push_text(count, field)
                .map_err(|problem| RowProblem::of_column(name, problem))?;
        }
        count += 1;
    }
    if count == names.len() {
        return Ok(());
    }
    let wanted = names.len();
    let reason = format!("the row has {count} fields, and columns names {wanted}");
    Err(RowProblem::of_row(reason))
}

#[cfg(test)]
mod tests {
    use arrow_array::cast::AsArray;
    use arrow_array::types::Int64Type;

    use super::*;
    use crate::model::ColumnType;

    fn check(text: &str, expected: Result<(Option<&str>, Option<i64>), &str>) {
        let columns = Columns(vec![
            ("name".into(), ColumnType::String),
            ("count".into(), ColumnType::Int64),
        ]);
        let mut rows = RowBuilder::new(&columns, &[String::new()], 1);
        let read = CsvFields::new(&columns, b';').read(text.as_bytes(), &mut rows);
        if let Err(problem) = read {
            assert_eq!(Err(problem.to_string().as_str()), expected, "{text:?}");
            return;
        }
        rows.end_row();
        let batch = rows.finish().unwrap();
        let name = batch.column(0).as_string::<i32>().iter().next().unwrap();
        let count = batch.column(1).as_primitive::<Int64Type>().iter().next();
        assert_eq!(Ok((name, count.unwrap())), expected, "{text:?}");
    }

    #[test]
    fn a_record_is_one_row() {
        check("a;1", Ok((Some("a"), Some(1))));
        check("a;1\r\n", Ok((Some("a"), Some(1))));
        check(";", Ok((None, None)));
        check("\"a;\"\"b\"\"\nc\";1", Ok((Some("a;\"b\"\nc"), Some(1))));
        check("\"a\";1\n", Ok((Some("a"), Some(1))));
        check("a;x", Err("column \"count\": \"x\" is not an int64"));
        check("a", Err("the row has 1 fields, and columns names 2"));
        check("a;1;2", Err("the row has 3 fields, and columns names 2"));
        check("a;1\nb;2", Err("the record holds more than one row"));
        check("\"a\";1\nb;2", Err("the record holds more than one row"));
    }
}
