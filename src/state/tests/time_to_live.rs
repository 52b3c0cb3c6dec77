//! Time-to-live: what bounds the memory, what a slice may do, and what a checkpoint keeps.

use std::sync::Arc;
use std::time::Duration;

use super::chain::Chain;
use super::subject::{MAX_PARALLELISM, NAME, all_groups};
use crate::error::{ErrorKind, Result};
use crate::model::{Clock, ManualClock};
use crate::state::{
    EntryState, KeyedStateBackend, ListState, MapState, ReducingState, RestoredState,
    StateSettings, StateSpec, StateTtl, TtlUpdate, ValueState,
};

const SECOND: Duration = Duration::from_secs(1);

/// One subtask that owns all key groups.
struct Subtask {
    clock: Arc<ManualClock>,
    backend: KeyedStateBackend,
    restored: Vec<RestoredState>,
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
            backend: KeyedStateBackend::new(settings, restored.clone()),
            restored,
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
            let mut former = self.restored.iter();
            let former = former.find(|state| state.name == sealed.name && sealed.base.is_none());
            let mut parts = former.map_or_else(Vec::new, |state| state.parts.fetch().unwrap());
            let mut chain = Chain::default();
            let (name, descriptor) = (sealed.name.clone(), sealed.descriptor.clone());
            chain.add(sealed);
            parts.push(chain.part(all_groups()));
            RestoredState {
                name,
                descriptor,
                parts: parts.into(),
            }
        });
        restored.collect()
    }
}

fn lasting<V>(duration: Duration) -> StateSpec<V> {
    StateSpec::new(NAME).with_time_to_live(StateTtl::new(duration))
}

/// A state of each kind.
struct Kinds {
    value: ValueState<u64, i64>,
    entry: EntryState<u64, String, i64>,
    map: MapState<u64, String, String>,
    list: ListState<u64, i64>,
    reducing: ReducingState<u64, i64>,
}

/// What states of each kind hold for key 1.
#[derive(Debug, Default, PartialEq)]
struct Content {
    value: Option<i64>,
    entry: Option<i64>,
    map: Vec<(String, String)>,
    list: Vec<i64>,
    reducing: Option<i64>,
}

impl Kinds {
    fn open(backend: &mut KeyedStateBackend, time_to_live: Option<Duration>) -> Self {
        fn spec<V>(name: &str, time_to_live: Option<Duration>) -> StateSpec<V> {
            let spec = StateSpec::new(name);
            match time_to_live {
                Some(duration) => spec.with_time_to_live(StateTtl::new(duration)),
                None => spec,
            }
        }
        let add = |sum, value| sum + value;
        Self {
            value: backend.value_state(spec("value", time_to_live)).unwrap(),
            entry: backend.entry_state(spec("entry", time_to_live)).unwrap(),
            map: backend.map_state(spec("map", time_to_live)).unwrap(),
            list: backend.list_state(spec("list", time_to_live)).unwrap(),
            reducing: backend
                .reducing_state(spec("reducing", time_to_live), add)
                .unwrap(),
        }
    }

    fn fill(&self) {
        let name = "seven".to_owned();
        self.value.put(&1, &1).unwrap();
        self.entry.put(&1, &name, &2).unwrap();
        self.map.put(&1, &name, &"a text".to_owned()).unwrap();
        self.list.add_all(&1, &[4, 5, 6]).unwrap();
        self.reducing.add(&1, 7).unwrap();
    }

    /// What they hold when they were filled.
    fn filled() -> Content {
        Content {
            value: Some(1),
            entry: Some(2),
            map: vec![("seven".to_owned(), "a text".to_owned())],
            list: vec![4, 5, 6],
            reducing: Some(7),
        }
    }

    fn content(&self) -> Content {
        Content {
            value: self.value.get(&1).unwrap(),
            entry: self.entry.get(&1, &"seven".to_owned()).unwrap(),
            map: self.map.entries(&1).unwrap(),
            list: self.list.get(&1).unwrap(),
            reducing: self.reducing.get(&1).unwrap(),
        }
    }
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

/// As Flink has it: the time of what is stored begins with the restore.
#[test]
fn a_stored_state_can_be_given_a_time_to_live() {
    let mut first = Subtask::new(Vec::new(), Duration::ZERO);
    let kinds = Kinds::open(&mut first.backend, None);
    kinds.fill();
    let mut second = Subtask::new(first.checkpoint(), SECOND * 100);
    let kinds = Kinds::open(&mut second.backend, Some(SECOND));
    second.pass(SECOND - Duration::from_millis(1));
    assert_eq!(kinds.content(), Kinds::filled());
    // The next checkpoint holds the ends.
    let mut third = Subtask::new(second.checkpoint(), SECOND * 101 - Duration::from_millis(1));
    let kinds = Kinds::open(&mut third.backend, Some(SECOND));
    assert_eq!(kinds.content(), Kinds::filled());
    third.pass(Duration::from_millis(1));
    assert_eq!(kinds.content(), Content::default());
}

#[test]
fn a_stored_state_can_lose_its_time_to_live_and_keeps_what_is_not_over() {
    let mut first = Subtask::new(Vec::new(), Duration::ZERO);
    let kinds = Kinds::open(&mut first.backend, Some(SECOND));
    kinds.fill();
    let early = first.checkpoint();
    let mut second = Subtask::new(early.clone(), SECOND / 2);
    let kinds = Kinds::open(&mut second.backend, None);
    second.pass(SECOND * 1_000);
    assert_eq!(kinds.content(), Kinds::filled());

    // What is over is not brought back, nor does anything point to it.
    let mut third = Subtask::new(early, SECOND);
    let kinds = Kinds::open(&mut third.backend, None);
    assert_eq!(kinds.content(), Content::default());
    assert_eq!(
        (kinds.map.len(&1).unwrap(), kinds.list.len(&1).unwrap()),
        (0, 0)
    );
    let statistics = third.backend.statistics();
    assert!(
        statistics.iter().all(|state| state.records == 0),
        "{statistics:?}"
    );
    kinds.fill();
    assert_eq!(kinds.content(), Kinds::filled());
    let mut fourth = Subtask::new(third.checkpoint(), SECOND * 2);
    assert_eq!(
        Kinds::open(&mut fourth.backend, None).content(),
        Kinds::filled()
    );
}

#[test]
fn entries_and_elements_that_are_over_leave_no_gap_when_the_time_to_live_goes() {
    let mut first = Subtask::new(Vec::new(), Duration::ZERO);
    let spec =
        |name: &str| StateSpec::<u64>::new(name).with_time_to_live(StateTtl::new(SECOND * 4));
    let map: MapState<u64, u64, u64> = first.backend.map_state(spec("map")).unwrap();
    let list: ListState<u64, u64> = first.backend.list_state(spec("list")).unwrap();
    for second in 0..6 {
        map.put(&1, &second, &second).unwrap();
        list.add(&1, &second).unwrap();
        first.pass(SECOND);
        if second == 3 {
            // Written again, the first ones outlast those behind them.
            map.put(&1, &0, &100).unwrap();
            list.set_at(&1, 0, &101).unwrap();
        }
    }
    let mut second = Subtask::new(first.checkpoint(), SECOND * 6);
    let map: MapState<u64, u64, u64> = second.backend.map_state("map").unwrap();
    let list: ListState<u64, u64> = second.backend.list_state("list").unwrap();
    let mut entries = map.entries(&1).unwrap();
    entries.sort_unstable();
    assert_eq!(entries, [(0, 100), (3, 3), (4, 4), (5, 5)]);
    assert_eq!(map.len(&1).unwrap(), 4);
    assert_eq!(list.get(&1).unwrap(), [101, 3, 4, 5]);
    assert_eq!(list.len(&1).unwrap(), 4);
    assert_eq!(list.get_at(&1, 1).unwrap(), Some(3));
    assert!(map.remove(&1, &3).unwrap());
    assert_eq!(list.pop_front(&1).unwrap(), Some(101));
    assert_eq!(list.pop_front(&1).unwrap(), Some(3));
    assert_eq!(map.len(&1).unwrap(), 3);
}

#[test]
fn a_migration_reads_values_that_have_got_or_lost_their_ends() {
    let stored = |time_to_live: bool| {
        let mut first = Subtask::new(Vec::new(), Duration::ZERO);
        let spec = StateSpec::<u32>::new(NAME);
        let spec = match time_to_live {
            true => spec.with_time_to_live(StateTtl::new(SECOND)),
            false => spec,
        };
        let state: ValueState<u64, u32> = first.backend.value_state(spec).unwrap();
        state.put(&1, &7).unwrap();
        first.checkpoint()
    };
    let migrating = || {
        StateSpec::new(NAME)
            .with_version(2)
            .with_migration(1, |old: u32| format!("number {old}"))
    };
    let number = Some("number 7".to_owned());
    let mut second = Subtask::new(stored(false), SECOND * 9);
    let spec = migrating().with_time_to_live(StateTtl::new(SECOND));
    let state: ValueState<u64, String> = second.backend.value_state(spec).unwrap();
    assert_eq!(state.get(&1).unwrap(), number);
    second.pass(SECOND);
    assert_eq!(state.get(&1).unwrap(), None);

    let mut second = Subtask::new(stored(true), Duration::ZERO);
    let state: ValueState<u64, String> = second.backend.value_state(migrating()).unwrap();
    second.pass(SECOND * 9);
    assert_eq!(state.get(&1).unwrap(), number);

    // Without one, another type is refused as it is where nothing else has changed.
    for time_to_live in [true, false] {
        let mut second = Subtask::new(stored(time_to_live), Duration::ZERO);
        let spec = StateSpec::<i64>::new(NAME);
        let spec = match time_to_live {
            true => spec,
            false => spec.with_time_to_live(StateTtl::new(SECOND)),
        };
        let opened: Result<ValueState<u64, i64>> = second.backend.value_state(spec);
        let error = opened.err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Configuration);
        let expected = "give it a new version and a migration from version 1";
        assert!(error.to_string().contains(expected), "{error}");
    }
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
