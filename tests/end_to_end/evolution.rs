//! A job whose state changes its type between two runs.

use std::collections::BTreeMap;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::Duration;

use floodmark::connectors::{MemoryOutput, MemorySink};
use floodmark::engine::{Engine, EngineSettings, JobHandle, JobOutcome, StopRequest};
use floodmark::error::{Error, ErrorKind};
use floodmark::graph::{JobGraph, KeyedStream, Stream, StreamBuilder};
use floodmark::state::StateSpec;

use crate::support::Halves;

const KEYS: u64 = 10;

/// A key, and the sum of its numbers so far.
type Sum = (u64, u64);

/// The numbers, by their key.
type Numbers = KeyedStream<u64, u64, fn(&u64) -> u64>;

/// Running sums by key, first as integers and then as floats of the same size.
struct Sums {
    folder: tempfile::TempDir,
    output: MemoryOutput<Sum>,
    /// With one, which no test reaches, checkpoints are made of deltas, and without it of bases.
    interval: Option<Duration>,
}

/// How a run differs from the others.
#[derive(Clone, Copy)]
struct Run {
    parallelism: usize,
    /// Up to which number the source goes.
    end: u64,
    is_last: bool,
}

impl Sums {
    /// One job whose checkpoints are made of deltas, and one whose are not.
    fn of_both_kinds() -> [Self; 2] {
        [None, Some(Duration::from_secs(3600))].map(|interval| Self {
            folder: tempfile::tempdir().unwrap(),
            output: MemoryOutput::default(),
            interval,
        })
    }

    /// Starts the job with sums of version 1, and waits until the source has emitted all that it may.
    fn start_integers(&self, run: Run) -> JobHandle {
        self.start(run, |numbers| {
            numbers.reduce_with_state(
                "sums",
                "totals",
                |_| 0_u64,
                |number, mut sum| {
                    *sum = (sum.to_native() + number).into();
                    (number % KEYS, sum.to_native())
                },
            )
        })
    }

    /// The same with sums of version 2.
    fn start_floats(&self, run: Run, spec: &StateSpec<f64>) -> JobHandle {
        self.start(run, |numbers| {
            numbers.reduce_with_state(
                "sums",
                spec.clone(),
                |_| 0.0,
                |number, mut sum| {
                    *sum = (sum.to_native() + *number as f64).into();
                    (number % KEYS, sum.to_native() as u64)
                },
            )
        })
    }

    fn start(&self, run: Run, reduce: impl FnOnce(&Numbers) -> Stream<Sum>) -> JobHandle {
        let (sender, emitted) = sync_channel(1);
        let graph = self.graph(run, sender, reduce);
        let storage = self.folder.path().to_string_lossy();
        let mut settings = EngineSettings::default().with_storage(storage);
        settings.checkpoint.interval = self.interval;
        let handle = Engine::new(graph, settings).start().unwrap();
        // A job that cannot go on drops its graph, and with it the sender.
        let _ = emitted.recv();
        handle
    }

    fn graph(
        &self,
        run: Run,
        emitted: SyncSender<()>,
        reduce: impl FnOnce(&Numbers) -> Stream<Sum>,
    ) -> JobGraph {
        let job = StreamBuilder::new("sums").parallelism(run.parallelism);
        let source = move || Ok(Halves::new(run.end, run.is_last, &emitted));
        let key: fn(&u64) -> u64 = |number| number % KEYS;
        let numbers = job.source::<u64, _>("numbers", source).key_by(key);
        let output = self.output.clone();
        reduce(&numbers).sink("out", move || Ok(MemorySink::of_rows(&output)));
        job.build().unwrap()
    }

    /// The sum of each key, as last put out.
    fn sums(&self) -> BTreeMap<u64, u64> {
        let mut sums = BTreeMap::new();
        for (key, sum) in self.output.rows() {
            let largest: &mut u64 = sums.entry(key).or_default();
            *largest = sum.max(*largest);
        }
        sums
    }
}

fn stop(handle: JobHandle) {
    handle.stop(StopRequest::default());
    let outcome = handle.wait();
    assert!(matches!(outcome, JobOutcome::Stopped), "{outcome:?}");
}

fn failure(handle: JobHandle) -> Error {
    match handle.wait() {
        JobOutcome::Failed(error) => error,
        outcome => panic!("{outcome:?}"),
    }
}

fn run(parallelism: usize, end: u64) -> Run {
    Run {
        parallelism,
        end,
        is_last: false,
    }
}

fn floats() -> StateSpec<f64> {
    StateSpec::new("totals").with_version(2)
}

fn migrated() -> StateSpec<f64> {
    floats().with_migration(1, |sum: u64| sum as f64)
}

fn expected(end: u64) -> BTreeMap<u64, u64> {
    let mut sums = BTreeMap::new();
    for number in 0..end {
        *sums.entry(number % KEYS).or_default() += number;
    }
    sums
}

#[test]
fn a_job_whose_state_changed_its_type_goes_on_with_a_migration() {
    Sums::of_both_kinds().iter().for_each(check_migration);
}

fn check_migration(sums: &Sums) {
    stop(sums.start_integers(run(2, 1_000)));
    // A crash before the first checkpoint of the new version: the next run migrates once more.
    let crashed = sums.start_floats(run(3, 1_500), &migrated());
    crashed.cancel();
    crashed.wait();
    stop(sums.start_floats(run(1, 2_000), &migrated()));
    assert_eq!(sums.sums(), expected(2_000));
    // From here on the migration is not needed any more.
    let last = Run {
        is_last: true,
        ..run(2, 3_000)
    };
    let outcome = sums.start_floats(last, &floats()).wait();
    assert!(matches!(outcome, JobOutcome::Finished), "{outcome:?}");
    assert_eq!(sums.sums(), expected(3_000));
}

#[test]
fn a_job_whose_state_changed_its_type_is_refused_without_a_migration_and_unharmed() {
    Sums::of_both_kinds().iter().for_each(check_refusal);
}

fn check_refusal(sums: &Sums) {
    stop(sums.start_integers(run(2, 1_000)));
    let check = |spec: &StateSpec<f64>, is: &str, way_out: &str| {
        let error = failure(sums.start_floats(run(2, 2_000), spec));
        assert_eq!(error.kind(), ErrorKind::Configuration);
        let text = error.to_string();
        assert!(text.starts_with("operator sums: "), "{text}");
        let expected = format!(
            "state \"totals\": it was stored with version 1 as u64 (8 bytes, alignment 8) and is registered with version \
             {is} as f64 (8 bytes, alignment 8): {way_out} (StateSpec::with_version, StateSpec::with_migration), register \
             it as it was stored, give the new state another name, or start without the checkpoint"
        );
        assert!(text.ends_with(&expected), "{text}");
    };
    check(
        &StateSpec::new("totals"),
        "1",
        "give it a new version and a migration from version 1",
    );
    check(&floats(), "2", "add a migration from version 1");
    stop(sums.start_integers(run(2, 2_000)));
    assert_eq!(sums.sums(), expected(2_000));
}
