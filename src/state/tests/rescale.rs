//! Restores at another parallelism.

use std::collections::BTreeMap;
use std::path::Path;

use fastrand::Rng;

use super::chain::Chain;
use super::subject::{MAX_PARALLELISM, Subject, TestValue, open};
use crate::model::KeyGroupRange;
use crate::state::{EntryState, RestoredPart, StateDescriptor, ValueState};

/// What a checkpoint holds of one subtask: parts in order, and the groups that they count for.
struct Held {
    key_groups: KeyGroupRange,
    parts: Vec<RestoredPart>,
}

type Expected<S> = BTreeMap<<S as Subject>::Key, <S as Subject>::Value>;

/// Runs `parallelism` subtasks from what was held, changes their states at random, and takes a checkpoint.
fn run<S: Subject>(
    directory: &Path,
    random: &mut Rng,
    parallelism: usize,
    held: &[Held],
    descriptor: &mut Option<StateDescriptor>,
    expected: &mut Expected<S>,
) -> Vec<Held> {
    (0..parallelism)
        .map(|index| {
            let own = KeyGroupRange::of_subtask(index, parallelism, MAX_PARALLELISM);
            // Everyone is given everything that shares a group with it, and has to leave the rest.
            let parts: Vec<_> = held
                .iter()
                .filter(|held| held.key_groups.start < own.end && own.start < held.key_groups.end)
                .flat_map(|held| held.parts.clone())
                .collect();
            let restored = descriptor
                .clone()
                .map(|descriptor| (descriptor, parts.clone()));
            let (mut backend, state) = open::<S>(directory, own, restored).unwrap();
            compare(&state, own, expected);
            let mut chain = Chain::default();
            for _ in 0..random.usize(1..4) {
                change(&state, own, random, expected);
                while backend.copy_base_slice(2_000).unwrap() {}
                chain.add(backend.seal().unwrap().remove(0));
            }
            *descriptor = chain.descriptor.clone();
            let part = chain.part(own);
            // Older parts stand for nothing once there is a base, and else count for the own groups only.
            let older = if part.base.is_some() {
                Vec::new()
            } else {
                parts
            };
            let older = older.into_iter().map(|older| RestoredPart {
                key_groups: KeyGroupRange {
                    start: older.key_groups.start.max(own.start),
                    end: older.key_groups.end.min(own.end),
                },
                ..older
            });
            Held {
                key_groups: own,
                parts: older.chain([part]).collect(),
            }
        })
        .collect()
}

fn compare<S: Subject>(state: &S, own: KeyGroupRange, expected: &Expected<S>) {
    let records = state.records().unwrap();
    let mine: Vec<_> = expected
        .iter()
        .filter(|(key, _)| own.contains(S::group(key)))
        .collect();
    assert_eq!(records.len(), mine.len(), "{own:?}");
    let records: Expected<S> = records.into_iter().collect();
    assert!(records.iter().eq(mine), "{own:?}");
}

fn change<S: Subject>(state: &S, own: KeyGroupRange, random: &mut Rng, expected: &mut Expected<S>) {
    for _ in 0..random.usize(1..3_000) {
        let key = S::random_key(random, 2_500);
        if !own.contains(S::group(&key)) {
            continue;
        }
        if random.u8(..3) == 0 {
            state.remove(&key).unwrap();
            expected.remove(&key);
        } else {
            let value = S::Value::random(random);
            state.put(&key, &value).unwrap();
            expected.insert(key, value);
        }
    }
}

fn check<S: Subject>(seed: u64) {
    let folder = tempfile::tempdir().unwrap();
    let mut random = Rng::with_seed(seed);
    let mut expected = Expected::<S>::new();
    let mut descriptor = None;
    let mut held = Vec::new();
    for parallelism in [1, 2, 3, 2, 7, 1, 16, 1] {
        held = run::<S>(
            folder.path(),
            &mut random,
            parallelism,
            &held,
            &mut descriptor,
            &mut expected,
        );
    }
    assert!(!expected.is_empty(), "seed {seed}");
}

#[test]
fn each_subtask_takes_its_own_groups_at_any_parallelism() {
    for seed in 1..3 {
        check::<ValueState<u64, i64>>(seed);
        check::<ValueState<String, String>>(seed + 100);
    }
}

#[test]
fn all_entries_of_a_key_go_to_one_subtask() {
    for seed in 1..3 {
        check::<EntryState<u64, u64, i64>>(seed);
        check::<EntryState<String, u64, String>>(seed + 100);
    }
}
