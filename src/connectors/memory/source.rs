//! The memory source.

use std::sync::Arc;

use arrow_array::{RecordBatch, UInt64Array};
use arrow_select::concat::concat_batches;
use arrow_select::take::take_record_batch;

use crate::connectors::generator::{GenerateRows, GeneratorSource};
use crate::connectors::splits::SplitRange;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Batch, CheckpointId, EventTime};
use crate::operator::{OperatorContext, OperatorSnapshot, Output, Source, SourceStatus};

/// Gives out rows that lie in memory. Its position is an index.
///
/// With one split the rows come in order from the first subtask; with more, row `i` comes in split `i % splits`, and
/// the splits are dealt out to the subtasks.
///
/// ```
/// use floodmark::connectors::MemorySource;
///
/// let source = MemorySource::of_rows(vec![("a", 1), ("b", 2)], 1)?;
/// # Ok::<(), floodmark::error::Error>(())
/// ```
pub struct MemorySource {
    source: Box<dyn Source>,
}

struct MemoryRows<T>(Arc<[T]>);

struct MemoryColumns(RecordBatch);

impl MemorySource {
    /// A source of typed rows; subtasks can share them.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`] for a number of splits that is 0 or above 128.
    pub fn of_rows<T: Clone + Send + Sync + 'static>(
        rows: impl Into<Arc<[T]>>,
        splits: u32,
    ) -> Result<Self> {
        let rows = MemoryRows(rows.into());
        let count = rows.0.len() as u64;
        Ok(Self {
            source: Box::new(GeneratorSource::new(Some(count), splits, rows)?),
        })
    }

    /// A source of typed rows that emits watermarks: `event_time` is the time of a row, and must not fall from one row
    /// to the next.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`] for a number of splits that is 0 or above 128.
    pub fn of_timed_rows<T: Clone + Send + Sync + 'static>(
        rows: impl Into<Arc<[T]>>,
        splits: u32,
        event_time: impl Fn(&T) -> EventTime + 'static,
    ) -> Result<Self> {
        let rows = rows.into();
        let timed = Arc::clone(&rows);
        let count = rows.len() as u64;
        let source = GeneratorSource::new(Some(count), splits, MemoryRows(rows))?;
        Ok(Self {
            source: Box::new(
                source.with_event_time(move |index| event_time(&timed[index as usize])),
            ),
        })
    }

    /// A source of columns. The batches must have one schema; they are joined, and cut anew.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`] for a number of splits that is 0 or above 128, for no batch, and for batches that
    /// differ in their schemas.
    pub fn of_columns(batches: &[RecordBatch], splits: u32) -> Result<Self> {
        let Some(first) = batches.first() else {
            let message = "a memory source of columns needs at least one batch, for its schema";
            return Err(Error::new(ErrorKind::Configuration, message));
        };
        let rows = concat_batches(&first.schema(), batches).map_err(|error| {
            let message = "the batches of a memory source differ in their schemas";
            Error::new(ErrorKind::Configuration, message).with_source(error)
        })?;
        let count = rows.num_rows() as u64;
        let source = GeneratorSource::new(Some(count), splits, MemoryColumns(rows))?;
        Ok(Self {
            source: Box::new(source),
        })
    }
}

impl Source for MemorySource {
    fn open(&mut self, context: &mut OperatorContext<'_>) -> Result<()> {
        self.source.open(context)
    }

    fn poll(&mut self, rows_max: usize, output: &mut Output) -> Result<SourceStatus> {
        self.source.poll(rows_max, output)
    }

    fn snapshot(&mut self, checkpoint: CheckpointId) -> Result<OperatorSnapshot> {
        self.source.snapshot(checkpoint)
    }
}

impl<T: Clone + Send + Sync + 'static> GenerateRows for MemoryRows<T> {
    fn generate(&mut self, range: SplitRange) -> Result<Batch> {
        let rows = range.indexes().map(|index| self.0[index as usize].clone());
        Ok(Batch::from_rows(rows.collect::<Vec<T>>()))
    }
}

impl GenerateRows for MemoryColumns {
    fn generate(&mut self, range: SplitRange) -> Result<Batch> {
        if range.splits == 1 {
            let rows = self.0.slice(range.first as usize, range.count);
            return Ok(Batch::Columns(rows));
        }
        let indexes = UInt64Array::from_iter_values(range.indexes());
        let rows = take_record_batch(&self.0, &indexes).map_err(|error| {
            Error::new(ErrorKind::Bug, "rows cannot be taken from a batch").with_source(error)
        })?;
        Ok(Batch::Columns(rows))
    }
}

#[cfg(test)]
mod tests {
    use arrow_array::cast::AsArray;
    use arrow_array::types::Int64Type;

    use super::*;
    use crate::connectors::test_support::{Subtask, key_values, poll_to_end, state_of};
    use crate::operator::Emission;

    #[test]
    fn rows_come_in_order_and_go_on_where_they_were() {
        let rows: Vec<u32> = (0..100).collect();
        let mut source = MemorySource::of_rows(rows.clone(), 1).unwrap();
        Subtask::of(0, 1).open_source(&mut source).unwrap();
        let mut output = Output::default();
        source.poll(7, &mut output).unwrap();
        let snapshot = source.snapshot(CheckpointId(1)).unwrap();
        let mut resumed = MemorySource::of_rows(rows, 1).unwrap();
        let subtask = Subtask::of(0, 1).restored(Some(state_of(&[snapshot])));
        subtask.open_source(&mut resumed).unwrap();
        let rest = poll_to_end(&mut resumed, 10);
        let rest: Vec<u32> = rest
            .into_iter()
            .flat_map(|batch| batch.into_rows::<u32>().unwrap())
            .collect();
        assert!(rest.iter().copied().eq(7..100), "{rest:?}");
    }

    #[test]
    fn timed_rows_come_with_the_time_of_the_next_as_the_watermark() {
        let event_time = |row: &i64| EventTime(*row);
        let rows: Vec<i64> = (0..10).map(|row| row * row).collect();
        let mut source = MemorySource::of_timed_rows(rows, 2, event_time).unwrap();
        Subtask::of(0, 1).open_source(&mut source).unwrap();
        let mut output = Output::default();
        let mut watermarks = Vec::new();
        while source.poll(3, &mut output).unwrap() != SourceStatus::Finished {
            watermarks.extend(output.take().filter_map(|emission| match emission {
                Emission::Batch(_) => None,
                Emission::Watermark(watermark) => Some(watermark.0),
            }));
        }
        // Of two splits, rows 0, 2, 4 come first, then 1, 3, 5, then 6 and 8.
        assert_eq!(watermarks, [1, 36, 49]);
    }

    #[test]
    fn columns_are_dealt_out_to_subtasks() {
        for splits in [1, 3] {
            let values: Vec<(String, i64)> =
                (0..20).map(|value| (format!("k{value}"), value)).collect();
            let rows: Vec<(&str, i64)> = values
                .iter()
                .map(|(key, value)| (key.as_str(), *value))
                .collect();
            let batches =
                [&rows[..8], &rows[8..]].map(|rows| key_values(rows).into_columns().unwrap());
            let mut seen = Vec::new();
            for subtask in 0..2 {
                let mut source = MemorySource::of_columns(&batches, splits).unwrap();
                Subtask::of(subtask, 2).open_source(&mut source).unwrap();
                for batch in poll_to_end(&mut source, 3) {
                    let batch = batch.into_columns().unwrap();
                    seen.extend_from_slice(batch.column(1).as_primitive::<Int64Type>().values());
                }
            }
            seen.sort_unstable();
            assert!(seen.iter().copied().eq(0..20), "{splits} splits: {seen:?}");
        }
    }
}
