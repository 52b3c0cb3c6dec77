//! A source whose first rows come as fast as they are taken, and the others at a rate.

use std::time::Duration;

use floodmark::error::Result;
use floodmark::model::{CheckpointId, SharedClock};
use floodmark::operator::{OperatorContext, OperatorSnapshot, Output, Source, SourceStatus};

/// How long a source that has given out all that is due waits.
const WAIT: Duration = Duration::from_millis(1);

/// Holds a source to a rate once it has given out its first rows. It starts anew with the process, so it is meant for
/// the run that ends with a crash.
pub(crate) struct PacedSource<S> {
    inner: S,
    pace: Option<Pace>,
    clock: Option<SharedClock>,
    /// The part of the figures in `pace` that is this subtask's.
    share: f64,
    given: u64,
    paced_since: Option<Duration>,
}

/// Over all subtasks together.
#[derive(Clone, Copy)]
pub(crate) struct Pace {
    /// How many rows come first, without a limit.
    pub(crate) unlimited_rows: u64,
    pub(crate) rows_per_second: u64,
}

impl<S> PacedSource<S> {
    /// `inner`, held to a pace if there is one.
    pub(crate) fn new(inner: S, pace: Option<Pace>) -> Self {
        Self {
            inner,
            pace,
            clock: None,
            share: 1.0,
            given: 0,
            paced_since: None,
        }
    }

    /// How many rows may be given out now.
    fn due(&mut self, rows_max: usize) -> usize {
        let (Some(pace), Some(clock)) = (self.pace, &self.clock) else {
            return rows_max;
        };
        let unlimited = (pace.unlimited_rows as f64 * self.share) as u64;
        if self.given < unlimited {
            return rows_max;
        }
        let now = clock.elapsed();
        let paced = now - *self.paced_since.get_or_insert(now);
        let rate = pace.rows_per_second as f64 * self.share;
        let allowed = unlimited + (paced.as_secs_f64() * rate) as u64;
        let due = allowed.saturating_sub(self.given);
        usize::try_from(due).map_or(rows_max, |due| due.min(rows_max))
    }
}

impl<S: Source> Source for PacedSource<S> {
    fn open(&mut self, context: &mut OperatorContext<'_>) -> Result<()> {
        self.share = 1.0 / context.parallelism as f64;
        self.clock = Some(context.clock.clone());
        self.inner.open(context)
    }

    fn poll(&mut self, rows_max: usize, output: &mut Output) -> Result<SourceStatus> {
        let due = self.due(rows_max);
        if due == 0 {
            return Ok(SourceStatus::Wait(WAIT));
        }
        let before = output.rows();
        let status = self.inner.poll(due, output)?;
        self.given += (output.rows() - before) as u64;
        Ok(status)
    }

    fn snapshot(&mut self, checkpoint: CheckpointId) -> Result<OperatorSnapshot> {
        self.inner.snapshot(checkpoint)
    }
}
