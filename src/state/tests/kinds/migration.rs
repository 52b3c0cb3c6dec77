//! Migrations of states of more than one set of records: the values are migrated, their index stays.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::model::{KeyGroupRange, SystemClock};
use crate::state::tests::chain::Chain;
use crate::state::{
    KeyedStateBackend, ListState, MapState, RestoredPart, RestoredState, StateDescriptor,
    StateSpec, test_backend_at,
};

const ALL: KeyGroupRange = KeyGroupRange { start: 0, end: 128 };

/// What checkpoints hold, by the names of the states.
#[derive(Default)]
struct Held(BTreeMap<Arc<str>, (StateDescriptor, Vec<RestoredPart>)>);

impl Held {
    /// Ends the life of `backend` with a checkpoint.
    fn checkpoint(&mut self, mut backend: KeyedStateBackend) {
        for sealed in backend.seal().unwrap() {
            let (name, descriptor) = (sealed.name.clone(), sealed.descriptor.clone());
            let stands_alone = sealed.base.is_some();
            let mut chain = Chain::default();
            chain.add(sealed);
            let mut parts = vec![chain.part(ALL)];
            if let Some((_, older)) = self.0.remove(&name).filter(|_| !stands_alone) {
                parts = older.into_iter().chain(parts).collect();
            }
            self.0.insert(name, (descriptor, parts));
        }
    }

    fn restart(&self) -> KeyedStateBackend {
        let states = self.0.iter();
        let restored = states.map(|(name, (descriptor, parts))| RestoredState {
            name: Arc::clone(name),
            descriptor: descriptor.clone(),
            parts: parts.clone().into(),
        });
        test_backend_at(SystemClock::shared(), restored.collect())
    }
}

/// A state that had 32 bits once.
fn widened(name: &str) -> StateSpec<i64> {
    StateSpec::new(name)
        .with_version(2)
        .with_migration(1, |old: i32| i64::from(old) * 100)
}

fn entry(map_key: &str, value: i64) -> (String, i64) {
    (map_key.to_owned(), value)
}

#[test]
fn a_map_is_migrated_with_its_index_as_it_was() {
    let mut held = Held::default();
    let mut backend = held.restart();
    let map: MapState<u64, String, i32> = backend.map_state("prices").unwrap();
    for (map_key, value) in [("a", 1), ("b", 2), ("c", 3)] {
        map.put(&7, &map_key.to_owned(), &value).unwrap();
    }
    held.checkpoint(backend);

    let mut backend = held.restart();
    let map: MapState<u64, String, i64> = backend.map_state(widened("prices")).unwrap();
    let migrated = [entry("a", 100), entry("b", 200), entry("c", 300)];
    assert_eq!(map.entries(&7).unwrap(), migrated);
    assert!(map.remove(&7, &"a".to_owned()).unwrap());
    map.put(&7, &"d".to_owned(), &4).unwrap();
    held.checkpoint(backend);

    let mut backend = held.restart();
    let map: MapState<u64, String, i64> = backend.map_state(widened("prices")).unwrap();
    let changed = [entry("c", 300), entry("b", 200), entry("d", 4)];
    assert_eq!(map.entries(&7).unwrap(), changed);
    assert_eq!(map.len(&7).unwrap(), 3);
    assert!(backend.unclaimed().is_empty());
}

#[test]
fn a_list_is_migrated_with_its_bounds_as_they_were() {
    let mut held = Held::default();
    let mut backend = held.restart();
    let list: ListState<u64, i32> = backend.list_state("waiting").unwrap();
    list.add_all(&7, &[1, 2, 3]).unwrap();
    list.pop_front(&7).unwrap();
    held.checkpoint(backend);

    let mut backend = held.restart();
    let list: ListState<u64, i64> = backend.list_state(widened("waiting")).unwrap();
    assert_eq!(list.get(&7).unwrap(), [200, 300]);
    assert_eq!(list.pop_front(&7).unwrap(), Some(200));
    list.add(&7, &4).unwrap();
    held.checkpoint(backend);

    let mut backend = held.restart();
    let list: ListState<u64, i64> = backend.list_state(widened("waiting")).unwrap();
    assert_eq!(list.get(&7).unwrap(), [300, 4]);
}
