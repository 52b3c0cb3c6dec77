//! What a stop does to timers: drained, a job comes to the end of event time, and otherwise it does not.

use std::sync::mpsc::sync_channel;

use floodmark::connectors::{MemoryOutput, MemorySink};
use floodmark::engine::{Engine, EngineSettings, JobOutcome, StopRequest};
use floodmark::error::Result;
use floodmark::graph::StreamBuilder;
use floodmark::model::EventTime;
use floodmark::operator::{ProcessContext, ProcessFunction};
use floodmark::state::Timer;

use crate::support::Halves;

/// Says a key when event time is almost over.
struct LastWord;

impl ProcessFunction for LastWord {
    type In = u64;
    type Key = u64;
    type Out = u64;

    fn process(
        &mut self,
        _key: &u64,
        _number: u64,
        context: &mut ProcessContext<'_, u64, u64>,
    ) -> Result<()> {
        context.register_event_time(EventTime(i64::MAX / 2))
    }

    fn on_timer(
        &mut self,
        key: &u64,
        _timer: Timer,
        context: &mut ProcessContext<'_, u64, u64>,
    ) -> Result<()> {
        context.emit(*key);
        Ok(())
    }
}

/// Stops the job when it has seen the numbers 0, 1 and 2. Gives how it ended, and what it has put out.
fn stop(drain: bool) -> (JobOutcome, Vec<u64>) {
    let folder = tempfile::tempdir().unwrap();
    let output = MemoryOutput::default();
    let (sender, emitted) = sync_channel(1);
    let job = StreamBuilder::new("last-words").parallelism(2);
    job.source::<u64, _>("numbers", move || Ok(Halves::new(3, false, &sender)))
        .key_by(|number| *number)
        .process("last", || Ok(LastWord))
        .sink("out", {
            let output = output.clone();
            move || Ok(MemorySink::of_rows(&output))
        });
    let settings = EngineSettings::default().with_storage(folder.path().to_string_lossy());
    let engine = Engine::new(job.build().unwrap(), settings);
    let handle = engine.start().unwrap();
    emitted.recv().unwrap();
    let request = StopRequest {
        savepoint: None,
        drain,
    };
    handle.stop(request).wait().unwrap();
    let outcome = handle.wait();
    let mut rows = output.rows();
    rows.sort_unstable();
    (outcome, rows)
}

#[test]
fn a_drain_fires_all_timers_and_a_stop_fires_none() {
    let (outcome, rows) = stop(true);
    assert!(matches!(outcome, JobOutcome::Finished), "{outcome:?}");
    assert_eq!(rows, [0, 1, 2]);
    let (outcome, rows) = stop(false);
    assert!(matches!(outcome, JobOutcome::Stopped), "{outcome:?}");
    assert_eq!(rows, [0_u64; 0]);
}
