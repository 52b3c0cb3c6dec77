//! What the connectors' tests share: an operator context, batches.

use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};

use crate::channel::NoWake;
use crate::error::Result;
use crate::model::{Batch, ManualClock, OperatorId, SharedClock};
use crate::operator::{
    Emission, JobContext, OperatorContext, OperatorSnapshot, Output, RestoredOperatorState, Sink,
    Source, SourceStatus,
};
use crate::state::{OperatorStateBackend, test_backend};
use crate::telemetry::JobStatus;

/// A subtask to open a source or a sink in.
#[derive(Clone)]
pub(super) struct Subtask {
    subtask: usize,
    parallelism: usize,
    attempt: u64,
    clock: SharedClock,
    status: Arc<JobStatus>,
    restored: Option<RestoredOperatorState>,
}

impl Subtask {
    /// Subtask `subtask` of `parallelism`, in a job that starts afresh.
    pub(super) fn of(subtask: usize, parallelism: usize) -> Self {
        Self {
            subtask,
            parallelism,
            attempt: 1,
            clock: Arc::new(ManualClock::default()),
            status: JobStatus::shared(),
            restored: None,
        }
    }

    /// The figures of the job.
    pub(super) fn status(&self) -> &JobStatus {
        &self.status
    }

    /// The same, in this attempt at the job.
    pub(super) fn in_attempt(mut self, attempt: u64) -> Self {
        self.attempt = attempt;
        self
    }

    pub(super) fn with_clock(mut self, clock: &Arc<ManualClock>) -> Self {
        self.clock = clock.clone();
        self
    }

    pub(super) fn restored(mut self, restored: Option<RestoredOperatorState>) -> Self {
        self.restored = restored;
        self
    }

    pub(super) fn open_source(&self, source: &mut dyn Source) -> Result<()> {
        self.open_with(|context| source.open(context))
    }

    pub(super) fn open_sink(&self, sink: &mut dyn Sink) -> Result<()> {
        self.open_with(|context| sink.open(context))
    }

    pub(super) fn open_with(
        &self,
        open: impl FnOnce(&mut OperatorContext<'_>) -> Result<()>,
    ) -> Result<()> {
        let mut job = JobContext::alone("tested");
        job.attempt = self.attempt;
        open(&mut OperatorContext {
            job: &job,
            recovery: &mut Vec::new(),
            operator: &OperatorId::new("tested"),
            subtask: self.subtask,
            parallelism: self.parallelism,
            clock: &self.clock,
            status: &self.status,
            wake: &NoWake::shared(),
            restored: self.restored.as_ref(),
            keyed_state: &mut test_backend(),
            operator_state: &mut OperatorStateBackend::new(
                self.subtask,
                self.parallelism,
                Vec::new(),
            ),
        })
    }
}

/// The state that a checkpoint with these snapshots of all subtasks gives back.
pub(super) fn state_of(snapshots: &[OperatorSnapshot]) -> RestoredOperatorState {
    RestoredOperatorState {
        subtasks: snapshots
            .iter()
            .map(|snapshot| snapshot.items.clone())
            .collect(),
    }
}

/// Polls until the source has finished.
pub(super) fn poll_to_end(source: &mut dyn Source, rows_max: usize) -> Vec<Batch> {
    let mut output = Output::default();
    while source.poll(rows_max, &mut output).unwrap() != SourceStatus::Finished {}
    batches(&mut output)
}

/// The batches that were emitted.
pub(super) fn batches(output: &mut Output) -> Vec<Batch> {
    let emitted = output.take().filter_map(|emission| match emission {
        Emission::Batch(batch) => Some(batch),
        Emission::Watermark(_) => None,
    });
    emitted.collect()
}

/// A batch with the columns `key` (string) and `value` (int64).
pub(super) fn key_values(rows: &[(&str, i64)]) -> Batch {
    let keys: ArrayRef = Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.0)));
    let values: ArrayRef = Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.1)));
    let columns = RecordBatch::try_from_iter([("key", keys), ("value", values)]);
    Batch::Columns(columns.unwrap())
}
