//! The memory sink.

use arrow_array::RecordBatch;
use serde::{Deserialize, Serialize};

use super::output::MemoryOutput;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Batch, CheckpointId, Row};
use crate::operator::{BackgroundWork, OperatorContext, OperatorSnapshot, Sink};

/// Writes into a [`MemoryOutput`], exactly once: rows are seen there when their checkpoint is complete.
///
/// ```
/// use floodmark::connectors::{MemoryOutput, MemorySink};
///
/// let output = MemoryOutput::<(u64, i64)>::default();
/// let sink = MemorySink::of_rows(&output);
/// assert!(output.is_empty());
/// ```
pub struct MemorySink<T> {
    output: MemoryOutput<T>,
    unpack: fn(Batch) -> Result<Vec<T>>,
    subtask: usize,
    rows: Vec<T>,
}

/// The item of operator state: the rows themselves stay in the output.
#[derive(Serialize, Deserialize)]
struct SinkItem {
    checkpoint: CheckpointId,
}

impl<T: Row> MemorySink<T> {
    /// Takes in batches of typed rows.
    pub fn of_rows(output: &MemoryOutput<T>) -> Self {
        Self::new(output, Batch::into_rows)
    }
}

impl MemorySink<RecordBatch> {
    /// Takes in batches of columns; in the output, each batch counts as one row.
    pub fn of_columns(output: &MemoryOutput<RecordBatch>) -> Self {
        Self::new(output, |batch| Ok(vec![batch.into_columns()?]))
    }
}

impl<T> MemorySink<T> {
    fn new(output: &MemoryOutput<T>, unpack: fn(Batch) -> Result<Vec<T>>) -> Self {
        Self {
            output: output.clone(),
            unpack,
            subtask: 0,
            rows: Vec::new(),
        }
    }
}

impl<T> Sink for MemorySink<T> {
    fn open(&mut self, context: &mut OperatorContext<'_>) -> Result<()> {
        self.subtask = context.subtask;
        let mut checkpoint = None;
        for item in context.restored.iter().flat_map(|state| state.items()) {
            let item = SinkItem::deserialize(item).map_err(|error| {
                let message = format!("the checkpoint's sink state {item} cannot be read");
                Error::new(ErrorKind::Corrupt, message).with_source(error)
            })?;
            checkpoint = checkpoint.max(Some(item.checkpoint));
        }
        let (subtask, parallelism) = (context.subtask, context.parallelism);
        self.output
            .restore(checkpoint, |writer| writer % parallelism == subtask);
        Ok(())
    }

    fn write(&mut self, batch: Batch) -> Result<()> {
        self.rows.extend((self.unpack)(batch)?);
        Ok(())
    }

    fn snapshot(&mut self, checkpoint: CheckpointId) -> Result<OperatorSnapshot> {
        let rows = std::mem::take(&mut self.rows);
        if !rows.is_empty() {
            self.output.keep((checkpoint, self.subtask), rows);
        }
        let item = serde_json::to_value(SinkItem { checkpoint }).map_err(|error| {
            Error::new(ErrorKind::Bug, "the sink's state cannot be written").with_source(error)
        })?;
        Ok(OperatorSnapshot {
            items: vec![item],
            background: Vec::new(),
        })
    }

    fn commit(&mut self, checkpoint: CheckpointId) -> Result<Vec<BackgroundWork>> {
        self.output.commit(checkpoint, self.subtask);
        Ok(Vec::new())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connectors::test_support::{Subtask, state_of};

    fn open(
        output: &MemoryOutput<u32>,
        subtask: Subtask,
        restored: Option<&[OperatorSnapshot]>,
    ) -> MemorySink<u32> {
        let mut sink = MemorySink::of_rows(output);
        let restored = restored.map(state_of);
        subtask.restored(restored).open_sink(&mut sink).unwrap();
        sink
    }

    fn write(sink: &mut MemorySink<u32>, rows: &[u32]) {
        sink.write(Batch::from_rows(rows.to_vec())).unwrap();
    }

    #[test]
    fn rows_are_seen_when_their_checkpoint_is_complete() {
        let output = MemoryOutput::default();
        let mut sink = open(&output, Subtask::of(0, 1), None);
        write(&mut sink, &[1, 2]);
        sink.snapshot(CheckpointId(1)).unwrap();
        write(&mut sink, &[3]);
        assert!(output.is_empty());
        sink.snapshot(CheckpointId(2)).unwrap();
        write(&mut sink, &[4]);
        sink.commit(CheckpointId(1)).unwrap();
        assert_eq!(output.rows(), [1, 2]);
        sink.commit(CheckpointId(2)).unwrap();
        sink.commit(CheckpointId(2)).unwrap();
        assert_eq!(output.rows(), [1, 2, 3]);
    }

    #[test]
    fn a_restore_commits_what_its_checkpoint_covers_and_drops_the_rest() {
        let output = MemoryOutput::default();
        let mut sinks: Vec<_> = (0..3)
            .map(|subtask| open(&output, Subtask::of(subtask, 3), None))
            .collect();
        let mut snapshots = Vec::new();
        for checkpoint in 1..=3 {
            let mut items = Vec::new();
            for (subtask, sink) in sinks.iter_mut().enumerate() {
                write(sink, &[checkpoint * 10 + subtask as u32]);
                items.push(sink.snapshot(CheckpointId(checkpoint.into())).unwrap());
            }
            snapshots.push(items);
        }
        for sink in &mut sinks {
            sink.commit(CheckpointId(3)).unwrap();
        }
        assert_eq!(output.len(), 9);
        for subtask in 0..2 {
            open(&output, Subtask::of(subtask, 2), Some(&snapshots[1]));
        }
        assert_eq!(output.rows(), [10, 11, 12, 20, 21, 22]);
        open(&output, Subtask::of(0, 1), None);
        assert!(output.is_empty());
    }

    #[test]
    fn a_complete_checkpoint_that_was_never_committed_is_committed_by_the_restore() {
        let output = MemoryOutput::default();
        let mut sink = open(&output, Subtask::of(0, 1), None);
        write(&mut sink, &[1]);
        let snapshot = [sink.snapshot(CheckpointId(1)).unwrap()];
        write(&mut sink, &[2]);
        drop(sink);
        open(&output, Subtask::of(0, 1), Some(&snapshot));
        assert_eq!(output.rows(), [1]);
    }
}
