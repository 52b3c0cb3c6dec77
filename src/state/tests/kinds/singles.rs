//! Kinds with one record for each key: value state, and entry state with the pair of its keys as the key.

use fastrand::Rng;

use super::job::{Kind, check};
use super::timed::{Time, Timed};
use crate::error::Result;
use crate::model::KeyGroup;
use crate::state::tests::subject::{NAME, Reading, Subject, TestValue};
use crate::state::{EntryState, KeyedStateBackend, StateSpec, StateTtl, ValueState};

struct Single<S>(S);

impl<S: Subject> Kind for Single<S> {
    type Key = S::Key;
    type Expected = Option<Timed<S::Value>>;

    fn register(backend: &mut KeyedStateBackend, time_to_live: Option<StateTtl>) -> Result<Self> {
        let spec = StateSpec::new(NAME);
        let spec = match time_to_live {
            Some(time_to_live) => spec.with_time_to_live(time_to_live),
            None => spec,
        };
        S::register(backend, spec).map(Self)
    }

    fn key(number: u64) -> S::Key {
        S::key(number)
    }

    fn group(key: &S::Key) -> KeyGroup {
        S::group(key)
    }

    fn keep_live(expected: &mut Self::Expected, time: Time) -> usize {
        expected.take_if(|timed| !time.is_live(timed));
        usize::from(expected.is_some())
    }

    fn step(&self, key: &S::Key, expected: &mut Self::Expected, time: Time, random: &mut Rng) {
        let state = &self.0;
        match random.u8(..6) {
            0 => {
                let value = S::Value::random(random);
                state.put(key, &value).unwrap();
                *expected = Some(time.write(value));
            }
            1 => {
                let value = S::Value::random(random);
                state.upsert(key, value.clone()).unwrap();
                *expected = Some(time.write(value));
            }
            2 => {
                assert_eq!(
                    state.remove(key).unwrap(),
                    expected.is_some(),
                    "{time} {key:?}"
                );
                *expected = None;
            }
            3 => self.compare(key, expected, time),
            _ => {
                // The key more than once, so that what the batch itself has made is met again.
                let count = random.usize(1..4);
                let initial: Vec<_> = (0..count).map(|_| S::Value::random(random)).collect();
                let by = random.u8(..);
                state
                    .change_batch(&vec![key.clone(); count], &initial, by)
                    .unwrap();
                let mut value = match expected.take() {
                    Some(timed) => timed.value,
                    None => initial[0].clone(),
                };
                (0..count).for_each(|_| value.change(by));
                *expected = Some(time.write(value));
            }
        }
    }

    fn compare(&self, key: &S::Key, expected: &mut Self::Expected, time: Time) {
        let expected = expected.as_mut().map(|timed| time.read(timed));
        assert_eq!(
            self.0.get(key).unwrap().as_ref(),
            expected,
            "{time} {key:?}"
        );
    }

    fn scanned(&self) -> Option<usize> {
        Some(self.0.records().unwrap().len())
    }
}

#[test]
fn value_states_equal_plain_values_through_restarts_and_rescales() {
    check::<Single<ValueState<u64, i64>>>(1, 400, 2_500);
    check::<Single<ValueState<String, i64>>>(2, 400, 2_500);
    check::<Single<ValueState<u64, String>>>(3, 400, 2_500);
    check::<Single<ValueState<(String, String), Reading>>>(4, 400, 2_500);
}

#[test]
fn entry_states_equal_plain_values_through_restarts_and_rescales() {
    check::<Single<EntryState<u64, u64, i64>>>(5, 400, 2_500);
    check::<Single<EntryState<String, u64, String>>>(6, 400, 2_500);
}
