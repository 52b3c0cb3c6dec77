//! The end of a job: nothing of it goes on when it is said to have ended.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use floodmark::config::{CheckpointSection, StateSection};
use floodmark::connectors::GeneratorSource;
use floodmark::engine::{Engine, EngineSettings, JobOutcome};
use floodmark::error::Result;
use floodmark::graph::StreamBuilder;
use floodmark::model::{Batch, CheckpointId};
use floodmark::operator::{BackgroundWork, OperatorContext, OperatorSnapshot, Sink};

/// How long the job is watched while it must not end. A job that does not wait ends much sooner.
const WATCHED: Duration = Duration::from_millis(300);

/// Commits nothing, and takes as long for it as the test likes.
#[derive(Clone)]
struct SlowSink {
    begun: SyncSender<()>,
    release: Arc<Mutex<Receiver<()>>>,
}

impl Sink for SlowSink {
    fn open(&mut self, _context: &mut OperatorContext<'_>) -> Result<()> {
        Ok(())
    }

    fn write(&mut self, _batch: Batch) -> Result<()> {
        Ok(())
    }

    fn snapshot(&mut self, _checkpoint: CheckpointId) -> Result<OperatorSnapshot> {
        Ok(OperatorSnapshot::default())
    }

    fn commit(&mut self, _checkpoint: CheckpointId) -> Result<Vec<BackgroundWork>> {
        let Self { begun, release } = self.clone();
        Ok(vec![Box::new(move || {
            // Commits after the first have nobody to tell, and are not held up.
            let _ = begun.try_send(());
            let _ = release.lock().unwrap().recv();
            Ok(())
        })])
    }
}

/// A job was once said to have ended while its sink could still be renaming files, which the next run does as well.
#[test]
fn a_job_ends_only_when_what_it_has_begun_in_the_background_is_done() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let (begun, has_begun) = sync_channel(1);
    let (release, released) = sync_channel(1);
    let sink = SlowSink {
        begun,
        release: Arc::new(Mutex::new(released)),
    };
    let job = StreamBuilder::new("slow");
    let numbers = job.source::<u64, _>("numbers", || {
        Ok(GeneratorSource::from_fn(None, 1, |_, index| index)?.with_rate(1_000))
    });
    numbers.sink("out", move || Ok(sink.clone()));
    let settings = EngineSettings {
        checkpoint: CheckpointSection {
            interval: Some(Duration::from_millis(5)),
            storage: path("checkpoints").display().to_string(),
            ..CheckpointSection::default()
        },
        state: StateSection {
            directory: Some(path("state")),
            ..StateSection::default()
        },
        ..EngineSettings::default()
    };
    let handle = Engine::new(job.build().unwrap(), settings).start().unwrap();

    has_begun.recv().unwrap();
    handle.cancel();
    let (sender, outcome) = sync_channel(1);
    let waiter = thread::Builder::new().spawn(move || sender.send(handle.wait()).unwrap());
    let early = outcome.recv_timeout(WATCHED);
    assert!(early.is_err(), "it has ended before its work: {early:?}");
    drop(release);
    let outcome = outcome.recv().unwrap();
    assert!(matches!(outcome, JobOutcome::Cancelled), "{outcome:?}");
    waiter.unwrap().join().unwrap();
}
