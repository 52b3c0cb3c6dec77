//! The states under test, behind one face: value and map states of several types.

use std::fmt::Debug;
use std::path::Path;
use std::sync::Arc;

use fastrand::Rng;
use rkyv::munge::munge;
use rkyv::rancor::Error as ArchiveError;
use rkyv::seal::Seal;
use rkyv::string::ArchivedString;
use rkyv::{Archive, Archived, Deserialize, Serialize};

use crate::error::Result;
use crate::model::{KeyGroup, KeyGroupRange, SystemClock, hash_key};
use crate::state::{
    BaseOutlet, EntryState, KeyedStateBackend, RestoredPart, RestoredState, StateDescriptor,
    StateKey, StateSettings, StateSpec, StateValue, ValueState,
};

pub(super) const MAX_PARALLELISM: u16 = 16;
pub(super) const NAME: &str = "counts";

pub(super) fn all_groups() -> KeyGroupRange {
    KeyGroupRange::of_subtask(0, 1, MAX_PARALLELISM)
}

/// A value that random ones can be made of, and that can be changed in place without changing its size.
pub(super) trait TestValue: StateValue + Clone + PartialEq + Debug {
    fn random(random: &mut Rng) -> Self;
    fn change(&mut self, by: u8);
    fn change_archived(value: Seal<'_, Archived<Self>>, by: u8);
}

impl TestValue for i64 {
    fn random(random: &mut Rng) -> Self {
        random.i64(..)
    }

    fn change(&mut self, by: u8) {
        *self = self.wrapping_add(i64::from(by));
    }

    fn change_archived(value: Seal<'_, Archived<Self>>, by: u8) {
        let value = value.unseal();
        *value = value.to_native().wrapping_add(i64::from(by)).into();
    }
}

fn change_letters(text: &mut str, by: u8) {
    if by.is_multiple_of(2) {
        text.make_ascii_uppercase();
    } else {
        text.make_ascii_lowercase();
    }
}

fn random_text(random: &mut Rng, length_max: usize) -> String {
    let length = random.usize(..length_max);
    (0..length).map(|_| random.lowercase()).collect()
}

impl TestValue for String {
    fn random(random: &mut Rng) -> Self {
        random_text(random, 40)
    }

    fn change(&mut self, by: u8) {
        change_letters(self, by);
    }

    fn change_archived(value: Seal<'_, Archived<Self>>, by: u8) {
        change_letters(ArchivedString::as_str_seal(value).unseal(), by);
    }
}

crate::state_schema! {
    /// A value with a part that can be changed in place, and a part that varies in size.
    #[derive(Clone, Debug, PartialEq, Archive, Serialize, Deserialize)]
    pub(super) struct Reading {
        pub(super) count: i64,
        pub(super) label: String,
    }
}

impl TestValue for Reading {
    fn random(random: &mut Rng) -> Self {
        Self {
            count: random.i64(..),
            label: random_text(random, 300),
        }
    }

    fn change(&mut self, by: u8) {
        self.count.change(by);
    }

    #[expect(
        unsafe_code,
        reason = "the macro that takes a sealed struct apart expands to it"
    )]
    fn change_archived(value: Seal<'_, Archived<Self>>, by: u8) {
        munge!(let ArchivedReading { count, .. } = value);
        i64::change_archived(count, by);
    }
}

/// A state of either kind, with whatever its records are identified by as the key.
pub(super) trait Subject: Sized {
    type Key: Ord + Clone + Debug;
    type Value: TestValue;
    fn register(backend: &mut KeyedStateBackend, spec: StateSpec<Self::Value>) -> Result<Self>;
    fn key(number: u64) -> Self::Key;
    fn group(key: &Self::Key) -> KeyGroup;

    fn random_key(random: &mut Rng, keys: u64) -> Self::Key {
        Self::key(random.u64(..keys))
    }

    fn get(&self, key: &Self::Key) -> Result<Option<Self::Value>>;
    fn put(&self, key: &Self::Key, value: &Self::Value) -> Result<()>;
    fn upsert(&self, key: &Self::Key, value: Self::Value) -> Result<()>;
    fn remove(&self, key: &Self::Key) -> Result<bool>;
    fn change_batch(&self, keys: &[Self::Key], initial: &[Self::Value], by: u8) -> Result<()>;
    fn records(&self) -> Result<Vec<(Self::Key, Self::Value)>>;
}

/// A key that random ones can be made of.
pub(super) trait TestKey: StateKey + Ord + Clone + Debug {
    fn of(number: u64) -> Self;
}

impl TestKey for u64 {
    fn of(number: u64) -> Self {
        number
    }
}

impl TestKey for String {
    fn of(number: u64) -> Self {
        // Short ones lie in the archived string itself, long ones outside it.
        "k".repeat(number as usize % 13) + &number.to_string()
    }
}

impl TestKey for (String, String) {
    fn of(number: u64) -> Self {
        (String::of(number / 7), String::of(number % 7))
    }
}

pub(super) fn group_of<K: StateKey>(key: &K) -> KeyGroup {
    let bytes = rkyv::to_bytes::<ArchiveError>(key).unwrap();
    KeyGroup::of_hash(hash_key(&bytes), MAX_PARALLELISM)
}

fn back<T: StateValue>(archived: &Archived<T>) -> T {
    rkyv::deserialize::<T, ArchiveError>(archived).unwrap()
}

impl<K: TestKey, V: TestValue> Subject for ValueState<K, V> {
    type Key = K;
    type Value = V;

    fn register(backend: &mut KeyedStateBackend, spec: StateSpec<V>) -> Result<Self> {
        backend.value_state(spec)
    }

    fn key(number: u64) -> K {
        K::of(number)
    }

    fn group(key: &K) -> KeyGroup {
        group_of(key)
    }

    fn get(&self, key: &K) -> Result<Option<V>> {
        self.get(key)
    }

    fn put(&self, key: &K, value: &V) -> Result<()> {
        self.put(key, value)
    }

    fn upsert(&self, key: &K, value: V) -> Result<()> {
        self.upsert_with(key, |_| value)
    }

    fn remove(&self, key: &K) -> Result<bool> {
        self.remove(key)
    }

    fn change_batch(&self, keys: &[K], initial: &[V], by: u8) -> Result<()> {
        self.update_batch(
            keys,
            |index| initial[index].clone(),
            |_, value| V::change_archived(value, by),
        )
    }

    fn records(&self) -> Result<Vec<(K, V)>> {
        let mut records = Vec::new();
        self.for_each(|key, value| {
            records.push((back(key), back(value)));
            Ok(())
        })?;
        Ok(records)
    }
}

impl<K: TestKey, M: TestKey, V: TestValue> Subject for EntryState<K, M, V> {
    type Key = (K, M);
    type Value = V;

    fn register(backend: &mut KeyedStateBackend, spec: StateSpec<V>) -> Result<Self> {
        backend.entry_state(spec)
    }

    fn key(number: u64) -> (K, M) {
        (K::of(number / 5), M::of(number % 5))
    }

    fn group((key, _): &(K, M)) -> KeyGroup {
        group_of(key)
    }

    fn get(&self, (key, map_key): &(K, M)) -> Result<Option<V>> {
        self.get(key, map_key)
    }

    fn put(&self, (key, map_key): &(K, M), value: &V) -> Result<()> {
        self.put(key, map_key, value)
    }

    fn upsert(&self, (key, map_key): &(K, M), value: V) -> Result<()> {
        self.upsert_with(key, map_key, |_| value)
    }

    fn remove(&self, (key, map_key): &(K, M)) -> Result<bool> {
        self.remove(key, map_key)
    }

    fn change_batch(&self, keys: &[(K, M)], initial: &[V], by: u8) -> Result<()> {
        self.update_batch(
            keys.iter().map(|(key, map_key)| (key, map_key)),
            |index| initial[index].clone(),
            |_, value| V::change_archived(value, by),
        )
    }

    fn records(&self) -> Result<Vec<((K, M), V)>> {
        let mut records = Vec::new();
        self.for_each(|key, map_key, value| {
            records.push(((back(key), back(map_key)), back(value)));
            Ok(())
        })?;
        Ok(records)
    }
}

/// A backend and its one state, restored from `parts` if a descriptor is given.
pub(super) fn open<S: Subject>(
    directory: &Path,
    key_groups: KeyGroupRange,
    restored: Option<(StateDescriptor, Vec<RestoredPart>)>,
) -> Result<(KeyedStateBackend, S)> {
    open_with(directory, key_groups, restored, None)
}

/// The same, with somewhere for its bases to go.
pub(super) fn open_with<S: Subject>(
    directory: &Path,
    key_groups: KeyGroupRange,
    restored: Option<(StateDescriptor, Vec<RestoredPart>)>,
    outlet: Option<Arc<dyn BaseOutlet>>,
) -> Result<(KeyedStateBackend, S)> {
    let settings = StateSettings {
        directory: Some(directory.to_path_buf()),
        max_parallelism: MAX_PARALLELISM,
        key_groups,
        incremental: true,
        local_recovery: None,
        clock: SystemClock::shared(),
    };
    let restored = restored
        .map(|(descriptor, parts)| RestoredState {
            name: NAME.into(),
            descriptor,
            parts: parts.into(),
        })
        .into_iter()
        .collect();
    let mut backend = KeyedStateBackend::new(settings, restored).with_base_outlet(outlet);
    let state = S::register(&mut backend, NAME.into())?;
    Ok((backend, state))
}
