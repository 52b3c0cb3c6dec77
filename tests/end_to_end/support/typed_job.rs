//! A typed job: numbers, running sums by key, an operator that can fail, sinks in memory.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use floodmark::config::{
    CheckpointMode, CheckpointSection, RestartSection, RestartStrategyKind, StateSection,
};
use floodmark::connectors::{MemoryOutput, MemorySink};
use floodmark::engine::{Engine, EngineSettings, JobHandle, JobOutcome};
use floodmark::error::Error;
use floodmark::graph::{JobGraph, StreamBuilder};
use floodmark::model::EventTime;

use super::fault::{Farewell, Fault, FaultySink, Gate, Trap};
use super::numbers::{Hold, Numbers, NumbersPlan, SPLITS, Sight};

/// How many numbers each source has.
const NUMBERS: u64 = 8_000;

/// What the numbers of the second source begin with.
const SECOND_FIRST: u64 = 1_000_000;

/// The number that each subtask behind the second source emits when that has ended.
const FAREWELL: u64 = 2 * SECOND_FIRST;

/// How many keys each source has: a multiple of the splits. So all numbers of a key come in one split and in one
/// order, and the running sums are the same at any parallelism.
const KEYS: u64 = 2 * SPLITS as u64;

/// How many sights can wait for the test, far more than a run has.
pub(crate) const SIGHTS_MAX: usize = 100_000;

/// How long a test waits for the next sight. It is never reached unless the job hangs.
const SIGHT_TIMEOUT: Duration = Duration::from_secs(40);

/// A key, and the sum of its numbers so far.
type Sum = (u64, u64);

/// The checkpoints of a job, and its output, which outlives its runs.
pub(crate) struct TypedJob {
    folder: tempfile::TempDir,
    /// What the sink `out` has committed.
    pub(crate) output: MemoryOutput<Sum>,
    /// What the sink `copy` has committed.
    pub(crate) copy: MemoryOutput<Sum>,
}

/// One run of the job.
#[derive(Clone)]
pub(crate) struct Run {
    pub(crate) parallelism: usize,
    pub(crate) hold: Hold,
    pub(crate) fault: Fault,
    pub(crate) tolerable_failures: u32,
    /// What follows a failure.
    pub(crate) restart: RestartSection,
    /// Whether checkpoints of earlier runs are passed over.
    pub(crate) fresh: bool,
    pub(crate) mode: CheckpointMode,
    /// Whether there is a second source, which is never held, and an operator behind it that has a last word. The
    /// hold's gate opens when it ends.
    pub(crate) union: bool,
    /// Whether a second sink reads the same stream.
    pub(crate) fan_out: bool,
}

/// A run that was started.
pub(crate) struct Started {
    pub(crate) handle: JobHandle,
    sights: Receiver<Sight>,
    alive: Arc<()>,
}

impl Run {
    /// A run in which nothing goes wrong.
    pub(crate) fn new(parallelism: usize) -> Self {
        Self {
            parallelism,
            hold: Hold::No,
            fault: Fault::default(),
            tolerable_failures: 0,
            restart: RestartSection::of(RestartStrategyKind::None),
            fresh: false,
            mode: CheckpointMode::ExactlyOnce,
            union: false,
            fan_out: false,
        }
    }

    /// A run that is held back until a checkpoint is complete, and in which `fault` strikes then.
    pub(crate) fn failing(parallelism: usize, fault: Fault) -> Self {
        let begun = Gate::default();
        begun.open();
        Self {
            hold: Hold::Checkpoints(1, begun),
            fault,
            ..Self::new(parallelism)
        }
    }
}

impl TypedJob {
    pub(crate) fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            output: MemoryOutput::default(),
            copy: MemoryOutput::default(),
        }
    }

    /// The folder of the job's checkpoints.
    pub(crate) fn storage(&self) -> PathBuf {
        self.folder.path().join("checkpoints/typed")
    }

    pub(crate) fn start(&self, run: &Run) -> Started {
        let (sender, sights) = sync_channel(SIGHTS_MAX);
        let alive = Arc::new(());
        let graph = self.graph(run, &sender, &alive);
        let engine = Engine::new(graph, self.settings(run));
        Started {
            handle: engine.start().unwrap(),
            sights,
            alive,
        }
    }

    /// Runs the job to its end, which must be a good one. Gives whether it was resumed.
    pub(crate) fn finish(&self, run: &Run) -> bool {
        let (outcome, sights) = self.start(run).wait();
        assert!(matches!(outcome, JobOutcome::Finished), "{outcome:?}");
        sights.contains(&Sight::Resumed)
    }

    fn settings(&self, run: &Run) -> EngineSettings {
        EngineSettings {
            checkpoint: CheckpointSection {
                interval: Some(Duration::from_millis(5)),
                tolerable_failures: run.tolerable_failures,
                mode: run.mode,
                storage: self.folder.path().join("checkpoints").display().to_string(),
                ..CheckpointSection::default()
            },
            state: StateSection {
                directory: Some(self.folder.path().join("state")),
                ..StateSection::default()
            },
            restart: run.restart.clone(),
            fresh: run.fresh,
            ..EngineSettings::default()
        }
    }

    fn graph(&self, run: &Run, sights: &SyncSender<Sight>, alive: &Arc<()>) -> JobGraph {
        let job = StreamBuilder::new("typed").parallelism(run.parallelism);
        let first = NumbersPlan {
            numbers: (0..NUMBERS).collect(),
            event_time: |number| EventTime(*number as i64),
            hold: run.hold.clone(),
            fault: run.fault.clone(),
            ended: Gate::default(),
            sights: sights.clone(),
            _alive: Arc::clone(alive),
        };
        let second = NumbersPlan {
            numbers: (SECOND_FIRST..SECOND_FIRST + NUMBERS).collect(),
            hold: Hold::No,
            fault: Fault::default(),
            ended: match &run.hold {
                Hold::Checkpoints(_, gate) => gate.clone(),
                _ => Gate::default(),
            },
            ..first.clone()
        };
        let mut numbers = job.source::<u64, _>("numbers", move || Numbers::new(&first));
        if run.union {
            let second = job.source::<u64, _>("more_numbers", move || Numbers::new(&second));
            numbers = numbers.union(second.operator("farewell", || Ok(Farewell(FAREWELL))));
        }
        let [trap_fault, sink_fault] = [run.fault.clone(), run.fault.clone()];
        let sums = numbers.key_by(|number| key(*number)).reduce(
            "sums",
            |_| 0_u64,
            |number, mut sum| {
                *sum = (sum.to_native() + number).into();
                (key(*number), sum.to_native())
            },
        );
        let sums = sums.operator::<Sum, _>("trap", move || Trap::new(&trap_fault));
        let (output, copy) = (self.output.clone(), self.copy.clone());
        sums.sink("out", move || {
            FaultySink::new(MemorySink::of_rows(&output), &sink_fault)
        });
        if run.fan_out {
            sums.sink("copy", move || Ok(MemorySink::of_rows(&copy)));
        }
        job.build().unwrap()
    }
}

impl Started {
    /// Waits until a checkpoint has failed: another is begun, and it was not complete.
    pub(crate) fn wait_for_a_failed_checkpoint(&self) {
        let mut under_way = false;
        loop {
            match self.next_sight() {
                Sight::Snapshot if under_way => return,
                Sight::Snapshot => under_way = true,
                Sight::Commit => under_way = false,
                Sight::Resumed => {}
            }
        }
    }

    /// Waits until a checkpoint is complete.
    pub(crate) fn wait_for_a_checkpoint(&self) {
        while self.next_sight() != Sight::Commit {}
    }

    fn next_sight(&self) -> Sight {
        self.sights
            .recv_timeout(SIGHT_TIMEOUT)
            .expect("the job goes on")
    }

    /// Waits for the job's end, and checks that nothing of it is left. Gives what was not looked at yet.
    pub(crate) fn wait(self) -> (JobOutcome, Vec<Sight>) {
        let Self {
            handle,
            sights,
            alive,
        } = self;
        let outcome = handle.wait();
        assert_eq!(
            Arc::strong_count(&alive),
            1,
            "a part of the job outlives it"
        );
        (outcome, sights.try_iter().collect())
    }

    /// Waits for the job's end, which must be a failure.
    pub(crate) fn wait_for_failure(self) -> Error {
        match self.wait() {
            (JobOutcome::Failed(error), _) => error,
            (outcome, _) => panic!("{outcome:?}"),
        }
    }
}

/// All sums of a job with one source, in one pass and without the engine: sorted.
pub(crate) fn expected() -> Vec<Sum> {
    sums(0..NUMBERS)
}

/// The same of a job with both sources.
pub(crate) fn expected_of_union(parallelism: usize) -> Vec<Sum> {
    let second = SECOND_FIRST..SECOND_FIRST + NUMBERS;
    let farewells = std::iter::repeat_n(FAREWELL, parallelism);
    sums((0..NUMBERS).chain(second).chain(farewells))
}

fn sums(numbers: impl Iterator<Item = u64>) -> Vec<Sum> {
    let mut sums = BTreeMap::new();
    let sum = |number| {
        let sum: &mut u64 = sums.entry(key(number)).or_default();
        *sum += number;
        (key(number), *sum)
    };
    let mut all: Vec<Sum> = numbers.map(sum).collect();
    all.sort_unstable();
    all
}

/// The rows of an output, sorted.
pub(crate) fn sorted(output: &MemoryOutput<Sum>) -> Vec<Sum> {
    let mut rows = output.rows();
    rows.sort_unstable();
    rows
}

/// The keys of the two sources have nothing in common.
fn key(number: u64) -> u64 {
    number / SECOND_FIRST * KEYS + number % KEYS
}
