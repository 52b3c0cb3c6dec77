//! Sources and sinks that wait for threads of their own, and are woken by them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use floodmark::connectors::{GeneratorSource, MemoryOutput, MemorySink};
use floodmark::engine::{Engine, EngineSettings, JobOutcome};
use floodmark::error::Result;
use floodmark::graph::StreamBuilder;
use floodmark::model::{Batch, CheckpointId};
use floodmark::operator::{
    BackgroundWork, OperatorContext, OperatorSnapshot, Output, Sink, Source, SourceStatus,
};

const NUMBERS: u64 = 50_000;

/// How many records the sink lets wait before it is full.
const ROOM: usize = 3_000;

/// Longer than a test may take: whoever sleeps for so long and is not woken hangs.
const FOR_EVER: Duration = Duration::from_secs(24 * 60 * 60);

/// A thread that wakes its owner, whenever it is asked to.
struct Waker(SyncSender<()>);

impl Waker {
    /// Before each wake, `before` is done.
    fn of(context: &OperatorContext<'_>, before: impl Fn() + Send + 'static) -> Self {
        let wake = Arc::clone(context.wake);
        let (sender, requests) = sync_channel(1);
        let answer = move || {
            for () in requests {
                before();
                wake.wake();
            }
        };
        thread::Builder::new().spawn(answer).unwrap();
        Self(sender)
    }

    fn ask(&self) {
        // If another request waits, its answer comes after this as well.
        let _ = self.0.try_send(());
    }
}

/// Gives out what another source gives, and sleeps before each batch until it is woken.
struct Sleeper<S> {
    source: S,
    waker: Option<Waker>,
    is_awake: bool,
}

impl<S: Source> Source for Sleeper<S> {
    fn open(&mut self, context: &mut OperatorContext<'_>) -> Result<()> {
        self.waker = Some(Waker::of(context, || ()));
        self.source.open(context)
    }

    fn poll(&mut self, rows_max: usize, output: &mut Output) -> Result<SourceStatus> {
        self.is_awake = !self.is_awake;
        if self.is_awake {
            return self.source.poll(rows_max, output);
        }
        self.waker.as_ref().unwrap().ask();
        Ok(SourceStatus::Wait(FOR_EVER))
    }

    fn snapshot(&mut self, checkpoint: CheckpointId) -> Result<OperatorSnapshot> {
        self.source.snapshot(checkpoint)
    }
}

/// Is full when enough waits, until its thread has taken that away.
struct FullSink {
    sink: MemorySink<u64>,
    waker: Option<Waker>,
    /// How many records wait.
    waiting: Arc<AtomicUsize>,
    /// The most that ever waited.
    waited_max: Arc<AtomicUsize>,
    /// How often the sink was asked for room and had none.
    refusals: Arc<AtomicUsize>,
}

impl Sink for FullSink {
    fn open(&mut self, context: &mut OperatorContext<'_>) -> Result<()> {
        let waiting = Arc::clone(&self.waiting);
        self.waker = Some(Waker::of(context, move || {
            waiting.store(0, Ordering::SeqCst)
        }));
        self.sink.open(context)
    }

    fn has_room(&mut self, _awaits_barrier: bool) -> bool {
        let has_room = self.waiting.load(Ordering::SeqCst) < ROOM;
        if !has_room {
            self.refusals.fetch_add(1, Ordering::SeqCst);
            self.waker.as_ref().unwrap().ask();
        }
        has_room
    }

    fn write(&mut self, batch: Batch) -> Result<()> {
        let rows = batch.len();
        let waiting = self.waiting.fetch_add(rows, Ordering::SeqCst) + rows;
        self.waited_max.fetch_max(waiting, Ordering::SeqCst);
        self.sink.write(batch)
    }

    fn snapshot(&mut self, checkpoint: CheckpointId) -> Result<OperatorSnapshot> {
        self.sink.snapshot(checkpoint)
    }

    fn commit(&mut self, checkpoint: CheckpointId) -> Result<Vec<BackgroundWork>> {
        self.sink.commit(checkpoint)
    }
}

#[test]
fn a_sleeping_source_and_a_full_sink_are_woken_by_their_threads() {
    let folder = tempfile::tempdir().unwrap();
    let output = MemoryOutput::default();
    let waited_max = Arc::<AtomicUsize>::default();
    let refusals = Arc::<AtomicUsize>::default();
    let job = StreamBuilder::new("woken");
    let numbers = job.source::<u64, _>("numbers", || {
        Ok(Sleeper {
            source: GeneratorSource::from_fn(Some(NUMBERS), 1, |_, index| index)?,
            waker: None,
            is_awake: true,
        })
    });
    let (rows, most, refused) = (output.clone(), waited_max.clone(), refusals.clone());
    numbers.sink("out", move || {
        Ok(FullSink {
            sink: MemorySink::of_rows(&rows),
            waker: None,
            waiting: Arc::default(),
            waited_max: most.clone(),
            refusals: refused.clone(),
        })
    });
    let mut settings = EngineSettings::default();
    settings.checkpoint.storage = folder.path().display().to_string();
    let engine = Engine::new(job.build().unwrap(), settings);
    let outcome = engine.start().unwrap().wait();
    assert!(matches!(outcome, JobOutcome::Finished), "{outcome:?}");
    assert!(output.rows().into_iter().eq(0..NUMBERS));
    // A batch comes as long as there is any room.
    let most = waited_max.load(Ordering::SeqCst);
    assert!((ROOM..ROOM + 1024).contains(&most), "{most} records waited");
    let refusals = refusals.load(Ordering::SeqCst);
    let times_full = NUMBERS as usize / (ROOM + 1024);
    assert!(refusals >= times_full, "full {refusals} times");
}
