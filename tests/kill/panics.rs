//! Exactly once through panics: an operator panics at random moments, the job is restarted within the process, and what
//! it has committed in the end must equal what one undisturbed pass gives.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use floodmark::config::{CheckpointSection, RestartSection, RestartStrategyKind, StateSection};
use floodmark::connectors::{GeneratorSource, MemoryOutput, MemorySink};
use floodmark::engine::{Engine, EngineSettings, JobOutcome};
use floodmark::error::Result;
use floodmark::graph::StreamBuilder;

use super::process::seed;

/// How often the job panics at least, if it is not done before.
const PANICS: u64 = 25;
const NUMBERS: u64 = 400_000;
const KEYS: u64 = 5_000;
/// In how many splits the numbers come. The number of keys is a multiple of it, so all numbers of a key come in one order.
const SPLITS: u32 = 4;

#[test]
fn a_job_survives_panics_at_parallelism_1() {
    check(1, false);
}

#[test]
fn a_job_survives_panics_at_parallelism_3() {
    check(3, false);
}

#[test]
fn a_job_with_local_recovery_survives_panics() {
    check(2, true);
}

/// When the next panic comes: shared by all subtasks and all attempts.
struct Fuse {
    seed: u64,
    /// How many rows are left until then.
    rows: AtomicI64,
    panics: AtomicU64,
}

impl Fuse {
    fn new(seed: u64) -> Self {
        let fuse = Self {
            seed,
            rows: AtomicI64::new(0),
            panics: AtomicU64::new(0),
        };
        fuse.set(0);
        fuse
    }

    /// Draws when the panic of this number comes: now and then at once, so that the next attempt does not get far.
    fn set(&self, number: u64) {
        let mut random = fastrand::Rng::with_seed(self.seed.wrapping_add(number));
        let rows = match random.u8(0..4) {
            0 => random.i64(1..100),
            _ => random.i64(1..60_000),
        };
        self.rows.store(rows, Ordering::SeqCst);
    }

    fn burn(&self) {
        if self.rows.fetch_sub(1, Ordering::SeqCst) == 1 {
            let number = self.panics.fetch_add(1, Ordering::SeqCst) + 1;
            if number < PANICS {
                self.set(number);
            }
            panic!("panic {number}");
        }
    }
}

fn check(parallelism: usize, local_recovery: bool) {
    let seed = seed(40 + parallelism as u64);
    let fuse = Arc::new(Fuse::new(seed));
    let output = MemoryOutput::<(u64, u64)>::default();
    let job = StreamBuilder::new("panics").parallelism(parallelism);
    let numbers = job.source::<u64, _>("numbers", || {
        GeneratorSource::from_fn(Some(NUMBERS), SPLITS, |_, index| index)
    });
    let burning = Arc::clone(&fuse);
    let sums = numbers.key_by(|number| number % KEYS).reduce(
        "sums",
        |_| 0_u64,
        move |number, mut sum| {
            burning.burn();
            *sum = (sum.to_native() + number).into();
            (number % KEYS, sum.to_native())
        },
    );
    let committed = output.clone();
    sums.sink("out", move || -> Result<_> {
        Ok(MemorySink::of_rows(&committed))
    });

    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let settings = EngineSettings {
        checkpoint: CheckpointSection {
            interval: Some(Duration::from_millis(10)),
            storage: path("checkpoints").display().to_string(),
            ..CheckpointSection::default()
        },
        restart: RestartSection {
            attempts: u32::MAX,
            delay: Duration::ZERO,
            ..RestartSection::of(RestartStrategyKind::FixedDelay)
        },
        state: StateSection {
            directory: Some(path("state")),
            local_recovery,
            ..StateSection::default()
        },
        ..EngineSettings::default()
    };
    let handle = Engine::new(job.build().unwrap(), settings).start().unwrap();
    let status = handle.status();
    let outcome = handle.wait();
    assert!(
        matches!(outcome, JobOutcome::Finished),
        "seed {seed}: {outcome:?}"
    );
    let status = status.snapshot();
    println!(
        "{} restarts, {} checkpoints",
        status.restarts, status.checkpoints_completed
    );
    assert!(status.restarts >= 5, "seed {seed}: {status:?}");
    let mut found = output.rows();
    found.sort_unstable();
    assert!(found == expected(), "seed {seed}: the results differ");
}

/// All running sums, in one pass and without the engine: sorted.
fn expected() -> Vec<(u64, u64)> {
    let mut sums = BTreeMap::<u64, u64>::new();
    let mut all: Vec<_> = (0..NUMBERS)
        .map(|number| {
            let sum = sums.entry(number % KEYS).or_default();
            *sum += number;
            (number % KEYS, *sum)
        })
        .collect();
    all.sort_unstable();
    all
}
