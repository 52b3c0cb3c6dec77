//! Growth, room given back, misuse, and what a user is told.

use std::path::Path;

use fastrand::Rng;

use super::chain::{Chain, in_memory, joined};
use super::subject::{NAME, all_groups, open};
use crate::error::ErrorKind;
use crate::model::{KeyGroupRange, SystemClock};
use crate::state::{
    KeyedStateBackend, RestoredPart, RestoredState, ScanCursor, StateSettings, ValueState,
};

type Numbers = ValueState<u64, i64>;
type Texts = ValueState<u64, String>;

fn backend(directory: &Path) -> KeyedStateBackend {
    backend_with(directory, Vec::new())
}

fn backend_with(directory: &Path, restored: Vec<RestoredState>) -> KeyedStateBackend {
    let settings = StateSettings {
        directory: Some(directory.to_path_buf()),
        max_parallelism: 16,
        key_groups: all_groups(),
        incremental: true,
        local_recovery: None,
        clock: SystemClock::shared(),
    };
    KeyedStateBackend::new(settings, restored)
}

#[test]
fn a_million_keys_are_all_found_and_come_back_from_base_and_deltas() {
    let folder = tempfile::tempdir().unwrap();
    let (mut live, state) =
        open::<Numbers>(&folder.path().join("live"), all_groups(), None).unwrap();
    let mut chain = Chain::default();
    let keys: Vec<u64> = (0..1_000_000).map(|key| key * 7).collect();
    // All of them once, and then half of them again: the deltas outgrow the state.
    for batch in keys.chunks(1024).chain(keys[..500_000].chunks(1024)) {
        state
            .update_batch(batch, |_| 0, |_, value| *value.unseal() += 1)
            .unwrap();
        live.copy_base_slice(64 << 10).unwrap();
        if batch[0] % 3 == 0 {
            chain.add(live.seal().unwrap().remove(0));
        }
    }
    while live.copy_base_slice(1 << 20).unwrap() {}
    chain.add(live.seal().unwrap().remove(0));
    assert!(chain.bases > 0);
    let statistics = &live.statistics()[0];
    assert_eq!(statistics.records, 1_000_000);
    assert!(
        (0.3..=0.8).contains(&statistics.table_load),
        "{statistics:?}"
    );
    let restored = Some((
        chain.descriptor.clone().unwrap(),
        vec![chain.part(all_groups())],
    ));
    let (_backend, restored) =
        open::<Numbers>(&folder.path().join("restored"), all_groups(), restored).unwrap();
    let mut sum = 0;
    restored
        .for_each(|key, value| {
            assert_eq!(key.to_native() % 7, 0);
            sum += value.to_native();
            Ok(())
        })
        .unwrap();
    assert_eq!(sum, 1_500_000);
}

#[test]
fn removed_records_give_their_room_back() {
    let folder = tempfile::tempdir().unwrap();
    let mut backend = backend(folder.path());
    let numbers: Numbers = backend.value_state("numbers").unwrap();
    let texts: Texts = backend.value_state("texts").unwrap();
    let mut random = Rng::with_seed(1);
    let mut bytes_max = 0;
    for round in 0..30_u64 {
        let keys: Vec<u64> = (0..2_000).map(|key| round * 2_000 + key).collect();
        for key in &keys {
            numbers.put(key, &1).unwrap();
            texts.put(key, &"x".repeat(random.usize(..100))).unwrap();
        }
        let bytes: u64 = backend
            .statistics()
            .iter()
            .map(|state| state.table_bytes)
            .sum();
        if round == 2 {
            bytes_max = bytes * 5 / 4;
        }
        assert!(
            round < 3 || bytes <= bytes_max,
            "round {round}: {bytes} of {bytes_max}"
        );
        for key in &keys {
            assert!(numbers.remove(key).unwrap());
            assert!(texts.remove(key).unwrap());
        }
        drop(backend.seal().unwrap());
    }
    let statistics = backend.statistics();
    assert!(
        statistics
            .iter()
            .all(|state| state.records == 0 && state.live_bytes == 0)
    );
}

#[test]
fn sealed_bytes_never_change_and_their_chunks_are_used_again() {
    let folder = tempfile::tempdir().unwrap();
    let (mut backend, state) = open::<Numbers>(folder.path(), all_groups(), None).unwrap();
    let mut kept = Vec::new();
    for epoch in 0..20_i64 {
        for key in 0..500 {
            state.put(&key, &epoch).unwrap();
        }
        let delta = backend.seal().unwrap().remove(0).delta;
        let copy = joined(&delta);
        kept.push((delta, copy));
        if epoch % 5 == 4 {
            for (delta, copy) in kept.drain(..) {
                assert_eq!(joined(&delta), copy, "epoch {epoch}");
            }
        }
    }
    let files = std::fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(files, 1, "twenty epochs fit into the first segment");
}

#[test]
fn an_epoch_without_a_touch_has_an_empty_delta() {
    let folder = tempfile::tempdir().unwrap();
    let (mut backend, state) = open::<Numbers>(folder.path(), all_groups(), None).unwrap();
    state.put(&1, &1).unwrap();
    assert!(!backend.seal().unwrap()[0].delta.is_empty());
    assert_eq!(state.get(&1).unwrap(), Some(1));
    let sealed = backend.seal().unwrap().remove(0);
    assert!(sealed.delta.is_empty());
    assert_eq!(sealed.epoch.0, 2);
}

#[test]
fn many_touches_of_one_record_are_one_record_of_the_delta() {
    let folder = tempfile::tempdir().unwrap();
    let (mut backend, state) = open::<Texts>(folder.path(), all_groups(), None).unwrap();
    for text in ["one", "two", "six", "ten"] {
        state.put(&1, &text.to_owned()).unwrap();
    }
    let once = backend.seal().unwrap()[0].delta.len();
    state.put(&1, &"one".to_owned()).unwrap();
    assert_eq!(backend.seal().unwrap()[0].delta.len(), once);
}

#[test]
fn without_increments_each_barrier_gives_all_there_is() {
    let folder = tempfile::tempdir().unwrap();
    let settings = StateSettings {
        directory: Some(folder.path().join("live")),
        max_parallelism: 16,
        key_groups: all_groups(),
        incremental: false,
        local_recovery: None,
        clock: SystemClock::shared(),
    };
    let mut backend = KeyedStateBackend::new(settings, Vec::new());
    let numbers: ValueState<u64, i64> = backend.value_state("numbers").unwrap();
    let texts: ValueState<u64, String> = backend.value_state("texts").unwrap();
    for key in 0..500_u64 {
        numbers.put(&key, &1).unwrap();
        texts.put(&key, &key.to_string()).unwrap();
    }
    drop(backend.seal().unwrap());
    numbers.put(&7, &2).unwrap();
    numbers.remove(&8).unwrap();
    texts.remove(&9).unwrap();
    for state in backend.seal().unwrap() {
        assert!(state.delta.is_empty());
        assert_eq!(state.base.as_ref().unwrap().first_epoch, state.epoch);
        let restored = RestoredState {
            name: state.name.clone(),
            descriptor: state.descriptor,
            parts: vec![RestoredPart {
                key_groups: all_groups(),
                base: Some(joined(in_memory(&state.base.unwrap()))),
                deltas: Vec::new(),
            }]
            .into(),
        };
        let mut other = backend_with(&folder.path().join("other"), vec![restored]);
        if *state.name == *"numbers" {
            let numbers: ValueState<u64, i64> = other.value_state("numbers").unwrap();
            let found: Vec<_> = (6..10).map(|key| numbers.get(&key).unwrap()).collect();
            assert_eq!(found, [Some(1), Some(2), None, Some(1)]);
        } else {
            let texts: ValueState<u64, String> = other.value_state("texts").unwrap();
            let found: Vec<_> = (8..10).map(|key| texts.get(&key).unwrap()).collect();
            assert_eq!(found, [Some("8".to_owned()), None]);
        }
    }
}

#[test]
fn a_value_larger_than_a_chunk_goes_through() {
    let folder = tempfile::tempdir().unwrap();
    let (mut backend, state) =
        open::<Texts>(&folder.path().join("live"), all_groups(), None).unwrap();
    let large = "large".repeat(1 << 20);
    state.put(&1, &large).unwrap();
    state.put(&2, &"small".to_owned()).unwrap();
    let mut chain = Chain::default();
    chain.add(backend.seal().unwrap().remove(0));
    let restored = Some((
        chain.descriptor.clone().unwrap(),
        vec![chain.part(all_groups())],
    ));
    let (_backend, restored) =
        open::<Texts>(&folder.path().join("restored"), all_groups(), restored).unwrap();
    assert!(restored.get(&1).unwrap() == Some(large));
    assert_eq!(restored.get(&2).unwrap().as_deref(), Some("small"));
}

#[test]
fn a_scan_in_portions_visits_every_record_once_while_the_state_grows() {
    let folder = tempfile::tempdir().unwrap();
    let (_backend, state) = open::<Numbers>(folder.path(), all_groups(), None).unwrap();
    for key in 0..50_000 {
        state.put(&key, &0).unwrap();
    }
    let mut visits = vec![0; 50_000];
    let mut cursor = ScanCursor::default();
    let mut portions = 0;
    loop {
        let more = state
            .scan(&mut cursor, 1_000, |key, _| {
                if let Some(visits) = visits.get_mut(key.to_native() as usize) {
                    *visits += 1;
                }
                Ok(())
            })
            .unwrap();
        if !more {
            break;
        }
        portions += 1;
        for key in 0..3_000 {
            state
                .put(&(1_000_000 + portions * 3_000 + key), &0)
                .unwrap();
        }
    }
    assert!(portions > 10);
    assert!(visits.iter().all(|&visits| visits == 1));
}

#[test]
fn using_a_state_within_its_own_closure_is_an_error_and_leaves_it_usable() {
    let folder = tempfile::tempdir().unwrap();
    let (mut backend, state) = open::<Numbers>(folder.path(), all_groups(), None).unwrap();
    state.put(&1, &10).unwrap();
    let inner = state.with(&1, |_| state.put(&2, &20)).unwrap().unwrap_err();
    assert_eq!(inner.kind(), ErrorKind::Operator);
    assert!(inner.to_string().contains(NAME), "{inner}");
    let sealed = state.with(&1, |_| backend.seal().is_err()).unwrap();
    assert!(sealed);
    assert_eq!(state.get(&1).unwrap(), Some(10));
}

#[test]
fn a_key_of_another_subtask_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let first = KeyGroupRange::of_subtask(0, 2, 16);
    let (_backend, state) = open::<Numbers>(folder.path(), first, None).unwrap();
    let outcomes: Vec<_> = (0..100).map(|key| state.put(&key, &1)).collect();
    let refused: Vec<_> = outcomes.into_iter().filter_map(Result::err).collect();
    assert!((20..80).contains(&refused.len()));
    assert!(refused.iter().all(|error| error.kind() == ErrorKind::Bug));
    assert!(
        refused[0].to_string().contains("owns 0 to 7"),
        "{}",
        refused[0]
    );
}

#[test]
fn a_name_can_be_registered_once() {
    let folder = tempfile::tempdir().unwrap();
    let mut backend = backend(folder.path());
    let _first: Numbers = backend.value_state("sum").unwrap();
    let error = backend.entry_state::<u64, u64, i64>("sum").err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Operator);
    assert!(
        error.to_string().contains("\"sum\" is registered twice"),
        "{error}"
    );
}

#[test]
fn a_restored_state_that_nothing_registers_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let (mut first, state) = open::<Numbers>(&folder.path().join("a"), all_groups(), None).unwrap();
    state.put(&1, &1).unwrap();
    let sealed = first.seal().unwrap().remove(0);
    let restored = RestoredState {
        name: sealed.name,
        descriptor: sealed.descriptor,
        parts: Vec::new().into(),
    };
    let settings = StateSettings {
        directory: Some(folder.path().join("b")),
        max_parallelism: 16,
        key_groups: all_groups(),
        incremental: true,
        local_recovery: None,
        clock: SystemClock::shared(),
    };
    let mut backend = KeyedStateBackend::new(settings, vec![restored]);
    assert_eq!(backend.unclaimed(), [NAME]);
    assert!(
        !folder.path().join("b").exists(),
        "nothing is registered yet"
    );
    let _state: Numbers = backend.value_state(NAME).unwrap();
    assert!(backend.unclaimed().is_empty());
}

#[test]
fn a_folder_that_cannot_be_made_is_an_error_that_names_it() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("file"), "").unwrap();
    let mut backend = backend(&folder.path().join("file/state"));
    let error = backend.value_state::<u64, i64>("sum").err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Environment);
    assert!(error.to_string().contains("file/state"), "{error}");
}
