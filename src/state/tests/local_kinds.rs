//! Surviving segments of maps and lists: a state of several sets of records is taken up with all of them at one barrier.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use fastrand::Rng;

use super::local::{BOOT, LINEAGE, copy};
use super::subject::{MAX_PARALLELISM, all_groups};
use crate::error::{Error, ErrorKind};
use crate::model::SystemClock;
use crate::state::{
    Epoch, KeyedStateBackend, ListState, LocalBarrier, LocalRecovery, MapState, RestoredParts,
    RestoredState, StateDescriptor, StateSettings,
};

const KEYS: u64 = 20;
const STEPS: usize = 2_000;

/// What the states hold.
#[derive(Clone, Debug, Default, PartialEq)]
struct Content {
    map: BTreeMap<u64, BTreeMap<String, i64>>,
    list: BTreeMap<u64, Vec<String>>,
}

/// A process, and those that came after it was killed.
struct Life {
    random: Rng,
    backend: KeyedStateBackend,
    map: MapState<u64, String, i64>,
    list: ListState<u64, String>,
    expected: Content,
    /// What was there at the barriers that may still be gone back to.
    barriers: BTreeMap<Epoch, Content>,
    /// What the manifest says of each set of records.
    descriptors: Vec<(String, StateDescriptor)>,
    folder: tempfile::TempDir,
    directory: PathBuf,
    crashes: usize,
    seed: u64,
}

impl Life {
    fn new(seed: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let directory = folder.path().join("0");
        let (backend, map, list) = open(&directory, None, Vec::new());
        Self {
            random: Rng::with_seed(seed),
            backend,
            map,
            list,
            expected: Content::default(),
            barriers: BTreeMap::new(),
            descriptors: Vec::new(),
            folder,
            directory,
            crashes: 0,
            seed,
        }
    }

    fn step(&mut self) {
        match self.random.u8(..40) {
            0..18 => self.change_map(),
            18..36 => self.change_list(),
            36 | 37 => self.barrier(),
            38 => self.release(),
            _ => self.crash(),
        }
    }

    fn change_map(&mut self) {
        let key = self.random.u64(..KEYS);
        let name = format!("entry number {}", self.random.u8(..12));
        let entries = self.expected.map.entry(key).or_default();
        match self.random.u8(..10) {
            0 => {
                self.map.clear(&key).unwrap();
                entries.clear();
            }
            1..4 => {
                self.map.remove(&key, &name).unwrap();
                entries.remove(&name);
            }
            _ => {
                let value = self.random.i64(..);
                self.map.put(&key, &name, &value).unwrap();
                entries.insert(name, value);
            }
        }
    }

    fn change_list(&mut self) {
        let key = self.random.u64(..KEYS);
        let text = "x".repeat(self.random.usize(..40));
        let elements = self.expected.list.entry(key).or_default();
        match self.random.u8(..10) {
            0 => {
                self.list.clear(&key).unwrap();
                elements.clear();
            }
            1..4 => {
                let popped = self.list.pop_front(&key).unwrap();
                let expected = (!elements.is_empty()).then(|| elements.remove(0));
                assert_eq!(popped, expected, "seed {}", self.seed);
            }
            4 if !elements.is_empty() => {
                let index = self.random.usize(..elements.len());
                self.list.set_at(&key, index as u64, &text).unwrap();
                elements[index] = text;
            }
            _ => {
                self.list.add(&key, &text).unwrap();
                elements.push(text);
            }
        }
    }

    fn barrier(&mut self) {
        let sealed = self.backend.seal().unwrap();
        let sealed = sealed.into_iter();
        self.descriptors = sealed
            .map(|state| (state.name.to_string(), state.descriptor))
            .collect();
        let barrier = self.backend.local_barrier().unwrap();
        self.barriers.insert(barrier.epoch, self.expected.clone());
    }

    /// A checkpoint of one of the barriers is complete.
    fn release(&mut self) {
        if let Some(epoch) = self.any_barrier() {
            self.backend.release(epoch).unwrap();
            self.barriers.retain(|barrier, _| *barrier >= epoch);
        }
    }

    /// Goes back to one of the barriers, in a copy of the segments, and goes on there.
    fn crash(&mut self) {
        let Some(epoch) = self.any_barrier() else {
            return;
        };
        self.crashes += 1;
        let directory = self.folder.path().join(self.crashes.to_string());
        copy(&self.directory, &directory);
        let barrier = LocalBarrier {
            lineage: LINEAGE,
            epoch,
        };
        let restored = self
            .descriptors
            .iter()
            .map(|(name, descriptor)| RestoredState {
                name: name.as_str().into(),
                descriptor: descriptor.clone(),
                parts: RestoredParts::deferred(|| {
                    Err(Error::new(ErrorKind::Bug, "the store was asked"))
                }),
            });
        let (backend, map, list) = open(&directory, Some(barrier), restored.collect());
        (self.backend, self.map, self.list) = (backend, map, list);
        self.directory = directory;
        self.barriers.retain(|barrier, _| *barrier == epoch);
        self.expected = self.barriers[&epoch].clone();
        self.check();
    }

    fn any_barrier(&mut self) -> Option<Epoch> {
        let epochs: Vec<Epoch> = self.barriers.keys().copied().collect();
        (!epochs.is_empty()).then(|| epochs[self.random.usize(..epochs.len())])
    }

    fn check(&self) {
        let seed = self.seed;
        for key in 0..KEYS {
            let mut entries = self.map.entries(&key).unwrap();
            entries.sort_unstable();
            let expected = self.expected.map.get(&key).cloned().unwrap_or_default();
            assert_eq!(
                self.map.len(&key).unwrap(),
                expected.len() as u64,
                "seed {seed}"
            );
            assert!(entries.into_iter().eq(expected), "seed {seed}, key {key}");
            let expected = self.expected.list.get(&key).cloned().unwrap_or_default();
            assert_eq!(
                self.list.get(&key).unwrap(),
                expected,
                "seed {seed}, key {key}"
            );
        }
    }
}

fn open(
    directory: &Path,
    take_back: Option<LocalBarrier>,
    restored: Vec<RestoredState>,
) -> (
    KeyedStateBackend,
    MapState<u64, String, i64>,
    ListState<u64, String>,
) {
    let settings = StateSettings {
        directory: Some(directory.to_path_buf()),
        max_parallelism: MAX_PARALLELISM,
        key_groups: all_groups(),
        incremental: true,
        clock: SystemClock::shared(),
        local_recovery: Some(LocalRecovery {
            lineage: LINEAGE,
            boot: BOOT,
            take_back,
        }),
    };
    let mut backend = KeyedStateBackend::new(settings, restored);
    let map = backend.map_state("map").unwrap();
    let list = backend.list_state("list").unwrap();
    (backend, map, list)
}

#[test]
fn maps_and_lists_are_taken_up_with_index_and_bounds_as_they_were_at_a_barrier() {
    for seed in 0..6 {
        let mut life = Life::new(seed);
        for _ in 0..STEPS {
            life.step();
        }
        life.check();
        assert!(life.crashes > 3, "seed {seed}: there were few crashes");
    }
}
