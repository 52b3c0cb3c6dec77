//! A sink that only a checkpoint can make room in.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

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
