//! The blackhole sink.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::Deserialize;

use crate::error::Result;
use crate::model::{Batch, CheckpointId};
use crate::operator::{BackgroundWork, OperatorContext, OperatorSnapshot, Sink};

/// A blackhole sink has no options.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BlackholeConfig {}

/// How many rows blackhole sinks have taken in; shared by all that are made with it.
#[derive(Clone, Debug, Default)]
pub struct RowCount(Arc<AtomicU64>);

/// Takes in any batch. Rows that come again after a crash are counted again.
#[derive(Debug)]
pub struct BlackholeSink {
    count: RowCount,
}

impl RowCount {
    /// The rows so far.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl BlackholeSink {
    /// Counts into `count`.
    pub fn new(count: RowCount) -> Self {
        Self { count }
    }
}

impl Sink for BlackholeSink {
    fn open(&mut self, _context: &mut OperatorContext<'_>) -> Result<()> {
        Ok(())
    }

    fn write(&mut self, batch: Batch) -> Result<()> {
        let rows = batch.len() as u64;
        self.count.0.fetch_add(rows, Ordering::Relaxed);
        Ok(())
    }

    fn snapshot(&mut self, _checkpoint: CheckpointId) -> Result<OperatorSnapshot> {
        Ok(OperatorSnapshot::default())
    }

    fn commit(&mut self, _checkpoint: CheckpointId) -> Result<Vec<BackgroundWork>> {
        Ok(Vec::new())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connectors::test_support::key_values;

    #[test]
    fn rows_of_every_kind_and_from_every_subtask_are_counted() {
        let count = RowCount::default();
        let mut first = BlackholeSink::new(count.clone());
        let mut second = BlackholeSink::new(count.clone());
        first.write(key_values(&[("a", 1), ("b", 2)])).unwrap();
        second.write(Batch::from_rows(vec!['x'; 3])).unwrap();
        assert_eq!(count.get(), 5);
    }
}
