//! The job, and one measurement of it.

use std::time::Duration;

use floodmark::config::CheckpointSection;
use floodmark::connectors::GeneratorSource;
use floodmark::engine::{Engine, EngineSettings, JobHandle, JobOutcome};
use floodmark::graph::{JobGraph, StreamBuilder};
use floodmark::telemetry::LastCheckpoint;

use crate::slow_sink::{SlowSink, pass};

/// Enough to have each link full.
const WARM_UP: Duration = Duration::from_secs(2);

/// From the end of a checkpoint to the trigger of the next, so that the links are full again.
const PAUSE: Duration = Duration::from_millis(300);

/// How often it is looked whether a checkpoint is complete. The duration is the engine's own, so this adds nothing to it.
const LOOK: Duration = Duration::from_millis(2);

const KEYS: u64 = 1_000;

/// What is to be measured.
pub(crate) struct Plan {
    /// What all sinks together take.
    pub(crate) records_per_second: u64,
    pub(crate) parallelism: usize,
    /// When barriers begin to overtake; nothing when they never do.
    pub(crate) overtaking_after: Option<Duration>,
    pub(crate) checkpoints: usize,
}

/// What was measured.
pub(crate) struct Measurement {
    /// From the trigger of each checkpoint to its durable manifest.
    pub(crate) durations: Vec<Duration>,
    /// What the last one added to the store.
    pub(crate) bytes: u64,
}

pub(crate) fn measure(plan: &Plan) -> Measurement {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let settings = EngineSettings {
        checkpoint: CheckpointSection {
            unaligned: plan.overtaking_after.is_some(),
            aligned_timeout: plan.overtaking_after.unwrap_or_default(),
            storage: folder.path().display().to_string(),
            ..CheckpointSection::default()
        },
        fresh: true,
        ..EngineSettings::default()
    };
    let handle = Engine::new(graph(plan), settings).start().unwrap();
    pass(WARM_UP);
    let mut measured = Measurement {
        durations: Vec::new(),
        bytes: 0,
    };
    for _ in 0..plan.checkpoints {
        let completed = checkpoint(&handle);
        measured.durations.push(completed.duration);
        measured.bytes = completed.bytes;
        pass(PAUSE);
    }
    handle.cancel();
    let outcome = handle.wait();
    assert!(matches!(outcome, JobOutcome::Cancelled), "{outcome:?}");
    measured
}

fn checkpoint(handle: &JobHandle) -> LastCheckpoint {
    let last = || handle.status().snapshot().last_checkpoint;
    let before = last().map(|checkpoint| checkpoint.id);
    handle.checkpoint();
    loop {
        match last() {
            Some(checkpoint) if Some(checkpoint.id) != before => return checkpoint,
            _ => pass(LOOK),
        }
    }
}

fn graph(plan: &Plan) -> JobGraph {
    let parallelism = plan.parallelism as u64;
    let rate = plan.records_per_second / parallelism;
    let job = StreamBuilder::new("back_pressure").parallelism(plan.parallelism);
    job.source("numbers", || {
        GeneratorSource::from_fn(None, 8, |_, index| (index % KEYS, index))
    })
    .key_by(|(key, _): &(u64, u64)| *key)
    .unaligned()
    .reduce(
        "sums",
        |_| 0_u64,
        |(key, value), mut sum| {
            *sum = sum.to_native().wrapping_add(*value).into();
            (*key, sum.to_native())
        },
    )
    .sink("out", move || Ok(SlowSink::new(rate)));
    job.build().unwrap()
}
