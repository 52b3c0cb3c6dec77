//! A typed job with all kinds of operator state: numbers that are counted and sampled, and rules that all must know.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use floodmark::config::{CheckpointSection, StateSection};
use floodmark::connectors::{MemoryOutput, MemorySink, MemorySource};
use floodmark::engine::{Engine, EngineSettings, JobOutcome};
use floodmark::error::{Error, ErrorKind, Result};
use floodmark::graph::{JobGraph, StreamBuilder};
use floodmark::model::{Batch, CheckpointId};
use floodmark::operator::{
    BackgroundWork, FinishStatus, Operator, OperatorContext, OperatorSnapshot, Output, Source,
    SourceStatus,
};
use floodmark::state::{BroadcastState, OperatorListState};

/// How many numbers there are.
const NUMBERS: u64 = 20_000;

/// One number in so many is kept as a sample.
const SAMPLE_EVERY: u64 = 50;

/// In how many splits the numbers come.
const SPLITS: u32 = 4;

/// How many numbers a subtask that is held gives out; from then on it gives one more with each checkpoint.
const HELD_AFTER: u64 = 400;

/// How soon a subtask that is held looks whether there is another one to give.
const PAUSE: Duration = Duration::from_millis(1);

/// How many completions can wait for the test, far more than a run has.
const COMPLETIONS_MAX: usize = 100_000;

/// How long a test waits for the next one. It is never reached unless the job hangs.
const COMPLETION_TIMEOUT: Duration = Duration::from_secs(40);

/// The rules in the order in which they come: a later one of the same name replaces an earlier one.
const RULES: [(&str, u64); 3] = [("limit", 5), ("window", 60), ("limit", 7)];

/// What the job gives out in the end: what a number is about, and the number.
type Fact = (String, u64);

/// The checkpoints of a job, and its output, which outlives its runs.
pub(crate) struct CensusJob {
    folder: tempfile::TempDir,
    output: MemoryOutput<Fact>,
}

/// What the operator registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Registers {
    All,
    /// All but the union list.
    NoCounts,
    /// A union list under the list's name.
    SamplesAsUnionList,
    /// All, as an operator with another id.
    AllUnderAnotherId,
}

#[derive(Clone, Copy)]
enum Event {
    Number(u64),
    Rule(&'static str, u64),
}

/// A source that gives out few numbers as long as it is held.
struct HeldNumbers {
    numbers: MemorySource,
    /// How many more it may give out; nothing when it is not held.
    allowance: Option<u64>,
    completions: SyncSender<()>,
}

/// Counts numbers, keeps samples of them, and learns rules; says in the end what it knows.
struct Census {
    registers: Registers,
    count: u64,
    is_first: bool,
    states: Option<States>,
}

struct States {
    samples: OperatorListState<u64>,
    counts: Option<OperatorListState<u64>>,
    rules: BroadcastState<String, u64>,
}

impl CensusJob {
    pub(crate) fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            output: MemoryOutput::default(),
        }
    }

    /// The folder of the job's checkpoints.
    pub(crate) fn storage(&self) -> PathBuf {
        self.folder.path().join("checkpoints/census")
    }

    /// Runs the job until a few checkpoints are complete, and then ends it without ceremony.
    pub(crate) fn crash(&self, parallelism: usize) {
        let (engine, completions) = self.engine(parallelism, true, Registers::All);
        let handle = engine.start().unwrap();
        // Each subtask of the source tells of each.
        for _ in 0..3 * parallelism {
            let completion = completions.recv_timeout(COMPLETION_TIMEOUT);
            completion.expect("the job goes on");
        }
        handle.cancel();
        let outcome = handle.wait();
        assert!(matches!(outcome, JobOutcome::Cancelled), "{outcome:?}");
    }

    /// Runs the job to its end.
    pub(crate) fn run(&self, parallelism: usize, registers: Registers) -> JobOutcome {
        let (engine, _completions) = self.engine(parallelism, false, registers);
        match engine.start() {
            Ok(handle) => handle.wait(),
            Err(error) => JobOutcome::Failed(error),
        }
    }

    /// What the job has given out, sorted, with the counts of all subtasks put together.
    pub(crate) fn facts(&self) -> Vec<Fact> {
        let (counts, mut facts): (Vec<Fact>, Vec<Fact>) = self
            .output
            .rows()
            .into_iter()
            .partition(|(about, _)| about == "count");
        let count = counts.iter().map(|(_, count)| count).sum();
        facts.push(("count".to_owned(), count));
        facts.sort_unstable();
        facts
    }

    /// What it ought to give out: each rule once from each subtask, everything else once.
    pub(crate) fn expected(parallelism: usize) -> Vec<Fact> {
        let mut facts = vec![("count".to_owned(), NUMBERS)];
        let samples = (0..NUMBERS).step_by(SAMPLE_EVERY as usize);
        facts.extend(samples.map(|number| ("sample".to_owned(), number)));
        for _ in 0..parallelism {
            facts.push(("limit".to_owned(), 7));
            facts.push(("window".to_owned(), 60));
        }
        facts.sort_unstable();
        facts
    }

    fn engine(
        &self,
        parallelism: usize,
        is_held: bool,
        registers: Registers,
    ) -> (Engine, Receiver<()>) {
        let (sender, completions) = sync_channel(COMPLETIONS_MAX);
        let settings = EngineSettings {
            checkpoint: CheckpointSection {
                interval: Some(Duration::from_millis(5)),
                storage: self.folder.path().join("checkpoints").display().to_string(),
                ..CheckpointSection::default()
            },
            state: StateSection {
                directory: Some(self.folder.path().join("state")),
                ..StateSection::default()
            },
            ..EngineSettings::default()
        };
        let graph = self.graph(parallelism, is_held, registers, sender);
        (Engine::new(graph, settings), completions)
    }

    fn graph(
        &self,
        parallelism: usize,
        is_held: bool,
        registers: Registers,
        completions: SyncSender<()>,
    ) -> JobGraph {
        let job = StreamBuilder::new("census").parallelism(parallelism);
        let numbers: Arc<[Event]> = (0..NUMBERS).map(Event::Number).collect();
        let rules = RULES.map(|(name, value)| Event::Rule(name, value));
        let rules = job.source::<Event, _>("rules", move || MemorySource::of_rows(rules, 1));
        let output = self.output.clone();
        let id = match registers {
            Registers::AllUnderAnotherId => "survey",
            _ => "census",
        };
        job.source::<Event, _>("numbers", move || {
            Ok(HeldNumbers {
                numbers: MemorySource::of_rows(Arc::clone(&numbers), SPLITS)?,
                allowance: is_held.then_some(HELD_AFTER),
                completions: completions.clone(),
            })
        })
        .union(rules.broadcast())
        .key_by(|event| match event {
            Event::Number(number) => *number,
            Event::Rule(..) => 0,
        })
        .operator::<Fact, _>(id, move || {
            Ok(Census {
                registers,
                count: 0,
                is_first: false,
                states: None,
            })
        })
        .sink("facts", move || Ok(MemorySink::of_rows(&output)));
        job.build().unwrap()
    }
}

impl Source for HeldNumbers {
    fn open(&mut self, context: &mut OperatorContext<'_>) -> Result<()> {
        self.numbers.open(context)
    }

    fn poll(&mut self, rows_max: usize, output: &mut Output) -> Result<SourceStatus> {
        let rows_max = match &mut self.allowance {
            None => rows_max,
            Some(0) => return Ok(SourceStatus::Wait(PAUSE)),
            Some(allowance) => {
                let rows_max = rows_max.min(*allowance as usize);
                *allowance -= rows_max as u64;
                rows_max
            }
        };
        self.numbers.poll(rows_max, output)
    }

    fn snapshot(&mut self, checkpoint: CheckpointId) -> Result<OperatorSnapshot> {
        self.allowance = self.allowance.map(|allowance| allowance + 1);
        self.numbers.snapshot(checkpoint)
    }

    fn commit(&mut self, _checkpoint: CheckpointId) -> Result<Vec<BackgroundWork>> {
        // A test that has ended looks no more.
        let _ = self.completions.send(());
        Ok(Vec::new())
    }
}

impl Census {
    fn states(&self) -> Result<&States> {
        let not_open = || Error::new(ErrorKind::Operator, "the census is not open");
        self.states.as_ref().ok_or_else(not_open)
    }
}

impl Operator for Census {
    fn open(&mut self, context: &mut OperatorContext<'_>) -> Result<()> {
        let state = &mut context.operator_state;
        let samples = match self.registers {
            Registers::SamplesAsUnionList => state.union_list_state("samples")?,
            _ => state.list_state("samples")?,
        };
        let counts = match self.registers {
            Registers::NoCounts => None,
            _ => Some(state.union_list_state::<u64>("counts")?),
        };
        let rules = state.broadcast_state("rules")?;
        self.is_first = context.subtask == 0;
        // The first subtask goes on from the counts of all that there were.
        if let Some(counts) = counts.as_ref().filter(|_| self.is_first) {
            self.count = counts.get().iter().sum();
        }
        self.states = Some(States {
            samples,
            counts,
            rules,
        });
        Ok(())
    }

    fn process(&mut self, batch: Batch, _output: &mut Output) -> Result<()> {
        for event in batch.into_rows::<Event>()? {
            match event {
                Event::Number(number) => {
                    self.count += 1;
                    if number % SAMPLE_EVERY == 0 {
                        self.states()?.samples.add(number)?;
                    }
                }
                Event::Rule(name, value) => self.states()?.rules.put(name.to_owned(), value)?,
            }
        }
        Ok(())
    }

    fn finish(&mut self, output: &mut Output) -> Result<FinishStatus> {
        let States { samples, rules, .. } = self.states()?;
        let mut facts: Vec<Fact> = vec![("count".to_owned(), self.count)];
        let samples = samples.get();
        facts.extend(samples.iter().map(|number| ("sample".to_owned(), *number)));
        let rules = rules.entries();
        facts.extend(rules.iter().map(|(name, value)| (name.clone(), *value)));
        output.emit(Batch::from_rows(facts));
        Ok(FinishStatus::Done)
    }

    fn snapshot(&mut self, _checkpoint: CheckpointId) -> Result<OperatorSnapshot> {
        if let Some(counts) = &self.states()?.counts {
            counts.update(vec![self.count])?;
        }
        Ok(OperatorSnapshot::default())
    }
}
