//! A batch being built row by row, in which a row can still be rejected when its last value is wrong.

use arrow_array::{BooleanArray, RecordBatch};
use arrow_schema::SchemaRef;
use arrow_select::filter::filter_record_batch;

#[cfg(feature = "kafka")]
use super::cell::Cell;
use super::column_builder::{CellProblem, ColumnBuilder};
use super::columns::Columns;
use crate::error::{Error, ErrorKind, Result};

/// Rows on their way into a [`RecordBatch`].
///
/// Arrow builders cannot take a value back. So a rejected row stays in the builders, filled up with nulls, and is
/// filtered out of the finished batch; batches without one, which is nearly all, are not filtered.
pub(in crate::connectors) struct RowBuilder {
    schema: SchemaRef,
    columns: Vec<ColumnBuilder>,
    null_markers: Vec<Vec<u8>>,
    kept: Vec<bool>,
    rejected: usize,
}

impl RowBuilder {
    /// Builds rows of `columns`; a value that equals one of `null_markers` becomes null. Room is made for `rows`.
    pub(in crate::connectors) fn new(
        columns: &Columns,
        null_markers: &[String],
        rows: usize,
    ) -> Self {
        let builder = |&(_, column_type): &(_, _)| ColumnBuilder::new(column_type, rows);
        Self {
            schema: columns.schema(),
            columns: columns.0.iter().map(builder).collect(),
            null_markers: null_markers
                .iter()
                .map(|marker| marker.clone().into_bytes())
                .collect(),
            kept: Vec::with_capacity(rows),
            rejected: 0,
        }
    }

    /// Sets the next row's value in `column` from text.
    #[inline]
    pub(in crate::connectors) fn push_text(
        &mut self,
        column: usize,
        bytes: &[u8],
    ) -> Result<(), CellProblem> {
        if self.null_markers.iter().any(|marker| marker == bytes) {
            self.columns[column].push_null();
            return Ok(());
        }
        self.columns[column].push_text(bytes)
    }

    /// Sets the next row's value in `column` from JSON text; a key that is missing counts as null.
    #[inline]
    pub(in crate::connectors) fn push_json(
        &mut self,
        column: usize,
        raw: Option<&str>,
    ) -> Result<(), CellProblem> {
        match raw {
            Some(raw) if raw != "null" && !self.is_json_null(raw) => {
                self.columns[column].push_json(raw)
            }
            _ => {
                self.columns[column].push_null();
                Ok(())
            }
        }
    }

    /// Sets the next row's value in `column`, which is of the value's type. Markers of null do not apply.
    #[cfg(feature = "kafka")]
    #[inline]
    pub(in crate::connectors) fn push_cell(&mut self, column: usize, cell: Cell<'_>) {
        self.columns[column].push_cell(cell);
    }

    /// Ends a row of which every column was set.
    pub(in crate::connectors) fn end_row(&mut self) {
        self.kept.push(true);
    }

    /// Ends a row of which some columns, or none, were set: it will not be in the batch.
    pub(in crate::connectors) fn reject_row(&mut self) {
        self.kept.push(false);
        self.rejected += 1;
        for column in &mut self.columns {
            while column.len() < self.kept.len() {
                column.push_null();
            }
        }
    }

    /// How many rows were ended, the rejected ones included.
    pub(in crate::connectors) fn len(&self) -> usize {
        self.kept.len()
    }

    /// Takes out the rows as a batch, without the rejected ones, and starts anew.
    pub(in crate::connectors) fn finish(&mut self) -> Result<RecordBatch> {
        let arrays = self.columns.iter_mut().map(ColumnBuilder::finish).collect();
        let broken = |error| {
            Error::new(ErrorKind::Bug, "the columns of a batch do not match").with_source(error)
        };
        let batch = RecordBatch::try_new(self.schema.clone(), arrays).map_err(broken)?;
        let kept = std::mem::take(&mut self.kept);
        if std::mem::take(&mut self.rejected) == 0 {
            return Ok(batch);
        }
        filter_record_batch(&batch, &BooleanArray::from(kept)).map_err(broken)
    }

    fn is_json_null(&self, raw: &str) -> bool {
        let content = raw.strip_prefix('"').and_then(|raw| raw.strip_suffix('"'));
        content.is_some_and(|content| {
            self.null_markers
                .iter()
                .any(|marker| marker == content.as_bytes())
        })
    }
}

#[cfg(test)]
mod tests {
    use arrow_array::cast::AsArray;
    use arrow_array::types::Int64Type;

    use super::*;
    use crate::model::ColumnType;

    #[test]
    fn a_rejected_row_leaves_no_trace() {
        let columns = Columns(vec![
            ("name".into(), ColumnType::String),
            ("count".into(), ColumnType::Int64),
        ]);
        let mut rows = RowBuilder::new(&columns, &["NA".into()], 4);
        for (name, count) in [("a", "1"), ("b", "x"), ("c", "NA"), ("d", "4")] {
            rows.push_text(0, name.as_bytes()).unwrap();
            match rows.push_text(1, count.as_bytes()) {
                Ok(()) => rows.end_row(),
                Err(_) => rows.reject_row(),
            }
        }
        assert_eq!(rows.len(), 4);
        let batch = rows.finish().unwrap();
        let names: Vec<_> = batch
            .column(0)
            .as_string::<i32>()
            .iter()
            .flatten()
            .collect();
        let counts: Vec<_> = batch.column(1).as_primitive::<Int64Type>().iter().collect();
        assert_eq!(names, ["a", "c", "d"]);
        assert_eq!(counts, [Some(1), None, Some(4)]);
        assert_eq!(rows.finish().unwrap().num_rows(), 0);
    }
}
