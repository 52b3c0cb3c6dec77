//! Batches to texts, one for each row: for systems that keep each row in a message of its own.

use arrow_array::RecordBatch;
use serde::Serialize;

use super::cell::{Cell, ColumnView};
use super::row_format::RowFormat;
use super::row_writer::Row;
use crate::error::{Error, ErrorKind, Result};

/// The texts of the rows of one batch. It is meant to be filled again with the next one.
#[derive(Debug, Default)]
pub(in crate::connectors) struct RowTexts {
    text: Vec<u8>,
    /// Where the text of each row ends, and whether it is a null.
    ends: Vec<(usize, bool)>,
    /// What stands behind each text.
    line_end: &'static [u8],
}

impl RowTexts {
    /// Fills it with the rows of `batch` in a format, without line ends and without a header.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`] when a column has no text form.
    pub(in crate::connectors) fn fill(
        &mut self,
        format: RowFormat,
        batch: &RecordBatch,
    ) -> Result<()> {
        self.clear();
        let columns = ColumnView::of_batch(batch)?;
        match format {
            RowFormat::Json => self.fill_json(batch, &columns),
            RowFormat::Csv => self.fill_csv(batch.num_rows(), &columns),
        }
        .map_err(|error| {
            Error::new(ErrorKind::Bug, "a row cannot be written as text").with_source(error)
        })
    }

    /// Fills it with the values of the only column of `batch`, each as CSV would hold it but never quoted. A null has no
    /// text.
    ///
    /// # Errors
    /// As for [`RowTexts::fill`].
    pub(in crate::connectors) fn fill_raw(&mut self, batch: &RecordBatch) -> Result<()> {
        self.clear();
        for column in ColumnView::of_batch(batch)?.iter().take(1) {
            for row in 0..batch.num_rows() {
                let cell = column.cell(row);
                cell.append_text(&mut self.text);
                self.ends.push((self.text.len(), cell == Cell::Null));
            }
        }
        Ok(())
    }

    /// The text of a row; nothing for a null.
    pub(in crate::connectors) fn get(&self, row: usize) -> Option<&[u8]> {
        let begin = match row.checked_sub(1) {
            Some(before) => self.ends.get(before)?.0,
            None => 0,
        };
        let (end, is_null) = *self.ends.get(row)?;
        let end = end - self.line_end.len();
        (!is_null).then(|| self.text.get(begin..end))?
    }

    fn clear(&mut self) {
        self.text.clear();
        self.ends.clear();
        self.line_end = b"";
    }

    fn fill_json(
        &mut self,
        batch: &RecordBatch,
        columns: &[ColumnView<'_>],
    ) -> std::io::Result<()> {
        for row in 0..batch.num_rows() {
            let object = Row {
                batch,
                columns,
                row,
            };
            object.serialize(&mut serde_json::Serializer::new(&mut self.text))?;
            self.ends.push((self.text.len(), false));
        }
        Ok(())
    }

    fn fill_csv(&mut self, rows: usize, columns: &[ColumnView<'_>]) -> std::io::Result<()> {
        self.line_end = b"\n";
        let text = std::mem::take(&mut self.text);
        let mut writer = csv::WriterBuilder::new().from_writer(text);
        let mut field = Vec::new();
        for row in 0..rows {
            for column in columns {
                field.clear();
                column.cell(row).append_text(&mut field);
                writer.write_field(&field)?;
            }
            writer.write_record(None::<&[u8]>)?;
            writer.flush()?;
            self.ends.push((writer.get_ref().len(), false));
        }
        self.text = writer.into_inner().map_err(|error| error.into_error())?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{ArrayRef, Int64Array, StringArray};

    use super::*;

    fn batch(names: &[Option<&str>]) -> RecordBatch {
        let name: ArrayRef = Arc::new(StringArray::from(names.to_vec()));
        let count: ArrayRef = Arc::new(Int64Array::from_iter_values(0..names.len() as i64));
        RecordBatch::try_from_iter([("name", name), ("count", count)]).unwrap()
    }

    fn texts(texts: &RowTexts) -> Vec<Option<&str>> {
        let rows = (0..texts.ends.len()).map(|row| texts.get(row));
        rows.map(|text| text.map(|text| std::str::from_utf8(text).unwrap()))
            .collect()
    }

    #[test]
    fn each_row_has_a_text_of_its_own_and_the_last_batch_leaves_nothing() {
        let mut rows = RowTexts::default();
        for _ in 0..2 {
            rows.fill(RowFormat::Csv, &batch(&[Some("a\nb"), None]))
                .unwrap();
            assert_eq!(texts(&rows), [Some("\"a\nb\",0"), Some(",1")]);
            rows.fill(RowFormat::Json, &batch(&[Some("a"), None]))
                .unwrap();
            let expected = [
                "{\"name\":\"a\",\"count\":0}",
                "{\"name\":null,\"count\":1}",
            ];
            assert_eq!(texts(&rows), expected.map(Some));
            assert_eq!(rows.get(2), None);
        }
    }

    #[test]
    fn a_raw_column_is_neither_quoted_nor_made_of_nulls() {
        let mut rows = RowTexts::default();
        let names = batch(&[Some("a,\"b\""), None, Some("")]);
        rows.fill_raw(&names.project(&[0]).unwrap()).unwrap();
        assert_eq!(texts(&rows), [Some("a,\"b\""), None, Some("")]);
    }
}
