//! What registering a state of some kind can come upon: names, other kinds, figures and errors by the user's name.

use crate::error::ErrorKind;
use crate::model::{KeyGroupRange, SystemClock};
use crate::state::tests::chain::Chain;
use crate::state::{
    EntryState, KeyedStateBackend, ListState, MapState, RestoredState, SealedState, test_backend,
    test_backend_at,
};

const ALL: KeyGroupRange = KeyGroupRange { start: 0, end: 128 };

/// A backend that a checkpoint of `backend` gives its states back to.
fn restarted(backend: &mut KeyedStateBackend) -> KeyedStateBackend {
    let sealed = backend.seal().unwrap();
    let restored = sealed.into_iter().map(|sealed| {
        let mut chain = Chain::default();
        let (name, descriptor) = (sealed.name.clone(), sealed.descriptor.clone());
        chain.add(sealed);
        RestoredState {
            name,
            descriptor,
            parts: vec![chain.part(ALL)].into(),
        }
    });
    test_backend_at(SystemClock::shared(), restored.collect())
}

#[test]
fn a_slash_in_a_name_is_refused() {
    let error = test_backend()
        .value_state::<u64, u64>("prices/sizes")
        .err()
        .unwrap();
    assert_eq!(error.kind(), ErrorKind::Operator);
    assert!(
        error.to_string().contains("\"prices/sizes\" has a \"/\""),
        "{error}"
    );
}

#[test]
fn a_state_cannot_come_back_as_another_kind() {
    let mut backend = test_backend();
    let map: MapState<u64, u64, i64> = backend.map_state("prices").unwrap();
    map.put(&1, &2, &3).unwrap();
    let mut backend = restarted(&mut backend);
    assert_eq!(backend.unclaimed(), ["prices"]);
    let error = backend
        .entry_state::<u64, u64, i64>("prices")
        .err()
        .unwrap();
    assert_eq!(error.kind(), ErrorKind::Configuration);
    let text = error.to_string();
    let expected = "state \"prices\": its kind was stored as Map and is registered as Entry";
    assert!(text.starts_with(expected), "{text}");
}

#[test]
fn what_is_wrong_with_a_part_is_told_by_the_state_and_the_part() {
    let mut backend = test_backend();
    let map: MapState<u64, u64, i64> = backend.map_state("prices").unwrap();
    map.put(&1, &2, &3).unwrap();
    let sealed = backend.seal().unwrap();
    let index = sealed
        .into_iter()
        .find(|sealed| &*sealed.name == "prices/index");
    let sealed = index.unwrap();
    let mut chain = Chain::default();
    chain.add(sealed.clone());
    let mut part = chain.part(ALL);
    part.deltas[0] = part.deltas[0].slice(1..);
    let restored = RestoredState {
        name: sealed.name,
        descriptor: sealed.descriptor,
        parts: vec![part].into(),
    };
    let error = test_backend_at(SystemClock::shared(), vec![restored])
        .map_state::<u64, u64, i64>("prices")
        .err()
        .unwrap();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(
        error.to_string().contains("state \"prices\" (its index)"),
        "{error}"
    );
}

#[test]
fn figures_count_the_parts_in_under_the_name_of_the_state() {
    let mut backend = test_backend();
    let map: MapState<u64, u64, i64> = backend.map_state("prices").unwrap();
    let list: ListState<u64, i64> = backend.list_state("orders").unwrap();
    let entries: EntryState<u64, u64, i64> = backend.entry_state("sums").unwrap();
    for number in 0..10 {
        map.put(&1, &number, &3).unwrap();
        list.add(&number, &4).unwrap();
        entries.put(&1, &number, &5).unwrap();
    }
    let sealed = backend.seal().unwrap();
    let statistics = backend.statistics();
    let names: Vec<&str> = statistics.iter().map(|state| &*state.name).collect();
    assert_eq!(names, ["prices", "orders", "sums"]);
    assert!(statistics.iter().all(|state| state.records == 10));
    for state in &statistics {
        let of_state = |sealed: &&SealedState| sealed.name.starts_with(&*state.name);
        let delta_bytes = sealed
            .iter()
            .filter(of_state)
            .map(|sealed| sealed.delta.len());
        assert_eq!(
            state.last_delta_bytes,
            delta_bytes.sum::<u64>(),
            "{state:?}"
        );
        assert_eq!(
            state.spare_bytes,
            state.table_bytes - state.live_bytes,
            "{state:?}"
        );
    }
    let [map, list, entries] = [0, 1, 2].map(|state| statistics[state].live_bytes);
    assert!(map > 3 * entries, "two records of the index for each entry");
    assert!(
        list > entries && list < map,
        "{list} of {entries} and {map}"
    );
}

/// What a change of two states, in which some records were before, leaves in the deltas, by the names of their parts.
fn touched(
    records: u64,
    change: impl Fn(&MapState<u64, u64, i64>, &ListState<u64, i64>),
) -> Vec<(String, u64)> {
    let mut backend = test_backend();
    let map = backend.map_state("prices").unwrap();
    let list = backend.list_state("orders").unwrap();
    for number in 0..records {
        map.put(&1, &number, &3).unwrap();
        list.add(&1, &4).unwrap();
    }
    drop(backend.seal().unwrap());
    change(&map, &list);
    let sealed = backend.seal().unwrap().into_iter();
    sealed
        .map(|sealed| (sealed.name.to_string(), sealed.delta.len()))
        .filter(|(_, bytes)| *bytes > 0)
        .collect()
}

#[test]
fn touching_an_entry_or_an_element_writes_it_and_nothing_else() {
    let mut backend = test_backend();
    let entries: EntryState<u64, u64, i64> = backend.entry_state("sums").unwrap();
    entries.put(&1, &7, &5).unwrap();
    let one_record = backend.seal().unwrap()[0].delta.len();

    let touched = touched(1_000, |map, list| {
        map.put(&1, &7, &4).unwrap();
        map.update_batch([(&1, &7)], |_| 0, |_, mut value| *value = 5.into())
            .unwrap();
        map.upsert_with(&1, &7, |value| value.unwrap_or(0) + 1)
            .unwrap();
        list.set_at(&1, 500, &6).unwrap();
    });
    let expected = ["prices", "orders"].map(|name| (name.to_owned(), one_record));
    assert_eq!(touched, expected);
}

#[test]
fn what_comes_and_goes_writes_as_much_in_a_large_map_or_list_as_in_a_small_one() {
    let change = |map: &MapState<u64, u64, i64>, list: &ListState<u64, i64>| {
        map.remove(&1, &7).unwrap();
        map.put(&1, &1_000_000, &4).unwrap();
        list.pop_front(&1).unwrap();
        list.add(&1, &5).unwrap();
    };
    let small = touched(10, change);
    assert_eq!(small.len(), 6, "every part is touched: {small:?}");
    assert_eq!(small, touched(5_000, change));
}
