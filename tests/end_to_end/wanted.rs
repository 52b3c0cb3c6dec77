//! What sinks with somebody outside behind them need: a checkpoint before its time, recovery before the first commit, and
//! commits that hold no snapshot up.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use floodmark::connectors::{GeneratorSource, MemoryOutput, MemorySink};
use floodmark::engine::{Engine, EngineSettings, JobOutcome};
use floodmark::error::Result;
use floodmark::graph::StreamBuilder;
use floodmark::model::{Batch, CheckpointId};
use floodmark::operator::{BackgroundWork, OperatorContext, OperatorSnapshot, Sink};

const NUMBERS: u64 = 50_000;

/// How many records the sink takes between two barriers: fewer than there are in one batch.
const ROOM: usize = 100;

/// Is full until the next barrier, and wants one when it is half full.
struct BarrierSink {
    sink: MemorySink<(u64, u64)>,
    /// How many records have come since the last barrier.
    since: usize,
    snapshots: Arc<AtomicUsize>,
}

impl Sink for BarrierSink {
    fn open(&mut self, context: &mut OperatorContext<'_>) -> Result<()> {
        self.sink.open(context)
    }

    fn has_room(&mut self, awaits_barrier: bool) -> bool {
        awaits_barrier || self.since < ROOM
    }

    fn wants_checkpoint(&mut self) -> bool {
        self.since >= ROOM / 2
    }

    fn write(&mut self, batch: Batch) -> Result<()> {
        self.since += batch.len();
        self.sink.write(batch)
    }

    fn snapshot(&mut self, checkpoint: CheckpointId) -> Result<OperatorSnapshot> {
        self.since = 0;
        self.snapshots.fetch_add(1, Ordering::SeqCst);
        self.sink.snapshot(checkpoint)
    }

    fn commit(&mut self, checkpoint: CheckpointId) -> Result<Vec<BackgroundWork>> {
        self.sink.commit(checkpoint)
    }
}

#[test]
fn a_full_sink_is_given_the_checkpoint_that_it_wants_although_its_barrier_is_behind_records() {
    let folder = tempfile::tempdir().unwrap();
    let output = MemoryOutput::default();
    let snapshots = Arc::<AtomicUsize>::default();
    let job = StreamBuilder::new("wanted");
    let numbers = job.source::<u64, _>("numbers", || {
        GeneratorSource::from_fn(Some(NUMBERS), 1, |_, index| index)
    });
    let (rows, taken) = (output.clone(), Arc::clone(&snapshots));
    let counts = numbers.key_by(|number| number % 100).reduce(
        "count",
        |_| 0_u64,
        |number, mut count| {
            *count = (count.to_native() + 1).into();
            (*number, count.to_native())
        },
    );
    counts.sink("out", move || {
        Ok(BarrierSink {
            sink: MemorySink::of_rows(&rows),
            since: 0,
            snapshots: Arc::clone(&taken),
        })
    });
    // No checkpoint is taken by itself.
    let mut settings = EngineSettings::default();
    settings.checkpoint.storage = folder.path().display().to_string();
    settings.checkpoint.interval = None;
    let engine = Engine::new(job.build().unwrap(), settings);
    let outcome = engine.start().unwrap().wait();
    assert!(matches!(outcome, JobOutcome::Finished), "{outcome:?}");
    assert_eq!(output.rows().len(), NUMBERS as usize);
    // What is in flight when a checkpoint is triggered comes before its barrier.
    assert!(snapshots.load(Ordering::SeqCst) > 1);
}

/// Commits its first checkpoint only when the snapshot of a later one is made safe.
struct SlowSink {
    sink: MemorySink<u64>,
    has_recovered: Arc<AtomicBool>,
    /// How many snapshots are made safe.
    safe: Arc<(Mutex<usize>, Condvar)>,
    commits: Arc<AtomicUsize>,
}

impl Sink for SlowSink {
    fn open(&mut self, context: &mut OperatorContext<'_>) -> Result<()> {
        let has_recovered = Arc::clone(&self.has_recovered);
        context.recovery.push(Box::new(move || {
            has_recovered.store(true, Ordering::SeqCst);
            Ok(())
        }));
        self.sink.open(context)
    }

    /// So there is a second checkpoint before all input has ended.
    fn wants_checkpoint(&mut self) -> bool {
        true
    }

    fn write(&mut self, batch: Batch) -> Result<()> {
        self.sink.write(batch)
    }

    fn snapshot(&mut self, checkpoint: CheckpointId) -> Result<OperatorSnapshot> {
        let mut snapshot = self.sink.snapshot(checkpoint)?;
        let safe = Arc::clone(&self.safe);
        snapshot.background.push(Box::new(move || {
            *safe.0.lock().unwrap() += 1;
            safe.1.notify_all();
            Ok(())
        }));
        Ok(snapshot)
    }

    fn commit(&mut self, checkpoint: CheckpointId) -> Result<Vec<BackgroundWork>> {
        let mut work = self.sink.commit(checkpoint)?;
        let (has_recovered, safe) = (Arc::clone(&self.has_recovered), Arc::clone(&self.safe));
        let commits = Arc::clone(&self.commits);
        work.push(Box::new(move || {
            assert!(has_recovered.load(Ordering::SeqCst));
            commits.fetch_add(1, Ordering::SeqCst);
            let waits = |safe: &mut usize| *safe < 2;
            drop(safe.1.wait_while(safe.0.lock().unwrap(), waits).unwrap());
            Ok(())
        }));
        Ok(work)
    }
}

#[test]
fn a_commit_that_waits_holds_no_snapshot_up_and_comes_after_the_recovery() {
    let folder = tempfile::tempdir().unwrap();
    let output = MemoryOutput::default();
    let commits = Arc::<AtomicUsize>::default();
    let job = StreamBuilder::new("slow");
    let numbers = job.source::<u64, _>("numbers", || {
        GeneratorSource::from_fn(Some(NUMBERS), 1, |_, index| index)
    });
    let (rows, committed) = (output.clone(), Arc::clone(&commits));
    numbers.sink("out", move || {
        Ok(SlowSink {
            sink: MemorySink::of_rows(&rows),
            has_recovered: Arc::default(),
            safe: Arc::default(),
            commits: Arc::clone(&committed),
        })
    });
    let settings = EngineSettings::default().with_storage(folder.path().display().to_string());
    let engine = Engine::new(job.build().unwrap(), settings);
    let outcome = engine.start().unwrap().wait();
    assert!(matches!(outcome, JobOutcome::Finished), "{outcome:?}");
    assert_eq!(output.rows().len(), NUMBERS as usize);
    assert!(commits.load(Ordering::SeqCst) > 1);
}
