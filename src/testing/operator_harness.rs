//! One operator under test.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::job_harness::JobHarness;
use super::rows::RowsIn;
use crate::connectors::{BlackholeSink, RowCount};
use crate::error::{Error, ErrorKind, Result};
use crate::graph::{Stream, StreamBuilder};
use crate::model::{Batch, CheckpointId, EventTime, Row};
use crate::operator::{FinishStatus, Operator, OperatorContext, Output};

/// Runs one operator: rows and watermarks in, rows and watermarks out, at once.
///
/// ```
/// use floodmark::model::EventTime;
/// use floodmark::testing::OperatorHarness;
///
/// // Counts the records of each key, at a parallelism of 2.
/// let mut counts = OperatorHarness::new(2, |words| {
///     words.key_by(|word: &String| word.clone()).reduce(
///         "counts",
///         |_| 0_u64,
///         |word, mut count| {
///             *count = (count.to_native() + 1).into();
///             (word.clone(), count.to_native())
///         },
///     )
/// })?;
/// counts.push(["a", "a"].map(String::from))?;
/// let snapshot = counts.snapshot()?;
/// counts.push(["a".to_owned()])?;
/// assert_eq!(counts.take_rows(), [1, 2, 3].map(|count| ("a".to_owned(), count)));
///
/// counts.restore_at(snapshot, 1)?;
/// counts.push(["a".to_owned()])?;
/// counts.push_watermark(EventTime(5))?;
/// assert_eq!(counts.take_rows(), [("a".to_owned(), 3)]);
/// assert_eq!(counts.watermark(), EventTime(5));
/// # Ok::<(), floodmark::error::Error>(())
/// ```
pub struct OperatorHarness<T, U> {
    harness: JobHarness,
    input: RowsIn<T>,
    seen: Arc<Mutex<Seen<U>>>,
    /// How many rows and watermarks had been pushed when each snapshot was taken.
    snapshots: BTreeMap<CheckpointId, usize>,
}

/// What came out of the operator.
struct Seen<U> {
    rows: Vec<U>,
    /// The last watermark of each subtask.
    watermarks: BTreeMap<usize, EventTime>,
}

/// Notes what passes it.
struct Witness<U> {
    subtask: usize,
    seen: Arc<Mutex<Seen<U>>>,
}

impl<T: Row, U: Row> OperatorHarness<T, U> {
    /// A harness of what `build` puts behind a stream of rows, with so many subtasks. It is open when this returns.
    ///
    /// # Errors
    /// What the operator fails to open with, and [`ErrorKind::Configuration`] for a parallelism that cannot be.
    pub fn new(parallelism: usize, build: impl FnOnce(Stream<T>) -> Stream<U>) -> Result<Self> {
        let job = StreamBuilder::new("operator-under-test").parallelism(parallelism);
        let input = RowsIn::new();
        let seen = Arc::new(Mutex::new(Seen {
            rows: Vec::new(),
            watermarks: BTreeMap::new(),
        }));
        let witnessed = Arc::clone(&seen);
        build(input.add_to(&job, "rows-in"))
            .operator::<U, _>("witness", move || {
                Ok(Witness {
                    subtask: 0,
                    seen: Arc::clone(&witnessed),
                })
            })
            .sink("rows-out", || Ok(BlackholeSink::new(RowCount::default())));
        let mut harness = JobHarness::new(job.build()?)?;
        harness.start()?;
        Ok(Self {
            harness,
            input,
            seen,
            snapshots: BTreeMap::new(),
        })
    }

    /// Gives the operator rows, and lets it work them off.
    ///
    /// # Errors
    /// What the operator failed with.
    pub fn push(&mut self, rows: impl IntoIterator<Item = T>) -> Result<()> {
        self.input.push(rows);
        self.harness.run_until_idle()
    }

    /// Says that no row earlier than this will follow: event-time timers fire.
    ///
    /// # Errors
    /// What the operator failed with.
    pub fn push_watermark(&mut self, watermark: EventTime) -> Result<()> {
        self.input.push_watermark(watermark);
        self.harness.run_until_idle()
    }

    /// Moves the clock on, which begins at the epoch: processing-time timers fire.
    ///
    /// # Errors
    /// What the operator failed with.
    pub fn advance(&mut self, duration: Duration) -> Result<()> {
        self.harness.advance(duration)
    }

    /// Ends the input: event time ends, and the operator emits what it has left.
    ///
    /// # Errors
    /// What the operator failed with.
    pub fn finish(&mut self) -> Result<()> {
        self.input.finish();
        self.harness.run_until_idle()
    }

    /// Takes out the rows that the operator has emitted since this was last asked: those of each subtask in their order.
    pub fn take_rows(&mut self) -> Vec<U> {
        std::mem::take(&mut lock(&self.seen).rows)
    }

    /// The last watermark that came out of all subtasks.
    pub fn watermark(&self) -> EventTime {
        let seen = lock(&self.seen);
        let watermarks = seen.watermarks.values().min();
        watermarks.copied().unwrap_or(EventTime::MIN)
    }

    /// Takes a snapshot of the operator.
    ///
    /// # Errors
    /// What the operator failed with.
    pub fn snapshot(&mut self) -> Result<CheckpointId> {
        let snapshot = self.harness.checkpoint()?;
        let never = || Error::new(ErrorKind::Bug, "the snapshot was not taken");
        let snapshot = snapshot.ok_or_else(never)?;
        self.snapshots.insert(snapshot, self.input.len());
        Ok(snapshot)
    }

    /// Drops the operator, and makes it anew from a snapshot, with so many subtasks. What was pushed after the snapshot
    /// is forgotten, and so are rows that were not taken out.
    ///
    /// # Errors
    /// What the operator fails to open with, and [`ErrorKind::Configuration`] for a snapshot that was not taken or a
    /// parallelism that cannot be.
    pub fn restore_at(&mut self, snapshot: CheckpointId, parallelism: usize) -> Result<()> {
        self.harness.crash();
        if let Some(length) = self.snapshots.get(&snapshot) {
            self.input.truncate(*length);
        }
        let mut seen = lock(&self.seen);
        seen.rows.clear();
        seen.watermarks.clear();
        drop(seen);
        self.harness.set_parallelism(parallelism)?;
        self.harness.restore_from(snapshot)
    }
}

fn lock<U>(seen: &Mutex<Seen<U>>) -> MutexGuard<'_, Seen<U>> {
    // No panic can leave it half changed.
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<U: Row> Operator for Witness<U> {
    fn open(&mut self, context: &mut OperatorContext<'_>) -> Result<()> {
        self.subtask = context.subtask;
        lock(&self.seen)
            .watermarks
            .insert(self.subtask, EventTime::MIN);
        Ok(())
    }

    fn process(&mut self, batch: Batch, _output: &mut Output) -> Result<()> {
        let rows = batch.into_rows::<U>()?;
        lock(&self.seen).rows.extend(rows);
        Ok(())
    }

    fn on_watermark(&mut self, watermark: EventTime, _output: &mut Output) -> Result<FinishStatus> {
        lock(&self.seen).watermarks.insert(self.subtask, watermark);
        Ok(FinishStatus::Done)
    }
}
