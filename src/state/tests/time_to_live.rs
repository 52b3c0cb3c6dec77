//! Time-to-live: what bounds the memory, what a slice may do, and what a checkpoint keeps.

use std::sync::Arc;
use std::time::Duration;

use super::chain::Chain;
use super::subject::{MAX_PARALLELISM, NAME, all_groups};
use crate::error::{ErrorKind, Result};
use crate::model::{Clock, ManualClock};
use crate::state::{
    EntryState, KeyedStateBackend, ListState, MapState, RestoredState, StateSettings, StateSpec,
    StateTtl, TtlUpdate, ValueState,
};

const SECOND: Duration = Duration::from_secs(1);

/// One subtask that owns all key groups.
struct Subtask {
    clock: Arc<ManualClock>,
    backend: KeyedStateBackend,
    _folder: tempfile::TempDir,
}

impl Subtask {
    fn new(restored: Vec<RestoredState>, now: Duration) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::default());
        clock.advance(now);
        let settings = StateSettings {
            directory: Some(folder.path().to_path_buf()),
            max_parallelism: MAX_PARALLELISM,
            key_groups: all_groups(),
            incremental: true,
            local_recovery: None,
            clock: clock.clone(),
        };
        Self {
            clock,
            backend: KeyedStateBackend::new(settings, restored),
            _folder: folder,
        }
    }

    fn pass(&self, duration: Duration) {
        self.clock.advance(duration);
        self.backend.advance_time();
    }

    fn records(&self) -> u64 {
        self.backend.statistics()[0].records
    }

    /// What a checkpoint of the subtask gives back.
    fn checkpoint(&mut self) -> Vec<RestoredState> {
        let sealed = self.backend.seal().unwrap();
        let restored = sealed.into_iter().map(|sealed| {
            let mut chain = Chain::default();
            let (name, descriptor) = (sealed.name.clone(), sealed.descriptor.clone());
            chain.add(sealed);
            RestoredState {
                name,
                descriptor,
                parts: vec![chain.part(all_groups())].into(),
            }
        });
        restored.collect()
    }
}

fn lasting<V>(duration: Duration) -> StateSpec<V> {
    StateSpec::new(NAME).with_time_to_live(StateTtl::new(duration))
}

#[test]
fn the_memory_stays_bounded_while_ever_new_keys_come() {
    let subtask = &mut Subtask::new(Vec::new(), Duration::ZERO);
    let backend = &mut subtask.backend;
    let numbers: ValueState<u64, i64> = backend.value_state(lasting(SECOND)).unwrap();
    let texts: MapState<u64, u64, String> = backend
        .map_state(StateSpec::new("texts").with_time_to_live(StateTtl::new(SECOND)))
        .unwrap();
    let mut bytes_max = 0;
    // In each second 20 batches of new keys, so that at any time those of 20 batches are there.
    for batch in 0..400_u64 {
        let keys: Vec<u64> = (batch * 100..batch * 100 + 100).collect();
        numbers.update_batch(&keys, |_| 0, |_, _| ()).unwrap();
        for key in &keys {
            texts.put(&(key / 4), key, &"x".repeat(20)).unwrap();
        }
        subtask.pass(SECOND / 20);
        subtask.backend.sweep_slice().unwrap();
        let statistics = subtask.backend.statistics();
        let bytes = statistics.iter().map(|state| state.table_bytes).sum();
        if batch < 100 {
            bytes_max = bytes_max.max(bytes);
        }
        for state in &statistics {
            assert!(state.records < 2 * 2_000, "batch {batch}: {state:?}");
        }
        // Twenty times as many keys have been there by the end as fit into what the first hundred batches took.
        let bytes_max = bytes_max * 5 / 4;
        assert!(bytes <= bytes_max, "batch {batch}: {bytes} of {bytes_max}");
        drop(subtask.backend.seal().unwrap());
    }
}

#[test]
fn a_slice_removes_few_records_where_none_were_added() {
    let subtask = Subtask::new(Vec::new(), Duration::ZERO);
    let mut backend = subtask.backend;
    let state: ValueState<u64, i64> = backend.value_state(lasting(SECOND)).unwrap();
    let keys: Vec<u64> = (0..10_000).collect();
    state.update_batch(&keys, |_| 0, |_, _| ()).unwrap();
    backend.sweep_slice().unwrap();
    subtask.clock.advance(SECOND);
    backend.advance_time();
    let mut left = 10_000;
    while left > 0 {
        backend.sweep_slice().unwrap();
        let records = backend.statistics()[0].records;
        assert!(
            records < left && left - records <= 64,
            "{records} of {left}"
        );
        left = records;
    }
}

#[test]
fn a_restored_state_is_swept_in_slices_as_well() {
    let mut first = Subtask::new(Vec::new(), Duration::ZERO);
    let state: ValueState<u64, i64> = first.backend.value_state(lasting(SECOND)).unwrap();
    for key in 0..10_000 {
        state.put(&key, &1).unwrap();
    }
    let mut second = Subtask::new(first.checkpoint(), SECOND);
    let state: ValueState<u64, i64> = second.backend.value_state(lasting(SECOND)).unwrap();
    second.backend.sweep_slice().unwrap();
    assert_eq!(second.records(), 10_000 - 64);
    assert_eq!(state.get(&1).unwrap(), None);
}

#[test]
fn removal_by_the_sweep_is_in_the_delta() {
    let mut subtask = Subtask::new(Vec::new(), Duration::ZERO);
    let state: ValueState<u64, i64> = subtask.backend.value_state(lasting(SECOND)).unwrap();
    state.put(&1, &1).unwrap();
    drop(subtask.backend.seal().unwrap());
    subtask.pass(SECOND);
    assert_eq!(state.get(&1).unwrap(), None);
    assert_eq!(subtask.records(), 1, "reading alone removes nothing");
    subtask.backend.sweep_slice().unwrap();
    assert_eq!(subtask.records(), 0);
    assert!(!subtask.backend.seal().unwrap()[0].delta.is_empty());
}

#[test]
fn a_sweep_begins_a_sixteenth_of_the_duration_after_the_one_before() {
    let mut subtask = Subtask::new(Vec::new(), Duration::ZERO);
    let state: ValueState<u64, i64> = subtask.backend.value_state(lasting(SECOND * 16)).unwrap();
    // This one finds nothing, and is over at once.
    subtask.backend.sweep_slice().unwrap();
    state.put(&1, &1).unwrap();
    let millisecond = Duration::from_millis(1);
    subtask.pass(SECOND * 16 - millisecond);
    subtask.backend.sweep_slice().unwrap();
    subtask.pass(SECOND - millisecond);
    subtask.backend.sweep_slice().unwrap();
    assert_eq!(
        subtask.records(),
        1,
        "the last sweep is not a sixteenth old"
    );
    subtask.pass(millisecond);
    subtask.backend.sweep_slice().unwrap();
    assert_eq!(subtask.records(), 0);
}

#[test]
fn a_read_renews_only_where_it_was_asked_for() {
    let check = |update, expected| {
        let mut subtask = Subtask::new(Vec::new(), Duration::ZERO);
        let time_to_live = StateTtl {
            duration: SECOND * 10,
            update,
        };
        let spec = StateSpec::new(NAME).with_time_to_live(time_to_live);
        let state: EntryState<u64, u64, String> = subtask.backend.entry_state(spec).unwrap();
        state.put(&1, &2, &"text".to_owned()).unwrap();
        subtask.pass(SECOND * 6);
        assert_eq!(state.get(&1, &2).unwrap().as_deref(), Some("text"));
        subtask.pass(SECOND * 6);
        assert_eq!(state.get(&1, &2).unwrap().is_some(), expected, "{update:?}");
    };
    check(TtlUpdate::OnCreateAndWrite, false);
    check(TtlUpdate::OnReadAndWrite, true);
}

#[test]
fn a_value_lasts_until_its_time_is_over_and_not_longer() {
    let mut subtask = Subtask::new(Vec::new(), SECOND * 5);
    let state: ListState<u64, i64> = subtask.backend.list_state(lasting(SECOND)).unwrap();
    state.add(&1, &10).unwrap();
    subtask.pass(Duration::from_millis(999));
    assert_eq!(state.get(&1).unwrap(), [10]);
    state.add(&1, &20).unwrap();
    subtask.pass(Duration::from_millis(1));
    assert_eq!(state.get(&1).unwrap(), [20]);
    assert_eq!(state.len(&1).unwrap(), 1);
    assert_eq!(state.pop_front(&1).unwrap(), Some(20));
}

#[test]
fn time_stands_still_until_it_is_advanced() {
    let mut subtask = Subtask::new(Vec::new(), Duration::ZERO);
    let state: ValueState<u64, i64> = subtask.backend.value_state(lasting(SECOND)).unwrap();
    state.put(&1, &1).unwrap();
    subtask.clock.advance(SECOND);
    assert_eq!(subtask.clock.unix_millis(), 1_000);
    assert_eq!(state.get(&1).unwrap(), Some(1));
    subtask.backend.advance_time();
    assert_eq!(state.get(&1).unwrap(), None);
}

#[test]
fn a_time_to_live_cannot_be_given_to_a_stored_state_nor_taken_from_it() {
    type Numbers = ValueState<u64, i64>;
    let open = |spec: StateSpec<i64>, restored| -> (Subtask, Result<Numbers>) {
        let mut subtask = Subtask::new(restored, Duration::ZERO);
        let state = subtask.backend.value_state(spec);
        (subtask, state)
    };
    let check = |first: StateSpec<i64>, second: StateSpec<i64>, message: &str| {
        let (mut subtask, state) = open(first, Vec::new());
        state.unwrap().put(&1, &1).unwrap();
        let (_subtask, state) = open(second, subtask.checkpoint());
        let error = state.err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Configuration);
        assert!(error.to_string().contains(message), "{error}");
    };
    check(
        NAME.into(),
        lasting(SECOND),
        "state \"counts\": it was stored without a time-to-live and is registered with one",
    );
    check(
        lasting(SECOND),
        NAME.into(),
        "state \"counts\": it was stored with a time-to-live and is registered without one",
    );
}

#[test]
fn another_duration_counts_from_the_next_write() {
    let mut first = Subtask::new(Vec::new(), Duration::ZERO);
    let state: ValueState<u64, i64> = first.backend.value_state(lasting(SECOND)).unwrap();
    state.put(&1, &1).unwrap();
    state.put(&2, &2).unwrap();
    let mut second = Subtask::new(first.checkpoint(), SECOND / 2);
    let state: ValueState<u64, i64> = second.backend.value_state(lasting(SECOND * 9)).unwrap();
    state.put(&2, &3).unwrap();
    second.pass(SECOND);
    assert_eq!(state.get(&1).unwrap(), None);
    assert_eq!(state.get(&2).unwrap(), Some(3));
}

#[test]
fn a_migrated_value_keeps_its_end() {
    let mut first = Subtask::new(Vec::new(), Duration::ZERO);
    let fixed: ValueState<u64, u32> = first.backend.value_state(lasting(SECOND)).unwrap();
    let map = StateSpec::<u32>::new("map").with_time_to_live(StateTtl::new(SECOND));
    let map: MapState<u64, String, u32> = first.backend.map_state(map).unwrap();
    let name = "seven".to_owned();
    for time in [0, 500] {
        fixed.put(&time, &7).unwrap();
        map.put(&time, &name, &7).unwrap();
        first.pass(SECOND / 2);
    }
    let migrating = |spec: StateSpec<String>| {
        spec.with_version(2)
            .with_time_to_live(StateTtl::new(SECOND * 9))
            .with_migration(1, |old: u32| format!("number {old}"))
    };
    let mut second = Subtask::new(first.checkpoint(), SECOND);
    let texts = migrating(NAME.into());
    let texts: ValueState<u64, String> = second.backend.value_state(texts).unwrap();
    let map = migrating("map".into());
    let map: MapState<u64, String, String> = second.backend.map_state(map).unwrap();
    let expected = Some("number 7".to_owned());
    let check = |time, expected: &Option<String>| {
        assert_eq!(texts.get(&time).unwrap(), *expected, "{time}");
        assert_eq!(map.get(&time, &name).unwrap(), *expected, "{time}");
    };
    check(0, &None);
    check(500, &expected);
    second.pass(Duration::from_millis(499));
    check(500, &expected);
    second.pass(Duration::from_millis(1));
    check(500, &None);
}
