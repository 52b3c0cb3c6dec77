//! Surviving segments: a process that is killed at any moment, as far as one thread can play it, and the next one that
//! takes up what it left. What is copied of the segments' files is what a killed process leaves.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use fastrand::Rng;

use super::chain::Chain;
use super::subject::{MAX_PARALLELISM, NAME, Reading, Subject, TestValue, all_groups};
use crate::error::Result;
use crate::model::SystemClock;
use crate::state::{
    EntryState, Epoch, KeyedStateBackend, LocalBarrier, LocalRecovery, RestoredParts,
    RestoredState, StateSettings, ValueState,
};

type Content<S> = BTreeMap<<S as Subject>::Key, <S as Subject>::Value>;

pub(super) const BOOT: u64 = 3;
pub(super) const LINEAGE: u64 = 7;

/// A barrier that was gathered: what the state was, and what the store has of it.
struct Barrier<S: Subject> {
    expected: Content<S>,
    chain: Chain,
}

struct Life<S: Subject> {
    random: Rng,
    keys: u64,
    backend: KeyedStateBackend,
    state: S,
    expected: Content<S>,
    ended: Option<(Epoch, Content<S>)>,
    chain: Chain,
    /// Those that may still be gone back to, oldest first.
    barriers: BTreeMap<Epoch, Barrier<S>>,
    folder: tempfile::TempDir,
    directory: PathBuf,
    crashes: usize,
    seed: u64,
}

impl<S: Subject> Life<S> {
    fn new(seed: u64, keys: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let directory = folder.path().join("0");
        let (backend, state) = open::<S>(&directory, None, None).unwrap();
        Self {
            random: Rng::with_seed(seed),
            keys,
            backend,
            state,
            expected: BTreeMap::new(),
            ended: None,
            chain: Chain::default(),
            barriers: BTreeMap::new(),
            folder,
            directory,
            crashes: 0,
            seed,
        }
    }

    fn step(&mut self) {
        let key = S::random_key(&mut self.random, self.keys);
        match self.random.u8(..20) {
            0..4 => {
                let value = S::Value::random(&mut self.random);
                self.state.put(&key, &value).unwrap();
                self.expected.insert(key, value);
            }
            4..7 => {
                self.state.remove(&key).unwrap();
                self.expected.remove(&key);
            }
            7..14 => self.change_batch(),
            14 => self.barrier(),
            15..17 => {
                let bytes_max = self.random.usize(..10_000);
                self.gather(bytes_max);
            }
            17 => drop(self.backend.copy_base_slice(20_000).unwrap()),
            18 => self.release(),
            _ => self.crash(),
        }
    }

    fn change_batch(&mut self) {
        let count = self.random.usize(..100);
        let keys: Vec<_> = (0..count)
            .map(|_| S::random_key(&mut self.random, self.keys))
            .collect();
        let initial: Vec<_> = (0..count)
            .map(|_| S::Value::random(&mut self.random))
            .collect();
        let by = self.random.u8(..);
        self.state.change_batch(&keys, &initial, by).unwrap();
        for (key, initial) in keys.into_iter().zip(initial) {
            self.expected.entry(key).or_insert(initial).change(by);
        }
    }

    fn barrier(&mut self) {
        self.gather(usize::MAX);
        self.backend.end_epoch().unwrap();
        let barrier = self.backend.local_barrier().unwrap();
        assert_eq!(barrier.lineage, LINEAGE);
        self.ended = Some((barrier.epoch, self.expected.clone()));
    }

    fn gather(&mut self, bytes_max: usize) {
        if let Some(mut sealed) = self.backend.gather(bytes_max).unwrap() {
            let (epoch, expected) = self.ended.take().unwrap();
            self.chain.add(sealed.remove(0));
            let chain = self.chain.clone();
            self.barriers.insert(epoch, Barrier { expected, chain });
        }
    }

    /// A checkpoint of one of the barriers is complete.
    fn release(&mut self) {
        let epochs: Vec<Epoch> = self.barriers.keys().copied().collect();
        if epochs.is_empty() {
            return;
        }
        let epoch = epochs[self.random.usize(..epochs.len())];
        self.backend.release(epoch).unwrap();
        self.barriers.retain(|barrier, _| *barrier >= epoch);
    }

    /// Goes back to one of the barriers, in a copy of the segments, and goes on there.
    fn crash(&mut self) {
        let epochs: Vec<Epoch> = self.barriers.keys().copied().collect();
        if epochs.is_empty() {
            return;
        }
        let epoch = epochs[self.random.usize(..epochs.len())];
        self.crashes += 1;
        let directory = self.folder.path().join(self.crashes.to_string());
        copy(&self.directory, &directory);
        let barrier = LocalBarrier {
            lineage: LINEAGE,
            epoch,
        };
        let chain = &self.barriers[&epoch].chain;
        let restored = RestoredState {
            name: NAME.into(),
            descriptor: chain.descriptor.clone().unwrap(),
            parts: RestoredParts::deferred(|| panic!("the store is not needed")),
        };
        let (backend, state) = open::<S>(&directory, Some(barrier), Some(restored)).unwrap();
        (self.backend, self.state, self.directory) = (backend, state, directory);
        self.barriers.retain(|barrier, _| *barrier == epoch);
        self.chain = self.barriers[&epoch].chain.clone();
        self.expected = self.barriers[&epoch].expected.clone();
        self.ended = None;
        self.check();
    }

    fn check(&self) {
        let records = self.state.records().unwrap();
        assert_eq!(records.len(), self.expected.len(), "seed {}", self.seed);
        let records: BTreeMap<_, _> = records.into_iter().collect();
        assert!(records == self.expected, "seed {}", self.seed);
        for (key, value) in &self.expected {
            let found = self.state.get(key).unwrap();
            assert_eq!(found.as_ref(), Some(value), "seed {} {key:?}", self.seed);
        }
    }

    /// What the store has of the newest barrier is what the state was then, takings-back and all.
    fn check_store(&mut self) {
        self.barrier();
        self.gather(usize::MAX);
        let directory = self.folder.path().join("restored");
        let restored = RestoredState {
            name: NAME.into(),
            descriptor: self.chain.descriptor.clone().unwrap(),
            parts: vec![self.chain.part(all_groups())].into(),
        };
        let (_backend, state) = open::<S>(&directory, None, Some(restored)).unwrap();
        let records: BTreeMap<_, _> = state.records().unwrap().into_iter().collect();
        assert!(records == self.expected, "seed {}", self.seed);
    }
}

fn open<S: Subject>(
    directory: &Path,
    take_back: Option<LocalBarrier>,
    restored: Option<RestoredState>,
) -> Result<(KeyedStateBackend, S)> {
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
    let mut backend = KeyedStateBackend::new(settings, restored.into_iter().collect());
    let state = S::register(&mut backend, NAME.into())?;
    Ok((backend, state))
}

pub(super) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

fn check<S: Subject>(seed: u64, keys: u64, steps: usize) {
    let mut life = Life::<S>::new(seed, keys);
    for step in 1..=steps {
        life.step();
        if step.is_multiple_of(steps / 4) {
            life.check_store();
        }
    }
    assert!(life.crashes > 3, "seed {seed}: there were few crashes");
}

#[test]
fn a_value_state_of_numbers_is_taken_up_as_it_was_at_a_barrier() {
    check::<ValueState<u64, i64>>(1, 3_000, 600);
    check::<ValueState<u64, i64>>(2, 30, 600);
    check::<ValueState<u64, i64>>(3, 100_000, 400);
}

#[test]
fn a_value_state_of_text_is_taken_up_as_it_was_at_a_barrier() {
    check::<ValueState<String, String>>(4, 2_000, 500);
    check::<ValueState<u64, Reading>>(5, 200, 500);
}

#[test]
fn an_entry_state_is_taken_up_as_it_was_at_a_barrier() {
    check::<EntryState<u64, u64, i64>>(6, 2_000, 400);
    check::<EntryState<String, String, i64>>(7, 2_000, 400);
}

/// A small state, one of its barriers, and a copy of its segments.
fn left_behind() -> (tempfile::TempDir, PathBuf, LocalBarrier, RestoredState) {
    type Numbers = ValueState<u64, i64>;
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().join("live");
    let (mut backend, state) = open::<Numbers>(&directory, None, None).unwrap();
    for key in 0..5_000 {
        state.put(&key, &1).unwrap();
    }
    let mut chain = Chain::default();
    chain.add(backend.seal().unwrap().remove(0));
    let barrier = backend.local_barrier().unwrap();
    for key in 2_000..8_000 {
        state.put(&key, &2).unwrap();
    }
    let crashed = folder.path().join("crashed");
    copy(&directory, &crashed);
    let restored = RestoredState {
        name: NAME.into(),
        descriptor: chain.descriptor.clone().unwrap(),
        parts: vec![chain.part(all_groups())].into(),
    };
    (folder, crashed, barrier, restored)
}

/// Whatever is done to the segments, the state is what it was at the barrier: by their means or the store's.
fn check_damage(what: &str, damage: impl Fn(&Path)) {
    let (_folder, crashed, barrier, restored) = left_behind();
    damage(&crashed);
    let opened = open::<ValueState<u64, i64>>(&crashed, Some(barrier), Some(restored));
    let (_backend, state) = opened.unwrap();
    for key in 0..8_000 {
        let expected = (key < 5_000).then_some(1);
        assert_eq!(state.get(&key).unwrap(), expected, "{what}: key {key}");
    }
}

fn change_file(directory: &Path, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
    let is_ledger = |path: &PathBuf| path.to_string_lossy().ends_with("ledger");
    let mut files: Vec<PathBuf> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| is_ledger(path) == (name == "ledger"))
        .collect();
    files.sort();
    let mut content = fs::read(&files[0]).unwrap();
    change(&mut content);
    fs::write(&files[0], content).unwrap();
}

#[test]
fn segments_that_are_not_whole_are_noticed_and_the_store_is_used() {
    check_damage("nothing", |_| {});
    check_damage("no ledger", |directory| {
        fs::remove_file(directory.join("segment-ledger")).unwrap();
    });
    check_damage("half a ledger", |directory| {
        change_file(directory, "ledger", |content| {
            content.truncate(content.len() / 2)
        });
    });
    check_damage("another lineage", |directory| {
        change_file(directory, "ledger", |content| content[16] ^= 1);
    });
    check_damage("another boot", |directory| {
        change_file(directory, "ledger", |content| content[24] ^= 1);
    });
    check_damage("a change cut in half", |directory| {
        change_file(directory, "ledger", |content| content[80] = 1);
    });
    check_damage("an entry flipped", |directory| {
        change_file(directory, "ledger", |content| content[12288 + 24 + 9] ^= 4);
    });
    check_damage("a barrier given up", |directory| {
        change_file(directory, "ledger", |content| content[72] = 200);
    });
    check_damage("a foreign segment", |directory| {
        change_file(directory, "segment", |content| content[10] ^= 1);
    });
    check_damage("half a segment", |directory| {
        change_file(directory, "segment", |content| {
            content.truncate(content.len() / 2)
        });
    });
    check_damage("no segment", |directory| {
        change_file(directory, "segment", Vec::clear);
    });
}

#[test]
fn a_damaged_sub_table_or_key_is_noticed() {
    let find = |content: &[u8], magic: &[u8]| {
        content
            .windows(magic.len())
            .position(|window| window == magic)
            .unwrap()
    };
    check_damage("a header flipped", |directory| {
        change_file(directory, "segment", |content| {
            let header = find(content, b"FMst");
            content[header + 9] ^= 1;
        });
    });
    check_damage("keys flipped", |directory| {
        change_file(directory, "segment", |content| {
            let header = find(content, b"FMst");
            // Every key of some buckets, whichever of them are occupied.
            for bucket in 0..content.len().saturating_sub(header + 64).min(1 << 14) / 64 {
                content[header + 64 + bucket * 64 + 3] ^= 0x40;
            }
        });
    });
    check_damage("an undo log flipped", |directory| {
        change_file(directory, "segment", |content| {
            let header = find(content, b"FMundolg");
            content[header + 23] ^= 0x40;
        });
    });
}
