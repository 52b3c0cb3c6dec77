//! A savepoint of a job with unaligned checkpoints whose links are full: it holds no records in flight, and is gone on from
//! anywhere.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};

use floodmark::config::{CheckpointSection, LinkSection};
use floodmark::connectors::{GeneratorSource, MemoryOutput, MemorySink};
use floodmark::engine::{
    Engine, EngineSettings, JobHandle, JobOutcome, SavepointRequest, StartFrom,
};
use floodmark::error::Result;
use floodmark::graph::StreamBuilder;
use floodmark::model::{Batch, CheckpointId};
use floodmark::operator::{BackgroundWork, OperatorContext, OperatorSnapshot, Sink};

const NUMBERS: u64 = 100_000;
const KEYS: u64 = 8;

/// A key, and how many of its numbers there have been.
type Count = (u64, u64);

/// Holds its worker up at the first batch that comes to any of its subtasks, until the test lets go.
#[derive(Clone)]
struct Held {
    has_held: Arc<AtomicBool>,
    begun: SyncSender<()>,
    release: Arc<Mutex<Receiver<()>>>,
}

struct HeldSink {
    held: Held,
    sink: MemorySink<Count>,
}

impl Sink for HeldSink {
    fn open(&mut self, context: &mut OperatorContext<'_>) -> Result<()> {
        self.sink.open(context)
    }

    fn write(&mut self, batch: Batch) -> Result<()> {
        if !self.held.has_held.swap(true, Ordering::SeqCst) {
            self.held.begun.send(()).unwrap();
            let _ = self.held.release.lock().unwrap().recv();
        }
        self.sink.write(batch)
    }

    fn snapshot(&mut self, checkpoint: CheckpointId) -> Result<OperatorSnapshot> {
        self.sink.snapshot(checkpoint)
    }

    fn commit(&mut self, checkpoint: CheckpointId) -> Result<Vec<BackgroundWork>> {
        self.sink.commit(checkpoint)
    }
}

fn start(
    folder: &Path,
    parallelism: usize,
    unaligned: bool,
    from: Option<String>,
    output: &MemoryOutput<Count>,
    held: Held,
) -> JobHandle {
    let job = StreamBuilder::new("counts").parallelism(parallelism);
    let numbers = job.source::<u64, _>("numbers", || {
        GeneratorSource::from_fn(Some(NUMBERS), 4, |_, index| index)
    });
    let keyed = numbers.key_by(|number| number % KEYS).unaligned();
    let counts = keyed.reduce(
        "counts",
        |_| 0_u64,
        |number, mut count| {
            *count = (count.to_native() + 1).into();
            (number % KEYS, count.to_native())
        },
    );
    let output = output.clone();
    counts.sink("out", move || {
        Ok(HeldSink {
            held: held.clone(),
            sink: MemorySink::of_rows(&output),
        })
    });
    let settings = EngineSettings {
        checkpoint: CheckpointSection {
            unaligned,
            storage: folder.join("checkpoints").display().to_string(),
            savepoint_dir: Some(folder.join("savepoints").display().to_string()),
            ..CheckpointSection::default()
        },
        link: LinkSection {
            rows_max: 64,
            elements_max: 4,
        },
        start_from: from.map(StartFrom::new),
        ..EngineSettings::default()
    };
    Engine::new(job.build().unwrap(), settings).start().unwrap()
}

fn finish(handle: JobHandle) {
    let outcome = handle.wait();
    assert!(matches!(outcome, JobOutcome::Finished), "{outcome:?}");
}

/// The counts of each key that were given out, in order.
fn counts(output: &MemoryOutput<Count>) -> BTreeMap<u64, Vec<u64>> {
    let mut counts = BTreeMap::<u64, Vec<u64>>::new();
    for (key, count) in output.rows() {
        counts.entry(key).or_default().push(count);
    }
    counts
        .values_mut()
        .for_each(|counts| counts.sort_unstable());
    counts
}

#[test]
fn a_savepoint_under_back_pressure_is_aligned_and_gone_on_from_elsewhere() {
    let folder = tempfile::tempdir().unwrap();
    let (begun, has_begun) = sync_channel(1);
    let (release, released) = sync_channel(1);
    let held = Held {
        has_held: Arc::default(),
        begun,
        release: Arc::new(Mutex::new(released)),
    };
    let output = MemoryOutput::default();
    let handle = start(folder.path(), 2, true, None, &output, held.clone());
    has_begun.recv().unwrap();
    // One of two workers stands still, and the other fills its links. The savepoint is triggered before anything moves.
    let savepoint = handle.savepoint(SavepointRequest::default());
    drop(release);
    let savepoint = savepoint.wait().unwrap();
    finish(handle);
    for counts in counts(&output).into_values() {
        assert!(counts.into_iter().eq(1..=NUMBERS / KEYS));
    }
    let manifest = fs::read_to_string(Path::new(&savepoint.path).join("manifest.json")).unwrap();
    assert!(!manifest.contains("in_flight"), "{manifest}");

    for (parallelism, unaligned) in [(3, false), (1, true)] {
        let elsewhere = tempfile::tempdir().unwrap();
        let output = MemoryOutput::default();
        let from = Some(savepoint.path.clone());
        let held = held.clone();
        finish(start(
            elsewhere.path(),
            parallelism,
            unaligned,
            from,
            &output,
            held,
        ));
        let counts = counts(&output);
        assert_eq!(counts.len() as u64, KEYS);
        for counts in counts.into_values() {
            assert!(counts.iter().copied().eq(counts[0]..=NUMBERS / KEYS));
        }
    }
}
