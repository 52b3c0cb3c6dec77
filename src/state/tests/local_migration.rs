//! Migrations where working segments survive: what is left of a migration that no checkpoint holds is never taken up.

use std::path::Path;

use super::chain::Chain;
use super::local::{BOOT, LINEAGE, copy};
use super::subject::{MAX_PARALLELISM, NAME, all_groups};
use crate::error::{Error, ErrorKind};
use crate::model::SystemClock;
use crate::state::{
    KeyedStateBackend, LocalBarrier, LocalRecovery, MapState, RestoredParts, RestoredState,
    StateSettings, StateSpec, StateValue, ValueState,
};

const KEYS: u64 = 50;

/// A life of the process on one state.
struct Life<V: StateValue> {
    backend: KeyedStateBackend,
    state: ValueState<u64, V>,
}

/// A checkpoint: its barrier, as surviving segments know it, and what the store has of the state.
struct Checkpoint {
    barrier: LocalBarrier,
    chain: Chain,
}

impl<V: StateValue + Copy> Life<V> {
    fn open(directory: &Path, spec: StateSpec<V>, resumed: Option<&Checkpoint>) -> Self {
        let parts = |checkpoint: &Checkpoint| vec![checkpoint.chain.part(all_groups())].into();
        Self::open_with(directory, spec, resumed, parts)
    }

    fn open_with(
        directory: &Path,
        spec: StateSpec<V>,
        resumed: Option<&Checkpoint>,
        parts: impl Fn(&Checkpoint) -> RestoredParts,
    ) -> Self {
        let settings = settings(directory, resumed.map(|checkpoint| checkpoint.barrier));
        let restored = resumed.map(|checkpoint| RestoredState {
            name: NAME.into(),
            descriptor: checkpoint.chain.descriptor.clone().unwrap(),
            parts: parts(checkpoint),
        });
        let mut backend = KeyedStateBackend::new(settings, restored.into_iter().collect());
        let state = backend.value_state(spec).unwrap();
        Self { backend, state }
    }

    fn fill(&self, value: impl Fn(u64) -> V) {
        for key in 0..KEYS {
            self.state.put(&key, &value(key)).unwrap();
        }
    }

    fn checkpoint(&mut self) -> Checkpoint {
        let mut chain = Chain::default();
        chain.add(self.backend.seal().unwrap().remove(0));
        let barrier = self.backend.local_barrier().unwrap();
        Checkpoint { barrier, chain }
    }

    fn values(&self) -> Vec<Option<V>> {
        (0..KEYS).map(|key| self.state.get(&key).unwrap()).collect()
    }
}

fn settings(directory: &Path, take_back: Option<LocalBarrier>) -> StateSettings {
    StateSettings {
        directory: Some(directory.to_path_buf()),
        max_parallelism: MAX_PARALLELISM,
        key_groups: all_groups(),
        incremental: true,
        local_recovery: Some(LocalRecovery {
            lineage: LINEAGE,
            boot: BOOT,
            take_back,
        }),
        clock: SystemClock::shared(),
    }
}

fn migrating() -> StateSpec<i64> {
    StateSpec::new(NAME)
        .with_version(2)
        .with_migration(1, |old: u32| -i64::from(old))
}

#[test]
fn a_migration_that_no_checkpoint_holds_is_done_again() {
    let folder = tempfile::tempdir().unwrap();
    let directory = |name: &str| folder.path().join(name);
    let crash = |from: &str, to: &str| copy(&directory(from), &directory(to));
    let migrated: Vec<Option<i64>> = (0..KEYS).map(|key| Some(-(key as i64))).collect();

    let mut first = Life::<u32>::open(&directory("a"), NAME.into(), None);
    first.fill(|key| key as u32);
    let before = first.checkpoint();
    crash("a", "b");

    let mut second = Life::open(&directory("b"), migrating(), Some(&before));
    assert_eq!(second.values(), migrated);
    second.fill(|_| 7);
    // This barrier's checkpoint is never complete.
    drop(second.checkpoint());
    crash("b", "c");

    let mut third = Life::open(&directory("c"), migrating(), Some(&before));
    assert_eq!(third.values(), migrated);
    let after = third.checkpoint();
    third.fill(|_| 8);
    crash("c", "d");

    // Now a checkpoint holds the new layout, and the segments are taken up without a look at the store.
    let fourth = Life::open_with(&directory("d"), migrating(), Some(&after), |_| {
        RestoredParts::deferred(|| Err(Error::new(ErrorKind::Bug, "the store was asked")))
    });
    assert_eq!(fourth.values(), migrated);
}

#[test]
fn the_index_of_a_map_is_taken_up_where_its_values_are_migrated() {
    let folder = tempfile::tempdir().unwrap();
    let directory = |name: &str| folder.path().join(name);
    let mut backend = KeyedStateBackend::new(settings(&directory("a"), None), Vec::new());
    let map: MapState<u64, u64, u32> = backend.map_state(NAME).unwrap();
    for map_key in 0..3 {
        map.put(&7, &map_key, &(map_key as u32)).unwrap();
    }
    let restored = backend.seal().unwrap().into_iter().map(|sealed| {
        let mut chain = Chain::default();
        let (name, descriptor) = (sealed.name.clone(), sealed.descriptor.clone());
        chain.add(sealed);
        let is_index = &*name != NAME;
        let part = chain.part(all_groups());
        let parts = RestoredParts::deferred(move || match is_index {
            true => Err(Error::new(ErrorKind::Bug, "the store was asked")),
            false => Ok(vec![part.clone()]),
        });
        RestoredState {
            name,
            descriptor,
            parts,
        }
    });
    let restored = restored.collect();
    let barrier = backend.local_barrier();
    // The process is killed in the next epoch.
    map.put(&7, &3, &3).unwrap();
    map.remove(&7, &0).unwrap();
    copy(&directory("a"), &directory("b"));

    let mut backend = KeyedStateBackend::new(settings(&directory("b"), barrier), restored);
    let map: MapState<u64, u64, i64> = backend.map_state(migrating()).unwrap();
    assert_eq!(map.entries(&7).unwrap(), [(0, 0), (1, -1), (2, -2)]);
    assert!(map.remove(&7, &0).unwrap());
    assert_eq!(map.entries(&7).unwrap(), [(2, -2), (1, -1)]);
}
