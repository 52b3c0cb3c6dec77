//! Timers in a running job: sessions that time out, across crashes and other parallelisms; and the clock.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use floodmark::config::{CheckpointSection, StateSection};
use floodmark::connectors::{MemoryOutput, MemorySink};
use floodmark::engine::{Engine, EngineSettings, JobOutcome, StopRequest};
use floodmark::error::Result;
use floodmark::graph::{JobGraph, StreamBuilder};
use floodmark::model::{Batch, CheckpointId, EventTime};
use floodmark::operator::{
    OperatorContext, OperatorSnapshot, Output, ProcessContext, ProcessFunction, Source,
    SourceStatus,
};
use floodmark::state::{Timer, ValueState};

use crate::support::{
    Fault, FaultySink, Gate, Hold, How, Numbers, NumbersPlan, Place, REASON, SIGHTS_MAX, SPLITS,
    Sight,
};

/// How many keys there are: a multiple of the splits, so that all numbers of a key come in one split and in order.
const KEYS: u64 = 2 * SPLITS as u64;

/// How many numbers each key has.
const ROUNDS: u64 = 1_000;

/// After how long without a number a session is over.
const TIMEOUT_MILLIS: i64 = 500;

/// A key, the time of its session's last number, and how many numbers there were.
type Session = (u64, i64, u64);

/// Numbers hold a time and a key. Their times grow by 10 ms from one of a key to the next, or by 1 s now and then.
fn numbers() -> Vec<u64> {
    let mut random = fastrand::Rng::with_seed(1);
    let mut time = 0;
    let mut numbers = Vec::new();
    for _ in 0..ROUNDS {
        time += if random.u8(..20) == 0 { 1_000 } else { 10 };
        numbers.extend((0..KEYS).map(|key| (time + key) * KEYS + key));
    }
    numbers
}

fn key(number: u64) -> u64 {
    number % KEYS
}

fn event_time(number: &u64) -> EventTime {
    EventTime((number / KEYS) as i64)
}

/// Gathers the numbers of a key into sessions.
#[derive(Default)]
struct Sessions {
    /// The time of the last number, and how many there were.
    open: Option<ValueState<u64, (i64, u64)>>,
}

impl ProcessFunction for Sessions {
    type In = u64;
    type Key = u64;
    type Out = Session;

    fn open(&mut self, context: &mut OperatorContext<'_>) -> Result<()> {
        self.open = Some(context.keyed_state.value_state("open")?);
        Ok(())
    }

    fn process(
        &mut self,
        key: &u64,
        number: u64,
        context: &mut ProcessContext<'_, u64, Session>,
    ) -> Result<()> {
        let open = self.open.as_ref().unwrap();
        let EventTime(time) = event_time(&number);
        let mut count = 0;
        if let Some((last, numbers)) = open.get(key)? {
            context.delete_event_time(EventTime(last + TIMEOUT_MILLIS))?;
            if time < last + TIMEOUT_MILLIS {
                count = numbers;
            } else {
                context.emit((*key, last, numbers));
            }
        }
        open.put(key, &(time, count + 1))?;
        context.register_event_time(EventTime(time + TIMEOUT_MILLIS))
    }

    fn on_timer(
        &mut self,
        key: &u64,
        timer: Timer,
        context: &mut ProcessContext<'_, u64, Session>,
    ) -> Result<()> {
        let open = self.open.as_ref().unwrap();
        let (last, count) = open.get(key)?.expect("each session has one timer");
        assert_eq!(timer, Timer::EventTime(EventTime(last + TIMEOUT_MILLIS)));
        open.remove(key)?;
        context.emit((*key, last, count));
        Ok(())
    }
}

/// All sessions, in one pass and without the engine: sorted.
fn expected_sessions() -> Vec<Session> {
    let mut sessions: Vec<Session> = Vec::new();
    for wanted in 0..KEYS {
        let first = sessions.len();
        for number in numbers()
            .into_iter()
            .filter(|number| key(*number) == wanted)
        {
            let EventTime(time) = event_time(&number);
            match sessions[first..].last_mut() {
                Some((_, last, count)) if time < *last + TIMEOUT_MILLIS => {
                    (*last, *count) = (time, *count + 1);
                }
                _ => sessions.push((wanted, time, 1)),
            }
        }
    }
    sessions.sort_unstable();
    sessions
}

fn sessions_graph(
    parallelism: usize,
    numbers: NumbersPlan,
    output: &MemoryOutput<Session>,
) -> JobGraph {
    let job = StreamBuilder::new("sessions").parallelism(parallelism);
    let (fault, output) = (numbers.fault.clone(), output.clone());
    job.source::<u64, _>("numbers", move || Numbers::new(&numbers))
        .key_by(|number| key(*number))
        .process("sessions", || Ok(Sessions::default()))
        .sink("out", move || {
            FaultySink::new(MemorySink::of_rows(&output), &fault)
        });
    job.build().unwrap()
}

fn settings(folder: &Path, interval: Option<Duration>) -> EngineSettings {
    EngineSettings {
        checkpoint: CheckpointSection {
            interval,
            storage: folder.join("checkpoints").display().to_string(),
            ..CheckpointSection::default()
        },
        state: StateSection {
            directory: Some(folder.join("state")),
            ..StateSection::default()
        },
        ..EngineSettings::default()
    }
}

#[test]
fn sessions_time_out_once_across_crashes_and_other_parallelisms() {
    let folder = tempfile::tempdir().unwrap();
    let output = MemoryOutput::default();
    let begun = Gate::default();
    begun.open();
    let (sights, seen) = sync_channel(SIGHTS_MAX);
    let run = |parallelism, fault| {
        let numbers = NumbersPlan {
            numbers: numbers().into(),
            event_time,
            hold: Hold::Checkpoints(1, begun.clone()),
            fault,
            ended: Gate::default(),
            sights: sights.clone(),
            _alive: Arc::default(),
        };
        let graph = sessions_graph(parallelism, numbers, &output);
        let interval = Some(Duration::from_millis(5));
        let engine = Engine::new(graph, settings(folder.path(), interval));
        engine.start().unwrap()
    };

    // The source goes on only after a checkpoint, and then the sink fails; the next time with a checkpoint complete.
    for (parallelism, place, how) in [
        (2, Place::SinkWrite, How::Panic),
        (3, Place::SinkCommitWork, How::Error),
    ] {
        match run(parallelism, Fault::at(place, how)).wait() {
            JobOutcome::Failed(error) => assert!(error.to_string().contains(REASON), "{error}"),
            outcome => panic!("{outcome:?}"),
        }
    }
    let finished = run(1, Fault::default()).wait();
    assert!(matches!(finished, JobOutcome::Finished), "{finished:?}");

    let resumed = seen.try_iter().filter(|sight| *sight == Sight::Resumed);
    assert_eq!(resumed.count(), 3 + 1, "each subtask of the later runs");
    let mut sessions = output.rows();
    sessions.sort_unstable();
    assert!(sessions == expected_sessions());
}

/// Gives out one number, and ends when its gate opens.
struct OneNumber {
    given: bool,
    gate: Gate,
}

impl Source for OneNumber {
    fn open(&mut self, _context: &mut OperatorContext<'_>) -> Result<()> {
        Ok(())
    }

    fn poll(&mut self, _rows_max: usize, output: &mut Output) -> Result<SourceStatus> {
        if !self.given {
            self.given = true;
            output.emit(Batch::from_rows(vec![7_u64]));
        }
        Ok(if self.gate.is_open() {
            SourceStatus::Finished
        } else {
            SourceStatus::Wait(Duration::from_millis(1))
        })
    }

    fn snapshot(&mut self, _checkpoint: CheckpointId) -> Result<OperatorSnapshot> {
        Ok(OperatorSnapshot::default())
    }
}

/// Passes a number on after a delay, and opens a gate.
struct Delay {
    millis: i64,
    gate: Gate,
}

impl ProcessFunction for Delay {
    type In = u64;
    type Key = u64;
    type Out = u64;

    fn process(
        &mut self,
        _key: &u64,
        _number: u64,
        context: &mut ProcessContext<'_, u64, u64>,
    ) -> Result<()> {
        context.register_processing_time(context.processing_time() + self.millis)
    }

    fn on_timer(
        &mut self,
        key: &u64,
        _timer: Timer,
        context: &mut ProcessContext<'_, u64, u64>,
    ) -> Result<()> {
        context.emit(*key);
        self.gate.open();
        Ok(())
    }
}

fn delay_graph(millis: i64, output: &MemoryOutput<u64>) -> JobGraph {
    let job = StreamBuilder::new("delay");
    let gate = Gate::default();
    let (opens, output) = (gate.clone(), output.clone());
    job.source("number", move || {
        Ok(OneNumber {
            given: false,
            gate: gate.clone(),
        })
    })
    .key_by(|number: &u64| *number)
    .process("delay", move || {
        Ok(Delay {
            millis,
            gate: opens.clone(),
        })
    })
    .sink("out", move || Ok(MemorySink::of_rows(&output)));
    job.build().unwrap()
}

/// Without checkpoints nothing but its own sleep wakes the subtask of the function; and without it, the job never ends.
#[test]
fn a_processing_time_timer_wakes_a_job_that_has_nothing_else_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let output = MemoryOutput::default();
    let graph = delay_graph(20, &output);
    let engine = Engine::new(graph, settings(folder.path(), None));
    let outcome = engine.start().unwrap().wait();
    assert!(matches!(outcome, JobOutcome::Finished), "{outcome:?}");
    assert_eq!(output.rows(), [7]);
}

#[test]
fn a_job_with_a_timer_far_away_can_be_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let output = MemoryOutput::default();
    let graph = delay_graph(i64::MAX / 2, &output);
    let job = Engine::new(graph, settings(folder.path(), None))
        .start()
        .unwrap();
    while job.status().snapshot().records_in == 0 {
        std::thread::yield_now();
    }
    job.stop(StopRequest::default());
    let outcome = job.wait();
    assert!(matches!(outcome, JobOutcome::Stopped), "{outcome:?}");
    assert!(output.is_empty());
}
