//! A sink that writes to the outside in two phases.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fastrand::Rng;
use serde::{Deserialize, Serialize};

use super::super::operators::Record;
use super::super::witness::ProcessView;
use super::ledger::{Outside, Shard};
use super::transaction::TransactionId;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Batch, CheckpointId};
use crate::operator::{BackgroundWork, OperatorContext, OperatorSnapshot, Sink};

/// What a sink leaves to the background.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct SinkHabits {
    prepares_in_background: bool,
    commits_in_background: bool,
}

impl SinkHabits {
    pub(in super::super) fn draw(random: &mut Rng) -> Self {
        Self {
            prepares_in_background: random.bool(),
            commits_in_background: random.bool(),
        }
    }
}

/// A sink that writes to the outside in two phases.
pub(in super::super) struct OutsideSink {
    sink: usize,
    habits: SinkHabits,
    outside: Arc<Outside>,
    view: Arc<ProcessView>,
    subtask: usize,
    attempt: u64,
    rows: Vec<Record>,
    /// What is prepared and not known to be committed.
    pending: Vec<TransactionId>,
    /// The newest of them whose commit was begun.
    committing: Option<CheckpointId>,
    /// What was committed since the last look.
    committed: Arc<Mutex<Vec<TransactionId>>>,
}

/// The item of operator state.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SinkItem {
    checkpoint: CheckpointId,
    pending: Vec<TransactionId>,
}

impl OutsideSink {
    pub(in super::super) fn new(
        sink: usize,
        habits: SinkHabits,
        outside: Arc<Outside>,
        view: Arc<ProcessView>,
    ) -> Self {
        Self {
            sink,
            habits,
            outside,
            view,
            subtask: 0,
            attempt: 0,
            rows: Vec::new(),
            pending: Vec::new(),
            committing: None,
            committed: Arc::default(),
        }
    }

    /// What is committed needs to be in no snapshot any more. What is only about to be does: a commit in the background
    /// may come after a snapshot that was taken later, or never.
    fn forget_committed(&mut self) {
        let committed = std::mem::take(&mut *lock(&self.committed));
        self.pending.retain(|id| !committed.contains(id));
    }
}

/// Whoever panicked with the lock held has left nothing half done.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Sink for OutsideSink {
    fn open(&mut self, context: &mut OperatorContext<'_>) -> Result<()> {
        self.subtask = context.subtask;
        self.attempt = self.view.attempt().number;
        let mut promised = Vec::new();
        let mut checkpoint = CheckpointId(0);
        for item in context.restored.iter().flat_map(|state| state.items()) {
            let item = SinkItem::deserialize(item).map_err(|error| {
                Error::new(ErrorKind::Corrupt, format!("sink state {item}")).with_source(error)
            })?;
            checkpoint = checkpoint.max(item.checkpoint);
            promised.extend(item.pending);
        }
        let shard = Shard {
            subtask: context.subtask,
            parallelism: context.parallelism,
        };
        let (sink, attempt) = (self.sink, self.attempt);
        self.outside
            .restore(sink, attempt, shard, checkpoint, &promised);
        Ok(())
    }

    fn write(&mut self, batch: Batch) -> Result<()> {
        self.view.reach_outside()?;
        self.rows.extend(batch.into_rows::<Record>()?);
        Ok(())
    }

    fn snapshot(&mut self, checkpoint: CheckpointId) -> Result<OperatorSnapshot> {
        self.view.reach_outside()?;
        self.forget_committed();
        let mut background: Vec<BackgroundWork> = Vec::new();
        let rows = std::mem::take(&mut self.rows);
        if !rows.is_empty() {
            let id = TransactionId {
                sink: self.sink,
                checkpoint,
                subtask: self.subtask,
                attempt: self.attempt,
            };
            self.pending.push(id);
            if self.habits.prepares_in_background {
                let (outside, view) = (Arc::clone(&self.outside), Arc::clone(&self.view));
                background.push(Box::new(move || {
                    view.reach_outside()?;
                    outside.prepare(id, &rows);
                    Ok(())
                }));
            } else {
                self.outside.prepare(id, &rows);
            }
        }
        let item = SinkItem {
            checkpoint,
            pending: self.pending.clone(),
        };
        let item = serde_json::to_value(item)
            .map_err(|error| Error::new(ErrorKind::Bug, "sink state").with_source(error))?;
        Ok(OperatorSnapshot {
            items: vec![item],
            background,
        })
    }

    fn commit(&mut self, checkpoint: CheckpointId) -> Result<Vec<BackgroundWork>> {
        self.forget_committed();
        let begun = self.committing.replace(checkpoint);
        let covered = self
            .pending
            .iter()
            .filter(|id| id.checkpoint <= checkpoint && Some(id.checkpoint) > begun);
        let covered: Vec<_> = covered.copied().collect();
        let (outside, view) = (Arc::clone(&self.outside), Arc::clone(&self.view));
        let committed = Arc::clone(&self.committed);
        let commit = move || {
            for id in &covered {
                view.reach_outside()?;
                outside.commit(*id, checkpoint);
                lock(&committed).push(*id);
            }
            Ok(())
        };
        if self.habits.commits_in_background {
            return Ok(vec![Box::new(commit)]);
        }
        commit()?;
        Ok(Vec::new())
    }
}
