//! The job, typed or as TOML, and one measurement of it.

use std::time::Duration;

use floodmark::config::{CheckpointSection, JobFile, LinkSection};
use floodmark::connectors::{BlackholeSink, GeneratorSource, RowCount};
use floodmark::engine::{Engine, EngineSettings, JobHandle, JobOutcome};
use floodmark::graph::{self, JobGraph, StreamBuilder};

use crate::recorder::StallRecorder;
use crate::stopwatch::{Stopwatch, pass};

/// More splits than subtasks, so that each has the same share.
const SPLITS: u32 = 8;

/// What is to be measured.
pub(crate) struct Plan {
    pub(crate) keys: u64,
    pub(crate) parallelism: usize,
    pub(crate) interval: Option<Duration>,
    pub(crate) duration: Duration,
    pub(crate) is_toml: bool,
    pub(crate) storage: Option<String>,
    pub(crate) link_rows: Option<usize>,
}

/// What was measured.
#[derive(Clone)]
pub(crate) struct Measurement {
    pub(crate) records_per_second: f64,
    /// The median of the checkpoints; zero when there was none.
    pub(crate) checkpoint_seconds: f64,
    pub(crate) checkpoint_bytes: f64,
    pub(crate) stall_p50: f64,
    pub(crate) stall_p99: f64,
    pub(crate) stall_max: f64,
}

/// A record: key, value, time.
type Record = (u64, i64, i64);

/// The record with this index; keys are uniform. The same for the engine and for the hand-written loop.
#[inline]
pub(crate) fn record(index: u64, keys: u64) -> Record {
    let mixed = mix(index);
    // The upper half of a product with a uniform number is uniform below the other factor.
    let key = ((u128::from(mixed) * u128::from(keys)) >> 64) as u64;
    (key, (mixed & 0xff) as i64, index as i64)
}

/// Splitmix64's finaliser: neighbouring indexes give unrelated numbers.
#[inline]
fn mix(index: u64) -> u64 {
    let mut mixed = index.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// Runs the job until every key has been met a few times, then measures.
pub(crate) fn measure(plan: &Plan, recorder: &StallRecorder) -> Measurement {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let storage = plan
        .storage
        .clone()
        .unwrap_or_else(|| folder.path().display().to_string());
    let (handle, done) = start(plan, storage);
    let warm = plan.keys * 3;
    while done(&handle) < warm {
        pass(Duration::from_millis(20));
    }
    // From here on checkpoints hold what one interval changes, and no longer the first filling of the state.
    pass(
        plan.interval
            .unwrap_or_default()
            .min(Duration::from_secs(1)),
    );
    recorder.take();
    let stopwatch = Stopwatch::start();
    let before = done(&handle);
    pass(plan.duration);
    let records = done(&handle) - before;
    let seconds = stopwatch.elapsed().as_secs_f64();
    let recorded = recorder.take();
    handle.cancel();
    let outcome = handle.wait();
    assert!(matches!(outcome, JobOutcome::Cancelled), "{outcome:?}");
    let quantile = |values: &[f64], share: f64| {
        let index = (values.len() as f64 * share) as usize;
        let last = values.len().saturating_sub(1);
        values.get(index.min(last)).copied().unwrap_or_default()
    };
    Measurement {
        records_per_second: records as f64 / seconds,
        checkpoint_seconds: quantile(&recorded.durations, 0.5),
        checkpoint_bytes: quantile(&recorded.bytes, 0.5),
        stall_p50: quantile(&recorded.stalls, 0.5),
        stall_p99: quantile(&recorded.stalls, 0.99),
        stall_max: quantile(&recorded.stalls, 1.0),
    }
}

type Done = Box<dyn Fn(&JobHandle) -> u64>;

fn start(plan: &Plan, storage: String) -> (JobHandle, Done) {
    let count = RowCount::default();
    let graph = if plan.is_toml {
        toml_graph(plan)
    } else {
        typed_graph(plan, count.clone())
    };
    let mut link = LinkSection::default();
    link.rows_max = plan.link_rows.unwrap_or(link.rows_max);
    let settings = EngineSettings {
        link,
        checkpoint: CheckpointSection {
            interval: plan.interval,
            // A checkpoint that takes longer than its interval shows in the table, and does not end the run.
            tolerable_failures: u32::MAX,
            storage,
            ..CheckpointSection::default()
        },
        fresh: true,
        ..EngineSettings::default()
    };
    let handle = Engine::new(graph, settings).start().unwrap();
    let done: Done = if plan.is_toml {
        Box::new(|handle| handle.status().snapshot().records_out)
    } else {
        Box::new(move |_| count.get())
    };
    (handle, done)
}

fn typed_graph(plan: &Plan, count: RowCount) -> JobGraph {
    let keys = plan.keys;
    let job = StreamBuilder::new("keyed_sum").parallelism(plan.parallelism);
    job.source("records", move || {
        GeneratorSource::from_fn(None, SPLITS, move |_, index| record(index, keys))
    })
    .key_by(|(key, _, _): &Record| *key)
    .reduce(
        "sums",
        |_| 0_i64,
        |(key, value, _), mut sum| {
            *sum = (sum.to_native() + value).into();
            (*key, sum.to_native())
        },
    )
    .sink("out", move || Ok(BlackholeSink::new(count.clone())));
    job.build().unwrap()
}

fn toml_graph(plan: &Plan) -> JobGraph {
    let Plan {
        keys, parallelism, ..
    } = plan;
    let text = format!(
        "[job]\n\
         name = 'keyed_sum'\n\
         parallelism = {parallelism}\n\
         [[source]]\n\
         id = 'records'\n\
         type = 'generator'\n\
         schema = 'key-value'\n\
         keys = {keys}\n\
         splits = {SPLITS}\n\
         [[operator]]\n\
         id = 'sums'\n\
         type = 'aggregate'\n\
         input = 'records'\n\
         key = ['key']\n\
         [operator.aggregates]\n\
         total = 'sum(value)'\n\
         [[sink]]\n\
         id = 'out'\n\
         type = 'blackhole'\n\
         input = 'sums'\n"
    );
    let file = JobFile::parse("keyed_sum.toml", &text).unwrap();
    graph::build(&file).unwrap()
}
