//! The job, and the two processes that run it one after the other.

use std::path::PathBuf;
use std::time::Duration;

use floodmark::config::{CheckpointSection, StateSection};
use floodmark::connectors::{BlackholeSink, GeneratorSource, RowCount};
use floodmark::engine::{Engine, EngineSettings, JobHandle};
use floodmark::error::Result;
use floodmark::graph::{JobGraph, StreamBuilder};

use crate::operator::{SumSettings, Sums};
use crate::progress::{Stage, tell};
use crate::record::{Record, record};
use crate::source::{Pace, PacedSource};
use crate::stopwatch::pass;
use crate::value::SumValue;

/// More splits than subtasks, so that each has the same share.
const SPLITS: u32 = 8;
const INTERVAL: Duration = Duration::from_millis(100);
/// A longer value than this does not lie in the table itself.
const FIXED_VALUE_BYTES: usize = 8;

/// What both processes run.
#[derive(Clone)]
pub(crate) struct JobPlan {
    pub(crate) keys: u64,
    pub(crate) value_bytes: usize,
    pub(crate) parallelism: usize,
    /// Where checkpoints go.
    pub(crate) storage: PathBuf,
    /// Where working segments go.
    pub(crate) segments: PathBuf,
}

/// Runs the job until somebody kills the process. Once all keys are in, records come at `rate` a second.
pub(crate) fn run_until_killed(plan: &JobPlan, rate: u64) -> Result<()> {
    let pace = Pace {
        unlimited_rows: plan.keys,
        rows_per_second: rate,
    };
    let handle = start(plan, None, Some(pace))?;
    let status = handle.status();
    while status.snapshot().state_records < plan.keys {
        pass(Duration::from_millis(5));
    }
    // The checkpoint that is under way may have begun before.
    let complete = status.snapshot().checkpoints_completed + 2;
    while status.snapshot().checkpoints_completed < complete {
        pass(Duration::from_millis(5));
    }
    tell(Stage::Filled);
    handle.wait().into_result()
}

/// Runs the job to its end: the record before `rows`. The state is checked then.
pub(crate) fn run_to_the_end(plan: &JobPlan, rows: u64) -> Result<()> {
    let handle = start(plan, Some(rows), None)?;
    tell(Stage::Started);
    handle.wait().into_result()
}

fn start(plan: &JobPlan, rows: Option<u64>, pace: Option<Pace>) -> Result<JobHandle> {
    let graph = if plan.value_bytes <= FIXED_VALUE_BYTES {
        graph::<i64>(plan, rows, pace)
    } else {
        graph::<Vec<u8>>(plan, rows, pace)
    };
    let settings = EngineSettings {
        checkpoint: CheckpointSection {
            interval: Some(INTERVAL),
            storage: plan.storage.display().to_string(),
            ..CheckpointSection::default()
        },
        state: StateSection {
            directory: Some(plan.segments.clone()),
            local_recovery: true,
            ..StateSection::default()
        },
        ..EngineSettings::default()
    };
    Engine::new(graph?, settings).start()
}

fn graph<V: SumValue>(plan: &JobPlan, rows: Option<u64>, pace: Option<Pace>) -> Result<JobGraph> {
    let keys = plan.keys;
    let settings = SumSettings {
        keys,
        value_bytes: plan.value_bytes,
        rows,
    };
    let job = StreamBuilder::new("recovery").parallelism(plan.parallelism);
    job.source("records", move || {
        let records = GeneratorSource::from_fn(rows, SPLITS, move |_, index| record(index, keys))?;
        Ok(PacedSource::new(records, pace))
    })
    .key_by(|(key, _): &Record| *key)
    .operator::<Record, _>("sums", move || Ok(Sums::<V>::new(settings)))
    .sink("out", || Ok(BlackholeSink::new(RowCount::default())));
    job.build()
}
