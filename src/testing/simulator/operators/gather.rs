//! Broadcast state: what every subtask has been told.

use std::sync::Arc;

use super::super::witness::Testimony;
use super::{Record, digest, keeper, mix, not_open};
use crate::error::Result;
use crate::model::{Batch, CheckpointId};
use crate::operator::{FinishStatus, Operator, OperatorContext, OperatorSnapshot, Output};
use crate::state::BroadcastState;

/// Reads a broadcast: counts in every subtask how often each record came, and lets one of them pass it on.
pub(in super::super) struct Gather {
    testimony: Arc<Testimony>,
    subtask: usize,
    parallelism: usize,
    seen: Option<BroadcastState<u64, u64>>,
    has_finished: bool,
}

impl Gather {
    pub(in super::super) fn new(testimony: Arc<Testimony>) -> Self {
        Self {
            testimony,
            subtask: 0,
            parallelism: 0,
            seen: None,
            has_finished: false,
        }
    }

    fn seen(&self) -> Result<&BroadcastState<u64, u64>> {
        self.seen.as_ref().ok_or_else(not_open)
    }

    /// A number that stands for all that was seen.
    fn digest_of_seen(&self) -> Result<u64> {
        let seen = self.seen()?.entries();
        let entries = seen.iter().map(|(record, count)| mix(*record, *count));
        Ok(entries.fold(0, u64::wrapping_add))
    }
}

impl Operator for Gather {
    fn open(&mut self, context: &mut OperatorContext<'_>) -> Result<()> {
        (self.subtask, self.parallelism) = (context.subtask, context.parallelism);
        let finished = (self.testimony).opened(context.operator, self.subtask, self.parallelism);
        self.has_finished = finished;
        self.seen = Some(context.operator_state.broadcast_state("seen")?);
        self.testimony.restored(self.digest_of_seen()?);
        Ok(())
    }

    fn process(&mut self, batch: Batch, output: &mut Output) -> Result<()> {
        let mut rows = batch.into_rows::<Record>()?;
        let seen = self.seen()?;
        for row in &rows {
            let record = digest(row);
            let before = seen.get(&record).map_or(0, |count| *count);
            seen.put(record, before + 1)?;
        }
        rows.retain(|row| keeper(row, self.parallelism) == self.subtask);
        output.emit(Batch::from_rows(rows));
        Ok(())
    }

    fn finish(&mut self, _output: &mut Output) -> Result<FinishStatus> {
        self.testimony.finishes(self.has_finished);
        self.has_finished = true;
        Ok(FinishStatus::Done)
    }

    fn snapshot(&mut self, checkpoint: CheckpointId) -> Result<OperatorSnapshot> {
        let seen = Some(self.digest_of_seen()?);
        self.testimony.sealed(checkpoint, self.has_finished, seen);
        Ok(OperatorSnapshot::default())
    }
}
