//! Migrations of whole states: all layouts, with bases, deltas and deletions, at other parallelisms.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::path::Path;

use fastrand::Rng;

use super::chain::Chain;
use super::subject::{MAX_PARALLELISM, NAME, TestKey, group_of};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{KeyGroup, KeyGroupRange, SystemClock};
use crate::state::{
    EntryState, KeyedStateBackend, RestoredPart, RestoredState, StateDescriptor, StateSettings,
    StateSpec, StateValue, ValueState,
};

/// A value that stands for a number, so that those of different types can be compared.
trait Number: StateValue + Clone + PartialEq + Debug {
    fn of(number: u32) -> Self;
    fn number(&self) -> u32;
}

impl Number for u32 {
    fn of(number: u32) -> Self {
        number
    }

    fn number(&self) -> u32 {
        *self
    }
}

impl Number for i64 {
    fn of(number: u32) -> Self {
        -i64::from(number)
    }

    fn number(&self) -> u32 {
        -*self as u32
    }
}

impl Number for String {
    fn of(number: u32) -> Self {
        "n".repeat(number as usize % 30) + &number.to_string()
    }

    fn number(&self) -> u32 {
        self.trim_start_matches('n').parse().unwrap()
    }
}

/// A state of either kind whose values stand for numbers.
trait Numbers: Sized {
    type Key: Ord + Clone + Debug;
    type Value: Number;
    fn register(backend: &mut KeyedStateBackend, spec: StateSpec<Self::Value>) -> Result<Self>;
    fn key(number: u64) -> Self::Key;
    fn group(key: &Self::Key) -> KeyGroup;
    fn set(&self, key: &Self::Key, number: u32);
    fn take(&self, key: &Self::Key);
    fn number_of(&self, key: &Self::Key) -> Option<u32>;
    fn count(&self) -> usize;
}

impl<K: TestKey, V: Number> Numbers for ValueState<K, V> {
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

    fn set(&self, key: &K, number: u32) {
        self.put(key, &V::of(number)).unwrap();
    }

    fn take(&self, key: &K) {
        self.remove(key).unwrap();
    }

    fn number_of(&self, key: &K) -> Option<u32> {
        self.get(key).unwrap().as_ref().map(V::number)
    }

    fn count(&self) -> usize {
        let mut count = 0;
        self.for_each(|_, _| {
            count += 1;
            Ok(())
        })
        .unwrap();
        count
    }
}

impl<K: TestKey, M: TestKey, V: Number> Numbers for EntryState<K, M, V> {
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

    fn set(&self, (key, map_key): &(K, M), number: u32) {
        self.put(key, map_key, &V::of(number)).unwrap();
    }

    fn take(&self, (key, map_key): &(K, M)) {
        self.remove(key, map_key).unwrap();
    }

    fn number_of(&self, (key, map_key): &(K, M)) -> Option<u32> {
        self.get(key, map_key).unwrap().as_ref().map(V::number)
    }

    fn count(&self) -> usize {
        let mut count = 0;
        self.for_each(|_, _, _| {
            count += 1;
            Ok(())
        })
        .unwrap();
        count
    }
}

/// What a checkpoint holds of the state of all subtasks.
struct Held {
    descriptor: StateDescriptor,
    parts: Vec<RestoredPart>,
}

/// The subtasks of a job, run after run.
struct Job<S: Numbers> {
    folder: tempfile::TempDir,
    random: Rng,
    expected: BTreeMap<S::Key, u32>,
    held: Option<Held>,
    context: String,
}

impl<S: Numbers> Job<S> {
    fn new(seed: u64) -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            random: Rng::with_seed(seed),
            expected: BTreeMap::new(),
            held: None,
            context: format!("seed {seed}"),
        }
    }

    /// Restores all subtasks from what is held, changes their state at random, and takes a checkpoint.
    fn run(&mut self, parallelism: usize, epochs: usize, spec: &StateSpec<S::Value>) {
        let mut next: Option<Held> = None;
        for index in 0..parallelism {
            let own = KeyGroupRange::of_subtask(index, parallelism, MAX_PARALLELISM);
            let directory = self.folder.path();
            let (mut backend, state) = open::<S>(directory, own, spec, self.held.as_ref()).unwrap();
            self.compare(&state, own);
            let mut chain = Chain::default();
            for _ in 0..epochs {
                self.change(&state, own);
                while backend.copy_base_slice(1_000).unwrap() {}
                chain.add(backend.seal().unwrap().remove(0));
            }
            let next = next.get_or_insert_with(|| Held {
                descriptor: chain.descriptor.clone().unwrap(),
                parts: Vec::new(),
            });
            if chain.bases == 0 {
                let inherited = self.held.iter().flat_map(|held| &held.parts);
                next.parts.extend(inherited.map(|part| narrowed(part, own)));
            }
            next.parts.push(chain.part(own));
        }
        self.held = next;
    }

    fn compare(&self, state: &S, own: KeyGroupRange) {
        let mine = self
            .expected
            .iter()
            .filter(|(key, _)| own.contains(S::group(key)));
        for (key, number) in mine.clone() {
            assert_eq!(
                state.number_of(key),
                Some(*number),
                "{} {key:?}",
                self.context
            );
        }
        assert_eq!(state.count(), mine.count(), "{}", self.context);
    }

    fn change(&mut self, state: &S, own: KeyGroupRange) {
        for _ in 0..self.random.usize(1..100) {
            let key = S::key(self.random.u64(..500));
            if !own.contains(S::group(&key)) {
                continue;
            }
            if self.random.u8(..3) == 0 {
                state.take(&key);
                self.expected.remove(&key);
            } else {
                let number = self.random.u32(..1 << 30);
                state.set(&key, number);
                self.expected.insert(key, number);
            }
        }
    }

    /// The job with another type of state.
    fn evolved<After: Numbers<Key = S::Key>>(self) -> Job<After> {
        Job {
            folder: self.folder,
            random: self.random,
            expected: self.expected,
            held: self.held,
            context: self.context,
        }
    }
}

fn narrowed(part: &RestoredPart, own: KeyGroupRange) -> RestoredPart {
    RestoredPart {
        key_groups: KeyGroupRange {
            start: part.key_groups.start.max(own.start),
            end: part.key_groups.end.min(own.end),
        },
        ..part.clone()
    }
}

fn open<S: Numbers>(
    directory: &Path,
    key_groups: KeyGroupRange,
    spec: &StateSpec<S::Value>,
    held: Option<&Held>,
) -> Result<(KeyedStateBackend, S)> {
    let settings = StateSettings {
        directory: Some(directory.to_path_buf()),
        max_parallelism: MAX_PARALLELISM,
        key_groups,
        incremental: true,
        local_recovery: None,
        clock: SystemClock::shared(),
    };
    let restored = held.map(|held| RestoredState {
        name: NAME.into(),
        descriptor: held.descriptor.clone(),
        parts: held.parts.clone().into(),
    });
    let mut backend = KeyedStateBackend::new(settings, restored.into_iter().collect());
    let state = S::register(&mut backend, spec.clone())?;
    Ok((backend, state))
}

fn first<V: Number>() -> StateSpec<V> {
    NAME.into()
}

fn second<V: Number>() -> StateSpec<V> {
    first().with_version(2)
}

fn migrating<Old: Number, V: Number>() -> StateSpec<V> {
    second().with_migration(1, |old: Old| V::of(old.number()))
}

fn check<Before: Numbers, After: Numbers<Key = Before::Key>>(seed: u64) {
    let mut before = Job::<Before>::new(seed);
    // So many epochs bring a base about.
    before.run(2, 80, &first());
    let parts = &before.held.as_ref().unwrap().parts;
    assert!(parts.iter().any(|part| part.base.is_some()), "seed {seed}");
    before.run(3, 2, &first());
    let spec = migrating::<Before::Value, After::Value>();
    let mut after = before.evolved::<After>();
    after.run(2, 2, &spec);
    // What the migration left is in the new layout alone: the migration is neither needed nor called again.
    after.run(1, 2, &second());
    after.run(4, 1, &spec);
    assert!(!after.expected.is_empty(), "seed {seed}");
}

#[test]
fn every_layout_is_migrated_to_every_other() {
    check::<ValueState<u64, u32>, ValueState<u64, i64>>(1);
    check::<ValueState<u64, i64>, ValueState<u64, String>>(2);
    check::<ValueState<u64, String>, ValueState<u64, i64>>(3);
    check::<ValueState<String, u32>, ValueState<String, i64>>(4);
    check::<ValueState<(String, String), String>, ValueState<(String, String), u32>>(5);
}

#[test]
fn maps_are_migrated_entry_by_entry() {
    check::<EntryState<u64, u64, u32>, EntryState<u64, u64, i64>>(11);
    check::<EntryState<u64, u64, i64>, EntryState<u64, u64, String>>(12);
    check::<EntryState<u64, u64, String>, EntryState<u64, u64, u32>>(13);
    check::<EntryState<String, u64, String>, EntryState<String, u64, i64>>(14);
}

#[test]
fn a_subtask_without_a_record_leaves_the_old_layout_too() {
    let mut before = Job::<ValueState<u64, u32>>::new(21);
    before.run(1, 1, &first());
    let after = before.evolved::<ValueState<u64, i64>>();
    let (mut backend, state) = open::<ValueState<u64, i64>>(
        after.folder.path(),
        KeyGroupRange { start: 3, end: 3 },
        &migrating::<u32, i64>(),
        after.held.as_ref(),
    )
    .unwrap();
    assert_eq!(state.count(), 0);
    let base = backend.seal().unwrap().remove(0).base.unwrap();
    assert_eq!((base.first_epoch.0, base.content.len()), (1, 0));
    assert!(backend.seal().unwrap().remove(0).base.is_none());
}

/// Opens the whole state from what the job holds.
fn open_all<S: Numbers>(job: &Job<S>, held: &Held, spec: &StateSpec<i64>) -> Result<usize> {
    let own = KeyGroupRange::of_subtask(0, 1, MAX_PARALLELISM);
    let (_, state) = open::<ValueState<u64, i64>>(job.folder.path(), own, spec, Some(held))?;
    Ok(state.count())
}

#[test]
fn a_migration_that_fails_says_so() {
    let mut job = Job::<ValueState<u64, u32>>::new(31);
    job.run(1, 3, &first());
    let refuse = |_: u32| Err(Error::new(ErrorKind::Data, "no such number"));
    let spec = second().with_fallible_migration(1, refuse);
    let error = open_all(&job, job.held.as_ref().unwrap(), &spec).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Data);
    let text = "its delta 0: its migration from version 1: no such number";
    assert_eq!(
        error.to_string(),
        format!("state \"{NAME}\": part 0: {text}")
    );
}

#[test]
fn damaged_old_pieces_are_refused_or_read_and_never_crash() {
    for seed in 41..45 {
        let mut job = Job::<ValueState<u64, String>>::new(seed);
        job.run(1, 3, &first());
        let held = job.held.take().unwrap();
        // Damage that passes for a number is none that a migration could see.
        let spec = second().with_migration(1, |text: String| text.len() as i64);
        let mut refused = 0;
        for round in 0..100 {
            let mut part = held.parts[0].clone();
            let mut delta = part.deltas[1].to_vec();
            let at = job.random.usize(..delta.len());
            delta[at] ^= 1 << job.random.u8(..8);
            part.deltas[1] = delta.into();
            let damaged = Held {
                descriptor: held.descriptor.clone(),
                parts: vec![part],
            };
            if let Err(error) = open_all(&job, &damaged, &spec) {
                let context = format!("seed {seed} round {round}: {error}");
                assert_eq!(error.kind(), ErrorKind::Corrupt, "{context}");
                refused += 1;
            }
        }
        assert!(refused > 10, "seed {seed}: only {refused} were refused");
    }
}
