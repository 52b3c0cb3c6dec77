//! Map state.

use std::collections::BTreeMap;

use fastrand::Rng;

use super::job::{Kind, check};
use super::timed::{Time, Timed};
use crate::error::Result;
use crate::model::KeyGroup;
use crate::state::tests::subject::{NAME, Reading, TestKey, TestValue, group_of};
use crate::state::{KeyedStateBackend, MapState, StateSpec, StateTtl};

impl<K: TestKey, M: TestKey, V: TestValue> Kind for MapState<K, M, V> {
    type Key = K;
    type Expected = BTreeMap<M, Timed<V>>;

    fn register(backend: &mut KeyedStateBackend, time_to_live: Option<StateTtl>) -> Result<Self> {
        match time_to_live {
            Some(ttl) => backend.map_state(StateSpec::new(NAME).with_time_to_live(ttl)),
            None => backend.map_state(NAME),
        }
    }

    fn key(number: u64) -> K {
        K::of(number)
    }

    fn group(key: &K) -> KeyGroup {
        group_of(key)
    }

    fn keep_live(expected: &mut Self::Expected, time: Time) -> usize {
        expected.retain(|_, timed| time.is_live(timed));
        expected.len()
    }

    fn step(&self, key: &K, expected: &mut Self::Expected, time: Time, random: &mut Rng) {
        let map_key = M::of(random.u64(..20));
        match random.u8(..10) {
            0 => {
                let value = V::random(random);
                self.put(key, &map_key, &value).unwrap();
                expected.insert(map_key, time.write(value));
            }
            1 => {
                let entries: BTreeMap<M, V> = (0..random.u64(..10))
                    .map(|_| (M::of(random.u64(..20)), V::random(random)))
                    .collect();
                self.put_all(key, &entries).unwrap();
                let entries = entries.into_iter();
                expected.extend(entries.map(|(map_key, value)| (map_key, time.write(value))));
            }
            2 => {
                let value = V::random(random);
                let before = expected.get(&map_key).map(|timed| timed.value.clone());
                self.upsert_with(key, &map_key, |found| {
                    assert_eq!(found, before, "{time} {key:?} {map_key:?}");
                    value.clone()
                })
                .unwrap();
                expected.insert(map_key, time.write(value));
            }
            3 | 4 => {
                let removed = self.remove(key, &map_key).unwrap();
                assert_eq!(
                    removed,
                    expected.remove(&map_key).is_some(),
                    "{time} {key:?} {map_key:?}"
                );
            }
            5 if random.u8(..8) == 0 => {
                self.clear(key).unwrap();
                expected.clear();
            }
            5 => {
                let found = self.get(key, &map_key).unwrap();
                let expected = expected.get_mut(&map_key).map(|timed| time.read(timed));
                assert_eq!(found.as_ref(), expected, "{time} {key:?} {map_key:?}");
            }
            6 => self.compare(key, expected, time),
            _ => change_batch(self, key, expected, time, random),
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
        let expected: BTreeMap<M, V> = expected
            .iter_mut()
            .map(|(map_key, timed)| (map_key.clone(), time.read(timed).clone()))
            .collect();
        let entries = self.entries(key).unwrap();
        let (keys, values): (Vec<M>, Vec<V>) = entries.iter().cloned().unzip();
        assert_eq!(keys, self.keys(key).unwrap(), "{time} {key:?}");
        assert_eq!(values, self.values(key).unwrap(), "{time} {key:?}");
        assert_eq!(entries.len(), expected.len(), "{time} {key:?}");
        assert_eq!(
            entries.into_iter().collect::<BTreeMap<_, _>>(),
            expected,
            "{time} {key:?}"
        );
    }

    fn scanned(&self) -> Option<usize> {
        let mut entries = 0;
        self.for_each(|_, _, _| {
            entries += 1;
            Ok(())
        })
        .unwrap();
        Some(entries)
    }
}

fn change_batch<K: TestKey, M: TestKey, V: TestValue>(
    state: &MapState<K, M, V>,
    key: &K,
    expected: &mut BTreeMap<M, Timed<V>>,
    time: Time,
    random: &mut Rng,
) {
    // Few map keys, so that many come more than once.
    let map_keys: Vec<M> = (0..random.u64(..40))
        .map(|_| M::of(random.u64(..20)))
        .collect();
    let initial: Vec<V> = map_keys.iter().map(|_| V::random(random)).collect();
    let by = random.u8(..);
    state
        .update_batch(
            map_keys.iter().map(|map_key| (key, map_key)),
            |index| initial[index].clone(),
            |_, value| V::change_archived(value, by),
        )
        .unwrap();
    for (map_key, initial) in map_keys.into_iter().zip(initial) {
        let mut value = match expected.remove(&map_key) {
            Some(timed) => timed.value,
            None => initial,
        };
        value.change(by);
        expected.insert(map_key, time.write(value));
    }
}

#[test]
fn map_states_equal_plain_maps_through_restarts_and_rescales() {
    check::<MapState<u64, u64, i64>>(1, 30, 1_000);
    check::<MapState<u64, String, i64>>(2, 30, 800);
    check::<MapState<String, u64, String>>(3, 30, 800);
    check::<MapState<(String, String), String, Reading>>(4, 30, 800);
}
