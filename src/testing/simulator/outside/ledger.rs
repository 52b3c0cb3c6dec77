//! The outside: what sinks commit to. Nothing that is committed there can be taken back.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fastrand::Rng;
use serde::{Deserialize, Serialize};

use super::operators::Record;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Batch, CheckpointId};
use crate::operator::{BackgroundWork, OperatorContext, OperatorSnapshot, Sink};
use crate::storage::SimulatedDisk;

/// Takes part in two-phase commits, and judges what is committed.
pub(super) struct Outside {
    shared: Mutex<Shared>,
}

struct Shared {
    /// The disk of the process that runs; a process finds there what the outside checks.
    disk: SimulatedDisk,
    transactions: BTreeMap<TransactionId, Transaction>,
    /// How often each record is still to come. Below zero it has come too often.
    missing: BTreeMap<(usize, Record), i64>,
    may_repeat: bool,
    violation: Option<String>,
}

/// One transaction: of which sink, for which checkpoint, by which subtask of which start of the job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct TransactionId {
    sink: usize,
    checkpoint: CheckpointId,
    subtask: usize,
    start: u64,
}

#[derive(Debug)]
enum Transaction {
    /// Safe, and visible to nobody.
    Prepared(Vec<Record>),
    Committed,
    Aborted,
}

/// What a sink leaves to the background.
#[derive(Clone, Copy, Debug)]
pub(super) struct SinkHabits {
    prepares_in_background: bool,
    commits_in_background: bool,
}

impl SinkHabits {
    pub(super) fn draw(random: &mut Rng) -> Self {
        Self {
            prepares_in_background: random.bool(),
            commits_in_background: random.bool(),
        }
    }
}

impl Outside {
    pub(super) fn new(expected: BTreeMap<(usize, Record), u64>, may_repeat: bool) -> Arc<Self> {
        let missing = expected.into_iter();
        Arc::new(Self {
            shared: Mutex::new(Shared {
                disk: SimulatedDisk::default(),
                transactions: BTreeMap::new(),
                missing: missing.map(|(key, count)| (key, count as i64)).collect(),
                may_repeat,
                violation: None,
            }),
        })
    }

    /// The process that runs from now on has this disk.
    pub(super) fn use_disk(&self, disk: &SimulatedDisk) {
        self.lock().disk = disk.clone();
    }

    /// What was wrong first, if anything was.
    pub(super) fn violation(&self) -> Option<String> {
        self.lock().violation.clone()
    }

    /// A record that never came, if there is one.
    pub(super) fn missing(&self) -> Option<String> {
        let shared = self.lock();
        let missing = shared.missing.iter().find(|(_, count)| **count > 0);
        missing.map(|((sink, record), count)| {
            format!("sink {sink} has {record:?} {count} times less than it should")
        })
    }

    fn prepare(&self, id: TransactionId, rows: Vec<Record>) {
        let mut shared = self.lock();
        if shared.transactions.contains_key(&id) {
            shared.blame(format!("{id:?} is prepared twice"));
        }
        shared.transactions.insert(id, Transaction::Prepared(rows));
    }

    /// Commits `id` on account of `checkpoint`.
    fn commit(&self, id: TransactionId, checkpoint: CheckpointId) {
        let mut shared = self.lock();
        if let Err(violation) = check_is_durable(&shared.disk, checkpoint) {
            shared.blame(format!("{id:?} is committed, but {violation}"));
        }
        match shared.transactions.insert(id, Transaction::Committed) {
            Some(Transaction::Prepared(rows)) => {
                for row in rows {
                    shared.show(id, row);
                }
            }
            Some(Transaction::Committed) => {}
            Some(Transaction::Aborted) => shared.blame(format!("{id:?} is committed after all")),
            None => shared.blame(format!("{id:?} is committed, but was never prepared")),
        }
    }

    /// A restored subtask finishes what its checkpoint has promised, and gives up what it has not.
    fn restore(
        &self,
        sink: usize,
        checkpoint: CheckpointId,
        promised: &[TransactionId],
        owns: impl Fn(usize) -> bool,
    ) {
        for id in promised.iter().filter(|id| owns(id.subtask)) {
            self.commit(*id, checkpoint);
        }
        let mut shared = self.lock();
        for (id, transaction) in &mut shared.transactions {
            let is_prepared = matches!(transaction, Transaction::Prepared(_));
            if id.sink == sink && owns(id.subtask) && is_prepared {
                *transaction = Transaction::Aborted;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Nothing is visible outside on account of a checkpoint that is not complete: its manifest, or that of a later one, must
/// outlive even a power cut.
pub(super) fn check_is_durable(
    disk: &SimulatedDisk,
    checkpoint: CheckpointId,
) -> Result<(), String> {
    let durable = disk.durable_manifests("job");
    match durable.last() {
        Some(newest) if *newest >= checkpoint.0 => Ok(()),
        newest => Err(format!(
            "no manifest from {checkpoint} on is durable, the newest is {newest:?}"
        )),
    }
}

impl Shared {
    fn show(&mut self, id: TransactionId, record: Record) {
        let count = self.missing.entry((id.sink, record)).or_insert(i64::MIN);
        if *count == i64::MIN {
            self.blame(format!(
                "{id:?} commits {record:?}, which no input leads to"
            ));
            return;
        }
        *count -= 1;
        if *count < 0 && !self.may_repeat {
            self.blame(format!(
                "{id:?} commits {record:?} once more than it should come"
            ));
        }
    }

    fn blame(&mut self, violation: String) {
        self.violation.get_or_insert(violation);
    }
}

/// A sink that writes to the outside in two phases.
pub(super) struct OutsideSink {
    sink: usize,
    habits: SinkHabits,
    outside: Arc<Outside>,
    subtask: usize,
    start: u64,
    rows: Vec<Record>,
    /// What is prepared and not known to be committed.
    pending: Vec<TransactionId>,
}

/// The item of operator state.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SinkItem {
    checkpoint: CheckpointId,
    pending: Vec<TransactionId>,
}

impl OutsideSink {
    pub(super) fn new(sink: usize, habits: SinkHabits, outside: Arc<Outside>) -> Self {
        Self {
            sink,
            habits,
            outside,
            subtask: 0,
            start: 0,
            rows: Vec::new(),
            pending: Vec::new(),
        }
    }
}

impl Sink for OutsideSink {
    fn open(&mut self, context: &mut OperatorContext<'_>) -> Result<()> {
        self.subtask = context.subtask;
        // A number that no start of the job has had before: the clock never goes back and moves before each.
        self.start = context.clock.elapsed().as_nanos() as u64;
        let mut promised = Vec::new();
        let mut checkpoint = CheckpointId(0);
        for item in context.restored.iter().flat_map(|state| state.items()) {
            let item = SinkItem::deserialize(item).map_err(|error| {
                Error::new(ErrorKind::Corrupt, format!("sink state {item}")).with_source(error)
            })?;
            checkpoint = checkpoint.max(item.checkpoint);
            promised.extend(item.pending);
        }
        let (subtask, parallelism) = (context.subtask, context.parallelism);
        let owns = |writer: usize| writer % parallelism == subtask;
        self.outside.restore(self.sink, checkpoint, &promised, owns);
        Ok(())
    }

    fn write(&mut self, batch: Batch) -> Result<()> {
        self.rows.extend(batch.into_rows::<Record>()?);
        Ok(())
    }

    fn snapshot(&mut self, checkpoint: CheckpointId) -> Result<OperatorSnapshot> {
        let mut background: Vec<BackgroundWork> = Vec::new();
        let rows = std::mem::take(&mut self.rows);
        if !rows.is_empty() {
            let id = TransactionId {
                sink: self.sink,
                checkpoint,
                subtask: self.subtask,
                start: self.start,
            };
            self.pending.push(id);
            let outside = Arc::clone(&self.outside);
            if self.habits.prepares_in_background {
                background.push(Box::new(move || {
                    outside.prepare(id, rows);
                    Ok(())
                }));
            } else {
                outside.prepare(id, rows);
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
        let covered = self.pending.iter().filter(|id| id.checkpoint <= checkpoint);
        let covered: Vec<_> = covered.copied().collect();
        self.pending.retain(|id| id.checkpoint > checkpoint);
        let outside = Arc::clone(&self.outside);
        let commit = move || {
            for id in &covered {
                outside.commit(*id, checkpoint);
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
