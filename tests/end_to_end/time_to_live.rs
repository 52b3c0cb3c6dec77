//! Time-to-live in a running job, by a clock that the job's own source moves.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use floodmark::config::{CheckpointSection, StateSection};
use floodmark::connectors::{MemoryOutput, MemorySink};
use floodmark::engine::{Engine, EngineSettings, JobOutcome};
use floodmark::error::Result;
use floodmark::graph::StreamBuilder;
use floodmark::model::{Batch, CheckpointId, Clock, SystemClock};
use floodmark::operator::{
    Operator, OperatorContext, OperatorSnapshot, Output, Source, SourceStatus,
};
use floodmark::state::{MapState, StateSpec, StateTtl};

/// How many numbers there are.
const NUMBERS: u64 = 1_000;

/// The time from one number to the next.
const PAUSE_MILLIS: i64 = 10;

/// How long a number is kept.
const TTL_MILLIS: i64 = 1_000;

const KEYS: u64 = 3;

/// A clock whose wall-clock time is set, and whose other time is the machine's.
struct Clocks {
    unix_millis: AtomicI64,
    machine: SystemClock,
}

impl Clock for Clocks {
    fn unix_millis(&self) -> i64 {
        self.unix_millis.load(Ordering::Relaxed)
    }

    fn elapsed(&self) -> Duration {
        self.machine.elapsed()
    }
}

/// Gives out a number a poll, and lets the time pass behind it.
struct Paced {
    clocks: Arc<Clocks>,
    next: u64,
}

impl Source for Paced {
    fn open(&mut self, _context: &mut OperatorContext<'_>) -> Result<()> {
        Ok(())
    }

    fn poll(&mut self, _rows_max: usize, output: &mut Output) -> Result<SourceStatus> {
        if self.next == NUMBERS {
            return Ok(SourceStatus::Finished);
        }
        output.emit(Batch::from_rows(vec![self.next]));
        self.next += 1;
        self.clocks
            .unix_millis
            .fetch_add(PAUSE_MILLIS, Ordering::Relaxed);
        Ok(SourceStatus::Ready)
    }

    fn snapshot(&mut self, _checkpoint: CheckpointId) -> Result<OperatorSnapshot> {
        Ok(OperatorSnapshot::default())
    }
}

/// Keeps each number for its time, and emits it with how many numbers of its key there are.
#[derive(Default)]
struct Recent {
    numbers: Option<MapState<u64, u64, i64>>,
}

impl Operator for Recent {
    fn open(&mut self, context: &mut OperatorContext<'_>) -> Result<()> {
        let time_to_live = StateTtl::new(Duration::from_millis(TTL_MILLIS as u64));
        let spec = StateSpec::new("recent").with_time_to_live(time_to_live);
        self.numbers = Some(context.keyed_state.map_state(spec)?);
        Ok(())
    }

    fn process(&mut self, batch: Batch, output: &mut Output) -> Result<()> {
        let numbers = self.numbers.as_ref().unwrap();
        for number in batch.into_rows::<u64>()? {
            let key = number % KEYS;
            numbers.put(&key, &number, &1)?;
            let listed = numbers.keys(&key)?.len() as u64;
            assert_eq!(listed, numbers.len(&key)?);
            output.emit(Batch::from_rows(vec![(number, listed)]));
        }
        Ok(())
    }
}

#[test]
fn values_come_to_their_end_in_a_running_job_and_are_removed() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let clocks = Arc::new(Clocks {
        unix_millis: AtomicI64::new(1_700_000_000_000),
        machine: SystemClock::new(),
    });
    let moved = Arc::clone(&clocks);
    let output = MemoryOutput::<(u64, u64)>::default();
    let written = output.clone();
    // One chain: the operator has worked off a number before the source gives out the next.
    let job = StreamBuilder::new("recent");
    job.source::<u64, _>("numbers", move || {
        Ok(Paced {
            clocks: Arc::clone(&moved),
            next: 0,
        })
    })
    .operator::<(u64, u64), _>("recent", || Ok(Recent::default()))
    .sink("out", move || Ok(MemorySink::of_rows(&written)));
    let settings = EngineSettings {
        checkpoint: CheckpointSection {
            storage: path("checkpoints").display().to_string(),
            ..CheckpointSection::default()
        },
        state: StateSection {
            directory: Some(path("state")),
            ..StateSection::default()
        },
        clock: clocks,
        ..EngineSettings::default()
    };
    let handle = Engine::new(job.build().unwrap(), settings).start().unwrap();
    let status = handle.status();
    let outcome = handle.wait();
    assert!(matches!(outcome, JobOutcome::Finished), "{outcome:?}");

    let is_live = |then: u64, now: u64| (now - then) as i64 * PAUSE_MILLIS < TTL_MILLIS;
    let expected: Vec<(u64, u64)> = (0..NUMBERS)
        .map(|now| {
            let same = (0..=now).filter(|then| then % KEYS == now % KEYS);
            (now, same.filter(|then| is_live(*then, now)).count() as u64)
        })
        .collect();
    assert_eq!(output.rows(), expected);
    let records = status.snapshot().state_records;
    assert!((1..200).contains(&records), "{records} records are left");
}
