//! The subtasks of one sink of part files through checkpoints, crashes and restores, for the tests of both kinds.

use std::sync::Arc;

use crate::connectors::test_support::{Subtask, key_values, state_of};
use crate::error::Result;
use crate::model::{CheckpointId, ManualClock};
use crate::operator::{RestoredOperatorState, Sink};

type Opener<S> = Box<dyn Fn(&Subtask) -> Result<S>>;

/// All subtasks of one sink, and the checkpoints that they took part in.
pub(super) struct SinkTrial<S> {
    open: Opener<S>,
    pub(super) clock: Arc<ManualClock>,
    pub(super) sinks: Vec<S>,
    attempt: u64,
    checkpoint: u64,
    /// The next value to be written: every row is written once.
    pub(super) next: i64,
}

/// A complete checkpoint: what the sinks put into it, and what the output must be when it is restored.
#[derive(Clone)]
pub(super) struct Taken {
    pub(super) id: CheckpointId,
    pub(super) state: RestoredOperatorState,
    pub(super) next: i64,
}

impl<S: Sink> SinkTrial<S> {
    /// A sink that starts without a checkpoint; `open` makes a subtask of it.
    pub(super) fn new(
        parallelism: usize,
        open: impl Fn(&Subtask) -> Result<S> + 'static,
    ) -> Result<Self> {
        let mut trial = Self {
            open: Box::new(open),
            clock: Arc::default(),
            sinks: Vec::new(),
            attempt: 0,
            checkpoint: 0,
            next: 0,
        };
        trial.open(parallelism, None)?;
        Ok(trial)
    }

    /// Starts afresh: nothing has been written.
    pub(super) fn crash_and_start_afresh(&mut self, parallelism: usize) -> Result<()> {
        self.next = 0;
        self.open(parallelism, None)
    }

    /// Everything since the checkpoint is lost, also what is on its way to the disk.
    pub(super) fn crash_and_restore(&mut self, parallelism: usize, taken: &Taken) -> Result<()> {
        self.next = taken.next;
        self.open(parallelism, Some(&taken.state))
    }

    fn open(&mut self, parallelism: usize, restored: Option<&RestoredOperatorState>) -> Result<()> {
        self.sinks.clear();
        self.attempt += 1;
        for index in 0..parallelism {
            let subtask = Subtask::of(index, parallelism)
                .in_attempt(self.attempt)
                .with_clock(&self.clock)
                .restored(restored.cloned());
            self.sinks.push((self.open)(&subtask)?);
        }
        Ok(())
    }

    /// Writes `rows` rows, dealt out to the subtasks.
    pub(super) fn write(&mut self, rows: usize) {
        for _ in 0..rows {
            let subtask = self.next as usize % self.sinks.len();
            let batch = key_values(&[("k", self.next)]);
            self.sinks[subtask].write(batch).unwrap();
            self.next += 1;
        }
    }

    pub(super) fn snapshot(&mut self) -> Taken {
        self.checkpoint += 1;
        let id = CheckpointId(self.checkpoint);
        let mut snapshots = Vec::new();
        for sink in &mut self.sinks {
            let mut snapshot = sink.snapshot(id).unwrap();
            for work in snapshot.background.drain(..) {
                work().unwrap();
            }
            snapshots.push(snapshot);
        }
        Taken {
            id,
            state: state_of(&snapshots),
            next: self.next,
        }
    }

    pub(super) fn commit(&mut self, taken: &Taken) {
        self.commit_by(self.sinks.len(), taken);
    }

    /// Only the first `subtasks` come to their commit.
    pub(super) fn commit_by(&mut self, subtasks: usize, taken: &Taken) {
        for sink in self.sinks.iter_mut().take(subtasks) {
            for work in sink.commit(taken.id).unwrap() {
                work().unwrap();
            }
        }
    }

    pub(super) fn finish(&mut self) {
        for sink in &mut self.sinks {
            sink.finish().unwrap();
        }
        let taken = self.snapshot();
        self.commit(&taken);
    }
}
