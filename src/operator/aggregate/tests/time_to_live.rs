//! Aggregates whose keys start afresh when no row has come for a while.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arrow_array::RecordBatch;

use super::harness::{config, finals, join};
use super::naive::{self, Row};
use crate::model::{Batch, Clock, KeyGroupRange, ManualClock};
use crate::operator::aggregate::AggregateOperator;
use crate::operator::test_support::{open_on, process, random_batch, random_schema};
use crate::state::{KeyedStateBackend, RestoredPart, RestoredState, SealedState, test_backend_at};

/// The settings under test, as they stand in a job's file, and the same for the naive computation.
const SETTINGS: &str = "
    ttl = '10s'
    [aggregates]
    rows = 'count()'
    sum = 'sum(i)'
    least = 'min(s)'
    first = 'first(s)'
    last = 'last(f)'
";
const AGGREGATES: [(&str, usize); 5] = [
    ("rows", 0),
    ("sum", 1),
    ("min", 3),
    ("first", 3),
    ("last", 2),
];
const TTL_MILLIS: i64 = 10_000;

/// An operator whose state goes by a clock of its own.
struct Running {
    settings: String,
    clock: Arc<ManualClock>,
    backend: KeyedStateBackend,
    operator: AggregateOperator,
    sealed: Vec<SealedState>,
}

impl Running {
    fn start(keys: &str) -> Self {
        let clock = Arc::new(ManualClock::default());
        let settings = format!("{keys}\n{SETTINGS}");
        Self {
            backend: test_backend_at(clock.clone(), Vec::new()),
            operator: AggregateOperator::new(&config(&settings), &random_schema()).unwrap(),
            settings,
            clock,
            sealed: Vec::new(),
        }
        .opened()
    }

    fn opened(mut self) -> Self {
        open_on(&mut self.operator, &mut self.backend, None).unwrap();
        self
    }

    fn pass(&self, duration: Duration) {
        self.clock.advance(duration);
        self.backend.advance_time();
    }

    fn process(&mut self, input: &RecordBatch) -> Vec<Row> {
        let emitted = process(&mut self.operator, Batch::Columns(input.clone())).unwrap();
        self.backend.sweep_slice().unwrap();
        naive::rows(&join(&self.operator, emitted))
    }

    /// Another operator, with the state as a checkpoint keeps it.
    fn restarted(mut self) -> Self {
        self.sealed.extend(self.backend.seal().unwrap());
        let mut states = BTreeMap::new();
        for sealed in &self.sealed {
            let (_, deltas) = states
                .entry(sealed.name.clone())
                .or_insert_with(|| (sealed.descriptor.clone(), Vec::new()));
            deltas.push(sealed.delta.chunks.concat().into());
        }
        let restored = states
            .into_iter()
            .map(|(name, (descriptor, deltas))| RestoredState {
                name,
                descriptor,
                parts: vec![RestoredPart {
                    key_groups: KeyGroupRange { start: 0, end: 128 },
                    base: None,
                    deltas,
                }]
                .into(),
            });
        Self {
            backend: test_backend_at(self.clock.clone(), restored.collect()),
            operator: AggregateOperator::new(&config(&self.settings), &random_schema()).unwrap(),
            ..self
        }
        .opened()
    }
}

/// The rows of one key since it last started afresh, and when the last of them came.
#[derive(Default)]
struct Key {
    rows: Vec<Row>,
    last_millis: i64,
}

/// Runs random batches with random pauses between them; `columns` are the places of the keys.
fn check(seed: u64, keys: &str, columns: &[usize]) {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut running = Running::start(keys);
    let mut expected = BTreeMap::<String, Key>::new();
    let mut afresh = 0;
    for round in 0..120 {
        let what = format!("seed {seed} round {round}");
        running.pass(Duration::from_millis(random.u64(..4_000)));
        if random.u8(..15) == 0 {
            running = running.restarted();
        }
        let now = running.clock.unix_millis();
        let rows = random.usize(1..6);
        let input = random_batch(&mut random, rows);
        let found = running.process(&input);
        for (row, found) in naive::rows(&input).into_iter().zip(found) {
            let values: Row = columns.iter().map(|column| row[*column].clone()).collect();
            let key = expected.entry(format!("{values:?}")).or_default();
            if key.last_millis + TTL_MILLIS <= now {
                afresh += usize::from(!key.rows.is_empty());
                key.rows.clear();
            }
            key.last_millis = now;
            key.rows.push(row);
            let rows: Vec<&Row> = key.rows.iter().collect();
            let aggregates = AGGREGATES
                .iter()
                .map(|(function, column)| naive::aggregate(function, &rows, *column));
            let expected: Row = values.into_iter().chain(aggregates).collect();
            assert_eq!(found, expected, "{what}");
        }
    }
    assert!(
        afresh > 10,
        "seed {seed}: only {afresh} keys started afresh"
    );
    running.pass(Duration::from_millis(TTL_MILLIS as u64));
    for _ in 0..20 {
        running.backend.sweep_slice().unwrap();
    }
    let left: u64 = running
        .backend
        .statistics()
        .iter()
        .map(|state| state.records)
        .sum();
    assert_eq!(left, 0, "seed {seed}");
}

#[test]
fn keys_start_afresh_after_their_time_through_restarts() {
    for seed in 0..4 {
        check(seed, "key = ['i', 'b']", &[1, 0]);
        check(seed, "key = ['t']\nmap_key = 'f'", &[4, 2]);
    }
}

#[test]
fn keys_whose_time_is_over_have_no_final_result() {
    let mut running = Running::start("key = ['i']\nemit = 'final'");
    let input = random_batch(&mut fastrand::Rng::with_seed(1), 40);
    running.process(&input);
    running.pass(Duration::from_millis(TTL_MILLIS as u64 - 1));
    running.process(&input.slice(0, 1));
    running.pass(Duration::from_millis(1));
    assert_eq!(finals(&mut running.operator).num_rows(), 1);
}
