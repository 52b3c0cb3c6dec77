//! Jobs that go on in another mode, at another parallelism, from a checkpoint that was taken in the midst of their work.

use std::collections::BTreeMap;

use super::*;
use crate::config::{CheckpointMode, CheckpointSection, LinkSection};
use crate::connectors::MemoryOutput;
use crate::graph::StreamBuilder;
use crate::testing::{RowsIn, collect};

const KEYS: u64 = 5;
/// How many rows are pushed in each stage at most, and at a time: so many of each key.
const ROWS: u64 = 300;
const ROWS_AT_ONCE: u64 = 2 * KEYS;
const INTERVAL: Duration = Duration::from_millis(10);
const SEEDS: u64 = 24;
/// So many runs at least must have gone on from records in flight.
const IN_FLIGHT_MIN: usize = 5;

/// How checkpoints are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Aligned,
    Unaligned,
    /// Aligned at first, and unaligned when that takes too long.
    Late,
    AtLeastOnce,
}
use Mode::{Aligned, AtLeastOnce, Late, Unaligned};

impl Mode {
    fn settings(self) -> EngineSettings {
        let checkpoint = CheckpointSection {
            interval: Some(INTERVAL),
            mode: match self {
                AtLeastOnce => CheckpointMode::AtLeastOnce,
                _ => CheckpointMode::ExactlyOnce,
            },
            unaligned: matches!(self, Unaligned | Late),
            aligned_timeout: match self {
                Late => INTERVAL / 2,
                _ => Duration::ZERO,
            },
            ..CheckpointSection::default()
        };
        EngineSettings {
            checkpoint,
            // Small enough that links are full all the time.
            link: LinkSection {
                rows_max: 8,
                elements_max: 4,
            },
            ..EngineSettings::default()
        }
    }
}

/// A key, and how many of its rows there have been.
type Count = (u64, u64);

fn counts() -> (RowsIn<u64>, MemoryOutput<Count>, JobGraph) {
    let (job, rows) = (StreamBuilder::new("counts"), RowsIn::new());
    let keyed = rows.add_to(&job, "rows").key_by(|row: &u64| row % KEYS);
    let counts = keyed.unaligned().reduce(
        "counts",
        |_| 0_u64,
        |row, mut count| {
            *count = (count.to_native() + 1).into();
            (row % KEYS, count.to_native())
        },
    );
    let output = collect(&counts, "out");
    (rows, output, job.build().unwrap())
}

/// What became of one run.
struct Outcome {
    /// How many checkpoints with records in flight the job went on from.
    in_flight: usize,
    /// All counts of each key, in order.
    counts: BTreeMap<u64, Vec<u64>>,
    pushed: u64,
}

/// Runs a job through these stages, each cut short by a crash in the midst of work, and then to its end in the last mode.
fn run(stages: &[(Mode, usize)], seed: u64) -> Outcome {
    let (rows, output, graph) = counts();
    let settings = stages[0].0.settings();
    let mut harness = JobHarness::with_settings(graph, settings)
        .unwrap()
        .with_seed(seed);
    let mut random = Rng::with_seed(seed);
    let mut in_flight = 0;
    let mut pushed = 0;
    for (mode, parallelism) in stages {
        harness.set_settings(mode.settings());
        harness.restore_at(*parallelism).unwrap();
        let before = harness.completed().count();
        let end = pushed + ROWS;
        // A few rows at a time, so that there is always something on the links.
        while pushed < end {
            rows.push(pushed..pushed + ROWS_AT_ONCE);
            pushed += ROWS_AT_ONCE;
            harness.clock().advance(INTERVAL / 2);
            harness.run_actions(random.usize(1..40)).unwrap();
            if harness.completed().count() > before && random.u8(0..8) == 0 {
                break;
            }
        }
        let newest = harness.newest().map(|id| format!("counts/chk-{id}/"));
        let is_in_flight = |path: &String| {
            let is_of_newest = newest
                .as_ref()
                .is_some_and(|newest| path.starts_with(newest));
            is_of_newest && path.ends_with(".inflight")
        };
        in_flight += usize::from(harness.disk.paths().iter().any(is_in_flight));
        harness.crash();
    }
    harness.start().unwrap();
    rows.finish();
    let outcome = harness.run_to_end().unwrap();
    assert!(matches!(outcome, JobOutcome::Finished), "{outcome:?}");
    let mut counts: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
    for (key, count) in output.rows() {
        counts.entry(key).or_default().push(count);
    }
    counts
        .values_mut()
        .for_each(|counts| counts.sort_unstable());
    Outcome {
        in_flight,
        counts,
        pushed,
    }
}

/// Each count is given out once, and there are as many as rows; with an at-least-once stage, perhaps more.
fn check(stages: &[(Mode, usize)], seed: u64) -> usize {
    let story = format!("{stages:?}, seed {seed}");
    let outcome = run(stages, seed);
    let rows = outcome.pushed / KEYS;
    let is_exact = stages.iter().all(|(mode, _)| *mode != AtLeastOnce);
    for key in 0..KEYS {
        let counts = &outcome.counts[&key];
        let all = counts.len() as u64;
        assert!(counts.iter().copied().eq(1..=all), "{story}: {counts:?}");
        assert!(all >= rows && !(is_exact && all > rows), "{story}: {all}");
    }
    outcome.in_flight
}

fn check_seeds(stages: &[(Mode, usize)]) -> usize {
    (0..SEEDS).map(|seed| check(stages, seed)).sum()
}

#[test]
fn an_unaligned_checkpoint_is_gone_on_from_by_an_aligned_job_and_back() {
    let mut in_flight = 0;
    for mode in [Unaligned, Late] {
        in_flight += check_seeds(&[(mode, 2), (Aligned, 2), (mode, 2)]);
    }
    assert!(in_flight >= IN_FLIGHT_MIN, "{in_flight}");
}

#[test]
fn what_was_in_flight_is_distributed_anew_at_another_parallelism() {
    let mut in_flight = 0;
    for stages in [
        [(Unaligned, 2), (Aligned, 3), (Unaligned, 1)],
        [(Unaligned, 3), (Unaligned, 2), (Aligned, 1)],
        [(Late, 3), (Aligned, 1), (Unaligned, 2)],
    ] {
        in_flight += check_seeds(&stages);
    }
    assert!(in_flight >= IN_FLIGHT_MIN, "{in_flight}");
}

/// An aligned barrier or an unaligned one promises the same, whatever the checkpoint before had promised.
#[test]
fn a_job_goes_on_from_at_least_once_to_exactly_once_and_back() {
    for stages in [
        [(AtLeastOnce, 2), (Aligned, 2), (AtLeastOnce, 3)],
        [(AtLeastOnce, 3), (Unaligned, 3), (Aligned, 2)],
        [(Unaligned, 2), (AtLeastOnce, 2), (Late, 3)],
    ] {
        check_seeds(&stages);
    }
}
