//! A sink that takes a bounded number of records a second.

use std::time::Duration;

use floodmark::error::Result;
use floodmark::model::{Batch, CheckpointId};
use floodmark::operator::{BackgroundWork, OperatorContext, OperatorSnapshot, Sink};

/// Keeps the worker for each row as long as its share of a second.
pub(crate) struct SlowSink {
    nanos_per_row: u64,
}

impl SlowSink {
    pub(crate) fn new(records_per_second: u64) -> Self {
        Self {
            nanos_per_row: 1_000_000_000 / records_per_second.max(1),
        }
    }
}

impl Sink for SlowSink {
    fn open(&mut self, _context: &mut OperatorContext<'_>) -> Result<()> {
        Ok(())
    }

    fn write(&mut self, batch: Batch) -> Result<()> {
        let rows = batch.len() as u64;
        pass(Duration::from_nanos(self.nanos_per_row * rows));
        Ok(())
    }

    fn snapshot(&mut self, _checkpoint: CheckpointId) -> Result<OperatorSnapshot> {
        Ok(OperatorSnapshot::default())
    }

    fn commit(&mut self, _checkpoint: CheckpointId) -> Result<Vec<BackgroundWork>> {
        Ok(Vec::new())
    }
}

/// Lets time pass.
#[expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]
pub(crate) fn pass(duration: Duration) {
    std::thread::sleep(duration);
}
