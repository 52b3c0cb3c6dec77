//! One run of the job, watched from outside.

use std::path::{Path, PathBuf};
use std::time::Duration;

use floodmark::config::{CheckpointSection, StateSection};
use floodmark::connectors::{BlackholeSink, GeneratorSource, RowCount};
use floodmark::engine::{Engine, EngineSettings, JobHandle, StopRequest};
use floodmark::error::{Error, Result};
use floodmark::graph::{JobGraph, StreamBuilder};
use floodmark::model::CheckpointId;

use crate::operator::Newest;
use crate::source::{Pace, PacedSource};
use crate::stopwatch::{Stopwatch, pass};
use crate::store_folder::{self, Leftover};
use crate::workload::{Record, Records, Workload};

const JOB: &str = "state_space";
/// More splits than subtasks, so that each has the same share.
pub(crate) const SPLITS: u32 = 8;
const INTERVAL: Duration = Duration::from_millis(100);
const SAMPLE_PAUSE: Duration = Duration::from_millis(10);
/// The bytes of a key and its value.
pub(crate) const RECORD_BYTES: u64 = 16;

/// What is run.
#[derive(Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) workload: Workload,
    pub(crate) keys: u64,
    pub(crate) parallelism: usize,
    /// How many checkpoints are kept.
    pub(crate) retain: usize,
    /// Records a second, once all keys are in.
    pub(crate) rate: u64,
    pub(crate) duration: Duration,
}

/// What was seen.
pub(crate) struct Watched {
    /// The least and the most, in records.
    pub(crate) records: (u64, u64),
    /// Bytes in the store for each byte of live state.
    pub(crate) ratio_mean: f64,
    pub(crate) ratio_max: f64,
    pub(crate) bytes_per_second: f64,
    pub(crate) checkpoints: u64,
    pub(crate) leftover: Leftover,
}

/// Runs the job for a while once all keys are in, and watches the folder of its store.
pub(crate) fn watch(plan: &Plan, storage: &Path) -> Result<Watched> {
    let folder = tempfile::tempdir_in(storage);
    let folder = folder.map_err(|error| Error::io("make a folder for the store", error))?;
    let segments = tempfile::tempdir_in(memory());
    let segments = segments.map_err(|error| Error::io("make a folder for segments", error))?;
    let settings = EngineSettings {
        checkpoint: CheckpointSection {
            interval: Some(INTERVAL),
            retain: plan.retain,
            storage: folder.path().display().to_string(),
            ..CheckpointSection::default()
        },
        state: StateSection {
            directory: Some(segments.path().to_path_buf()),
            ..StateSection::default()
        },
        ..EngineSettings::default()
    };
    let handle = Engine::new(graph(plan)?, settings).start()?;
    let status = handle.status();
    while status.snapshot().records_out < plan.keys {
        pass(SAMPLE_PAUSE);
    }
    // The figures of the state come with a checkpoint, and the one that is under way may have begun before.
    let complete = status.snapshot().checkpoints_completed + 2;
    while status.snapshot().checkpoints_completed < complete {
        pass(SAMPLE_PAUSE);
    }
    let samples = Samples::take(&handle, folder.path(), plan.duration)?;
    handle.stop(StopRequest::default());
    handle.wait().into_result()?;
    Ok(samples.watched(store_folder::leftover(folder.path(), JOB)?))
}

fn graph(plan: &Plan) -> Result<JobGraph> {
    let records = Records::new(plan.workload, plan.keys);
    let pace = Pace {
        unlimited_rows: plan.keys,
        rows_per_second: plan.rate,
    };
    let job = StreamBuilder::new(JOB).parallelism(plan.parallelism);
    job.source("records", move || {
        let records = records.clone();
        let source = GeneratorSource::from_fn(None, SPLITS, move |_, index| records.record(index))?;
        Ok(PacedSource::new(source, Some(pace)))
    })
    .key_by(|(key, _): &Record| *key)
    .operator::<Record, _>("newest", || Ok(Newest::default()))
    .sink("out", || Ok(BlackholeSink::new(RowCount::default())));
    job.build()
}

struct Samples {
    ratios: Vec<f64>,
    records: (u64, u64),
    written: u64,
    checkpoints: u64,
    elapsed: Duration,
}

impl Samples {
    fn take(handle: &JobHandle, folder: &Path, duration: Duration) -> Result<Self> {
        let status = handle.status();
        let before = status.snapshot().checkpoints_completed;
        let mut samples = Self {
            ratios: Vec::new(),
            records: (u64::MAX, 0),
            written: 0,
            checkpoints: 0,
            elapsed: Duration::ZERO,
        };
        let mut last = CheckpointId::default();
        let stopwatch = Stopwatch::start();
        while stopwatch.elapsed() < duration {
            let now = status.snapshot();
            let live = now.state_records;
            let stored = store_folder::bytes(folder)?;
            samples
                .ratios
                .push(stored as f64 / (live * RECORD_BYTES) as f64);
            samples.records = (samples.records.0.min(live), samples.records.1.max(live));
            if let Some(checkpoint) = now.last_checkpoint.filter(|newest| newest.id > last) {
                last = checkpoint.id;
                samples.written += checkpoint.bytes;
            }
            pass(SAMPLE_PAUSE);
        }
        samples.checkpoints = status.snapshot().checkpoints_completed - before;
        samples.elapsed = stopwatch.elapsed();
        Ok(samples)
    }

    fn watched(&self, leftover: Leftover) -> Watched {
        let sum: f64 = self.ratios.iter().sum();
        Watched {
            records: self.records,
            ratio_mean: sum / self.ratios.len() as f64,
            ratio_max: self.ratios.iter().copied().fold(0.0, f64::max),
            bytes_per_second: self.written as f64 / self.elapsed.as_secs_f64(),
            checkpoints: self.checkpoints,
            leftover,
        }
    }
}

fn memory() -> PathBuf {
    let tmpfs = PathBuf::from("/dev/shm");
    if tmpfs.is_dir() {
        tmpfs
    } else {
        std::env::temp_dir()
    }
}
