//! Kinds that fold the values added into one: reducing and aggregating state.

use fastrand::Rng;

use super::job::{Kind, check};
use super::timed::{Time, Timed};
use crate::error::Result;
use crate::model::KeyGroup;
use crate::state::tests::subject::{NAME, TestKey, group_of};
use crate::state::{
    AggregateFunction, AggregatingState, KeyedStateBackend, ReducingState, ScanCursor, StateKey,
    StateSpec, StateTtl,
};

/// Either kind, over small numbers: what is added to it, and what must come out after all that was added.
trait Fold: Sized {
    type Key: TestKey;
    fn register(backend: &mut KeyedStateBackend, time_to_live: Option<StateTtl>) -> Result<Self>;
    fn add(&self, key: &Self::Key, value: u32) -> Result<()>;
    fn get(&self, key: &Self::Key) -> Result<Option<String>>;
    fn clear(&self, key: &Self::Key) -> Result<()>;
    fn folded(values: &[u32]) -> String;
    fn records(&self) -> usize;
}

fn spec<V>(time_to_live: Option<StateTtl>) -> StateSpec<V> {
    match time_to_live {
        Some(time_to_live) => StateSpec::new(NAME).with_time_to_live(time_to_live),
        None => StateSpec::new(NAME),
    }
}

impl<K: TestKey> Fold for ReducingState<K, u64> {
    type Key = K;

    fn register(backend: &mut KeyedStateBackend, time_to_live: Option<StateTtl>) -> Result<Self> {
        // Not commutative, so that a wrong order is found.
        backend.reducing_state(spec(time_to_live), |before, value| {
            before * 3 % 1_000_003 + value
        })
    }

    fn add(&self, key: &K, value: u32) -> Result<()> {
        self.add(key, value.into())
    }

    fn get(&self, key: &K) -> Result<Option<String>> {
        Ok(self.get(key)?.map(|value| value.to_string()))
    }

    fn clear(&self, key: &K) -> Result<()> {
        self.clear(key)
    }

    fn folded(values: &[u32]) -> String {
        let values = values.iter().map(|value| u64::from(*value));
        let folded = values.reduce(|before, value| before * 3 % 1_000_003 + value);
        folded.unwrap().to_string()
    }

    fn records(&self) -> usize {
        let mut records = 0;
        let count = |_: &_, _: &_| {
            records += 1;
            Ok(())
        };
        self.scan(&mut ScanCursor::default(), usize::MAX, count)
            .unwrap();
        records
    }
}

/// The values one behind the other, and how many there are.
struct Joined;

impl AggregateFunction for Joined {
    type In = u32;
    type Accumulator = (String, u32);
    type Out = String;

    fn create_accumulator(&self) -> (String, u32) {
        (String::new(), 0)
    }

    fn add(&self, value: u32, (text, count): (String, u32)) -> (String, u32) {
        (format!("{text} {value}"), count + 1)
    }

    fn result(&self, (text, count): (String, u32)) -> String {
        format!("{count}:{text}")
    }
}

impl<K: TestKey> Fold for AggregatingState<K, Joined> {
    type Key = K;

    fn register(backend: &mut KeyedStateBackend, time_to_live: Option<StateTtl>) -> Result<Self> {
        backend.aggregating_state(spec(time_to_live), Joined)
    }

    fn add(&self, key: &K, value: u32) -> Result<()> {
        self.add(key, value)
    }

    fn get(&self, key: &K) -> Result<Option<String>> {
        self.get(key)
    }

    fn clear(&self, key: &K) -> Result<()> {
        self.clear(key)
    }

    fn folded(values: &[u32]) -> String {
        let texts: String = values.iter().map(|value| format!(" {value}")).collect();
        format!("{}:{texts}", values.len())
    }

    fn records(&self) -> usize {
        let mut records = 0;
        let count = |_: &_, _: &_| {
            records += 1;
            Ok(())
        };
        self.scan(&mut ScanCursor::default(), usize::MAX, count)
            .unwrap();
        records
    }
}

struct Folded<S>(S);

impl<S: Fold<Key: StateKey>> Kind for Folded<S> {
    type Key = S::Key;
    type Expected = Option<Timed<Vec<u32>>>;

    fn register(backend: &mut KeyedStateBackend, time_to_live: Option<StateTtl>) -> Result<Self> {
        S::register(backend, time_to_live).map(Self)
    }

    fn key(number: u64) -> S::Key {
        S::Key::of(number)
    }

    fn group(key: &S::Key) -> KeyGroup {
        group_of(key)
    }

    fn keep_live(expected: &mut Self::Expected, time: Time) -> usize {
        expected.take_if(|timed| !time.is_live(timed));
        usize::from(expected.is_some())
    }

    fn step(&self, key: &S::Key, expected: &mut Self::Expected, time: Time, random: &mut Rng) {
        match random.u8(..8) {
            0 => {
                self.0.clear(key).unwrap();
                *expected = None;
            }
            1 | 2 => self.compare(key, expected, time),
            _ => {
                let value = random.u32(..1_000);
                self.0.add(key, value).unwrap();
                let mut values = expected.take().map_or(Vec::new(), |timed| timed.value);
                values.push(value);
                *expected = Some(time.write(values));
            }
        }
    }

    fn compare(&self, key: &S::Key, expected: &mut Self::Expected, time: Time) {
        let expected: Option<&Vec<u32>> = expected.as_mut().map(|timed| time.read(timed));
        let expected = expected.map(|values| S::folded(values));
        assert_eq!(self.0.get(key).unwrap(), expected, "{time} {key:?}");
    }

    fn scanned(&self) -> Option<usize> {
        Some(self.0.records())
    }
}

#[test]
fn reducing_states_equal_plain_folds_through_restarts_and_rescales() {
    check::<Folded<ReducingState<u64, u64>>>(1, 200, 3_000);
    check::<Folded<ReducingState<String, u64>>>(2, 200, 3_000);
}

#[test]
fn aggregating_states_equal_plain_folds_through_restarts_and_rescales() {
    check::<Folded<AggregatingState<u64, Joined>>>(3, 200, 3_000);
    check::<Folded<AggregatingState<(String, String), Joined>>>(4, 200, 3_000);
}
