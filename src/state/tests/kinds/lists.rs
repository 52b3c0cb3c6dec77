//! List state.

use fastrand::Rng;

use super::job::{Kind, check};
use super::timed::{Time, Timed};
use crate::error::Result;
use crate::model::KeyGroup;
use crate::state::tests::subject::{NAME, Reading, TestKey, TestValue, group_of};
use crate::state::{KeyedStateBackend, ListState, StateSpec, StateTtl};

impl<K: TestKey, V: TestValue> Kind for ListState<K, V> {
    type Key = K;
    type Expected = Vec<Timed<V>>;

    fn register(backend: &mut KeyedStateBackend, time_to_live: Option<StateTtl>) -> Result<Self> {
        match time_to_live {
            Some(ttl) => backend.list_state(StateSpec::new(NAME).with_time_to_live(ttl)),
            None => backend.list_state(NAME),
        }
    }

    fn key(number: u64) -> K {
        K::of(number)
    }

    fn group(key: &K) -> KeyGroup {
        group_of(key)
    }

    fn keep_live(expected: &mut Self::Expected, time: Time) -> usize {
        expected.retain(|timed| time.is_live(timed));
        expected.len()
    }

    fn step(&self, key: &K, expected: &mut Self::Expected, time: Time, random: &mut Rng) {
        let index = random.usize(..=expected.len());
        match random.u8(..10) {
            0 | 1 => {
                let value = V::random(random);
                self.add(key, &value).unwrap();
                expected.push(time.write(value));
            }
            2 => {
                let values: Vec<V> = (0..random.u8(..10)).map(|_| V::random(random)).collect();
                self.add_all(key, &values).unwrap();
                expected.extend(values.into_iter().map(|value| time.write(value)));
            }
            3 => {
                let values: Vec<V> = (0..random.u8(..10)).map(|_| V::random(random)).collect();
                self.update(key, &values).unwrap();
                *expected = values.into_iter().map(|value| time.write(value)).collect();
            }
            4 | 5 => {
                let popped = self.pop_front(key).unwrap();
                let first = (!expected.is_empty()).then(|| expected.remove(0).value);
                assert_eq!(popped, first, "{time} {key:?}");
            }
            6 | 7 => {
                let value = V::random(random);
                let is_there = self.set_at(key, index as u64, &value).unwrap();
                assert_eq!(is_there, index < expected.len(), "{time} {key:?} {index}");
                if let Some(timed) = expected.get_mut(index) {
                    *timed = time.write(value);
                }
            }
            8 if random.u8(..4) == 0 => {
                self.clear(key).unwrap();
                expected.clear();
            }
            8 => {
                let found = self.get_at(key, index as u64).unwrap();
                let expected = expected.get_mut(index).map(|timed| time.read(timed));
                assert_eq!(found.as_ref(), expected, "{time} {key:?} {index}");
            }
            _ => self.compare(key, expected, time),
        }
    }

    fn compare(&self, key: &K, expected: &mut Self::Expected, time: Time) {
        assert_eq!(
            self.len(key).unwrap(),
            expected.len() as u64,
            "{time} {key:?}"
        );
        assert_eq!(
            self.is_empty(key).unwrap(),
            expected.is_empty(),
            "{time} {key:?}"
        );
        let values: Vec<V> = expected
            .iter_mut()
            .map(|timed| time.read(timed).clone())
            .collect();
        assert_eq!(self.get(key).unwrap(), values, "{time} {key:?}");
    }

    fn scanned(&self) -> Option<usize> {
        None
    }
}

#[test]
fn list_states_equal_plain_lists_through_restarts_and_rescales() {
    check::<ListState<u64, i64>>(1, 60, 1_500);
    check::<ListState<u64, String>>(2, 60, 1_500);
    check::<ListState<String, i64>>(3, 60, 1_500);
    check::<ListState<(String, String), Reading>>(4, 60, 1_500);
}
