//! Surviving segments that are damaged somewhere, with states of every kind in them: either that is noticed and the
//! checkpoint is read, or it was room that means nothing.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use fastrand::Rng;

use super::chain::Chain;
use super::local::{BOOT, LINEAGE, copy};
use super::subject::{MAX_PARALLELISM, all_groups};
use crate::error::Result;
use crate::model::{EventTime, ManualClock};
use crate::state::{
    AggregateFunction, AggregatingState, EntryState, KeyedStateBackend, ListState, LocalBarrier,
    LocalRecovery, MapState, ReducingState, RestoredParts, RestoredState, StateSettings, StateSpec,
    StateTtl, Timers, ValueState,
};

const KEYS: u64 = 200;
const PAGE_BYTES: usize = 4096;
const FLIPS: usize = 100;
const PAGES: usize = 50;

/// By name, what the store has of each state.
type Chains = BTreeMap<Arc<str>, Chain>;

struct Joined;

impl AggregateFunction for Joined {
    type In = u64;
    type Accumulator = String;
    type Out = String;

    fn create_accumulator(&self) -> String {
        String::new()
    }

    fn add(&self, value: u64, accumulator: String) -> String {
        format!("{value} {accumulator}").chars().take(50).collect()
    }

    fn result(&self, accumulator: String) -> String {
        accumulator
    }
}

/// A subtask with a state of each kind.
struct Subtask {
    backend: KeyedStateBackend,
    numbers: ValueState<u64, i64>,
    texts: ValueState<String, String>,
    lasting: ValueState<u64, u32>,
    entries: EntryState<u64, u64, i64>,
    map: MapState<u64, String, i64>,
    list: ListState<u64, String>,
    reduced: ReducingState<u64, u64>,
    aggregated: AggregatingState<u64, Joined>,
    timers: Timers<u64>,
}

impl Subtask {
    fn open(
        directory: &Path,
        take_back: Option<LocalBarrier>,
        restored: Vec<RestoredState>,
    ) -> Result<Self> {
        let settings = StateSettings {
            directory: Some(directory.to_path_buf()),
            max_parallelism: MAX_PARALLELISM,
            key_groups: all_groups(),
            incremental: true,
            clock: Arc::new(ManualClock::default()),
            local_recovery: Some(LocalRecovery {
                lineage: LINEAGE,
                boot: BOOT,
                take_back,
            }),
        };
        let mut backend = KeyedStateBackend::new(settings, restored);
        let hour = StateTtl::new(Duration::from_secs(3600));
        Ok(Self {
            numbers: backend.value_state("numbers")?,
            texts: backend.value_state("texts")?,
            lasting: backend.value_state(StateSpec::new("lasting").with_time_to_live(hour))?,
            entries: backend.entry_state("entries")?,
            map: backend.map_state("map")?,
            list: backend.list_state("list")?,
            reduced: backend.reducing_state("reduced", |before, value| before * 3 + value)?,
            aggregated: backend.aggregating_state("aggregated", Joined)?,
            timers: backend.timers("timers")?,
            backend,
        })
    }

    /// Changes something of each state.
    fn act(&mut self, random: &mut Rng) {
        let key = random.u64(..KEYS);
        let number = random.i64(..);
        let text: String = (0..random.usize(..60))
            .map(|_| random.lowercase())
            .collect();
        self.numbers.put(&key, &number).unwrap();
        self.texts.put(&format!("key {key}"), &text).unwrap();
        self.lasting.put(&key, &random.u32(..)).unwrap();
        self.entries.put(&key, &(key % 7), &number).unwrap();
        self.map.put(&key, &text, &number).unwrap();
        self.list.add(&(key / 4), &text).unwrap();
        self.reduced.add(&key, random.u64(..1000)).unwrap();
        self.aggregated.add(&key, random.u64(..1000)).unwrap();
        let time = EventTime(random.i64(..50));
        self.timers.register_event_time(&key, time).unwrap();
        let gone = random.u64(..KEYS);
        match random.u8(..12) {
            0 => drop(self.numbers.remove(&gone).unwrap()),
            1 => drop(self.texts.remove(&format!("key {gone}")).unwrap()),
            2 => drop(self.lasting.remove(&gone).unwrap()),
            3 => drop(self.entries.remove(&gone, &(gone % 7)).unwrap()),
            4 => self.map.clear(&gone).unwrap(),
            5 => drop(self.list.pop_front(&(gone / 4)).unwrap()),
            6 => self.reduced.clear(&gone).unwrap(),
            7 => self.aggregated.clear(&gone).unwrap(),
            8 => drop(self.timers.delete_event_time(&gone, time).unwrap()),
            _ => {}
        }
    }

    /// All that the states hold, key by key.
    fn content(&self) -> Vec<String> {
        let mut content = Vec::new();
        let mut note = |what: &str, found: &dyn Debug| content.push(format!("{what} {found:?}"));
        for key in 0..KEYS {
            note("numbers", &self.numbers.get(&key).unwrap());
            note("texts", &self.texts.get(&format!("key {key}")).unwrap());
            note("lasting", &self.lasting.get(&key).unwrap());
            note("entries", &self.entries.get(&key, &(key % 7)).unwrap());
            let mut entries = self.map.entries(&key).unwrap();
            entries.sort();
            note("map", &entries);
            note("list", &self.list.get(&key).unwrap());
            note("reduced", &self.reduced.get(&key).unwrap());
            note("aggregated", &self.aggregated.get(&key).unwrap());
        }
        note("timers", &self.timers.next_event_time());
        let records = self.backend.statistics();
        let records: Vec<_> = records
            .iter()
            .map(|state| (&state.name, state.records))
            .collect();
        note("records", &records);
        content
    }

    fn seal(&mut self, chains: &mut Chains) {
        for sealed in self.backend.seal().unwrap() {
            chains
                .entry(Arc::clone(&sealed.name))
                .or_default()
                .add(sealed);
        }
    }
}

/// What a process left that was killed, and what it was at the barrier to go back to.
struct Left {
    _folder: tempfile::TempDir,
    directory: PathBuf,
    barrier: LocalBarrier,
    chains: Chains,
    content: Vec<String>,
}

/// A process that has ended two epochs since the barrier, has gathered one and a part of the other, and is in a third.
fn leave(random: &mut Rng) -> Left {
    let folder = tempfile::tempdir().unwrap();
    let live = folder.path().join("live");
    let mut subtask = Subtask::open(&live, None, Vec::new()).unwrap();
    let mut chains = Chains::new();
    for _ in 0..3 {
        (0..150).for_each(|_| subtask.act(random));
        subtask.seal(&mut chains);
    }
    let barrier = subtask.backend.local_barrier().unwrap();
    let content = subtask.content();
    let at_barrier = chains.clone();
    (0..60).for_each(|_| subtask.act(random));
    subtask.seal(&mut chains);
    subtask.backend.release(barrier.epoch).unwrap();
    (0..60).for_each(|_| subtask.act(random));
    subtask.backend.end_epoch().unwrap();
    assert!(subtask.backend.gather(1_500).unwrap().is_none());
    (0..30).for_each(|_| subtask.act(random));
    let directory = folder.path().join("left");
    copy(&live, &directory);
    Left {
        _folder: folder,
        directory,
        barrier,
        chains: at_barrier,
        content,
    }
}

/// Opens the states at the barrier; says how many of them were read from the store.
fn reopen(directory: &Path, barrier: LocalBarrier, chains: &Chains) -> (Subtask, usize) {
    let fetched = Arc::new(AtomicUsize::new(0));
    let restored = chains.iter().map(|(name, chain)| {
        let (fetched, chain) = (Arc::clone(&fetched), chain.clone());
        RestoredState {
            name: Arc::clone(name),
            descriptor: chain.descriptor.clone().unwrap(),
            parts: RestoredParts::deferred(move || {
                fetched.fetch_add(1, Ordering::Relaxed);
                Ok(vec![chain.part(all_groups())])
            }),
        }
    });
    let subtask = Subtask::open(directory, Some(barrier), restored.collect()).unwrap();
    (subtask, fetched.load(Ordering::Relaxed))
}

/// Damages a copy of what was left. Says how many states were read from the store; whatever they are, their content must
/// be what it was, and the next process must find it so too.
fn reopen_damaged(left: &Left, what: &str, damage: impl FnOnce(&Path)) -> usize {
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().join("damaged");
    copy(&left.directory, &directory);
    damage(&directory);
    let (mut subtask, fetched) = reopen(&directory, left.barrier, &left.chains);
    assert!(subtask.content() == left.content, "{what}");
    let random = &mut Rng::with_seed(9);
    let mut chains = left.chains.clone();
    (0..10).for_each(|_| subtask.act(random));
    subtask.seal(&mut chains);
    let barrier = subtask.backend.local_barrier().unwrap();
    let content = subtask.content();
    (0..10).for_each(|_| subtask.act(random));
    let next = folder.path().join("next");
    copy(&directory, &next);
    let (subtask, _) = reopen(&next, barrier, &chains);
    assert!(
        subtask.content() == content,
        "{what}, and then another crash"
    );
    fetched
}

fn change_file(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut content = fs::read(path).unwrap();
    change(&mut content);
    fs::write(path, content).unwrap();
}

/// Files, and where in them lines of so many bytes begin that are not all zeros.
fn lines(directory: &Path, bytes: usize) -> Vec<(PathBuf, usize)> {
    let mut lines = Vec::new();
    let mut files: Vec<PathBuf> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    for file in files {
        let content = fs::read(&file).unwrap();
        for (number, line) in content.chunks_exact(bytes).enumerate() {
            if line.iter().any(|&byte| byte != 0) {
                lines.push((file.clone(), number * bytes));
            }
        }
    }
    lines
}

fn name(path: &Path) -> String {
    path.file_name().unwrap().to_string_lossy().into_owned()
}

#[test]
fn what_a_process_left_undamaged_is_taken_up_without_the_store() {
    let left = leave(&mut Rng::with_seed(1));
    assert_eq!(reopen_damaged(&left, "nothing", |_| {}), 0);
}

#[test]
fn a_flipped_bit_is_noticed_or_means_nothing() {
    let seed = 2;
    let random = &mut Rng::with_seed(seed);
    let left = leave(random);
    let lines = lines(&left.directory, 64);
    let mut noticed = 0;
    for round in 0..FLIPS {
        let (file, start) = &lines[random.usize(..lines.len())];
        let (byte, bit) = (start + random.usize(..64), random.u8(..8));
        let what = format!(
            "seed {seed}, round {round}: {}, bit {bit} of {byte}",
            name(file)
        );
        let fetched = reopen_damaged(&left, &what, |directory| {
            change_file(&directory.join(name(file)), |content| {
                content[byte] ^= 1 << bit;
            });
        });
        noticed += usize::from(fetched > 0);
    }
    assert!(
        (FLIPS / 5..FLIPS).contains(&noticed),
        "{noticed} of {FLIPS} were noticed"
    );
}

#[test]
fn a_page_that_is_lost_or_another_one_is_noticed_or_means_nothing() {
    let seed = 3;
    let random = &mut Rng::with_seed(seed);
    let left = leave(random);
    let pages = lines(&left.directory, PAGE_BYTES);
    let mut noticed = 0;
    for round in 0..PAGES {
        let (file, start) = &pages[random.usize(..pages.len())];
        let (other_file, other_start) = &pages[random.usize(..pages.len())];
        let is_lost = random.bool();
        let what = format!(
            "seed {seed}, round {round}: {}, page at {start}",
            name(file)
        );
        let fetched = reopen_damaged(&left, &what, |directory| {
            let other = fs::read(directory.join(name(other_file))).unwrap();
            change_file(&directory.join(name(file)), |content| {
                let page = &mut content[*start..start + PAGE_BYTES];
                if is_lost {
                    page.fill(0);
                } else {
                    page.copy_from_slice(&other[*other_start..other_start + PAGE_BYTES]);
                }
            });
        });
        noticed += usize::from(fetched > 0);
    }
    assert!(noticed > PAGES / 4, "{noticed} of {PAGES} were noticed");
}

#[test]
fn every_bit_of_a_number_and_of_a_text_counts() {
    let folder = tempfile::tempdir().unwrap();
    let live = folder.path().join("live");
    let mut subtask = Subtask::open(&live, None, Vec::new()).unwrap();
    let (number, text) = (0x0123_4567_89ab_cdef_i64, "nowhere else");
    subtask.numbers.put(&1, &number).unwrap();
    subtask.numbers.put(&2, &3).unwrap();
    subtask
        .texts
        .put(&"key 1".to_owned(), &text.to_owned())
        .unwrap();
    let mut chains = Chains::new();
    subtask.seal(&mut chains);
    // So that the chunk with the delta is used for something else.
    subtask.seal(&mut chains);
    let left = Left {
        directory: live,
        barrier: subtask.backend.local_barrier().unwrap(),
        chains,
        content: subtask.content(),
        _folder: folder,
    };
    let file = fs::read_dir(&left.directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| !name(path).ends_with("ledger"))
        .unwrap();
    let content = fs::read(&file).unwrap();
    for wanted in [&number.to_le_bytes()[..], text.as_bytes()] {
        let found = content.windows(wanted.len()).enumerate();
        let places: Vec<usize> = found
            .filter_map(|(start, window)| (window == wanted).then_some(start))
            .collect();
        for bit in 0..wanted.len() * 8 {
            let folder = tempfile::tempdir().unwrap();
            copy(&left.directory, folder.path());
            change_file(&folder.path().join(name(&file)), |content| {
                for place in &places {
                    content[place + bit / 8] ^= 1 << (bit % 8);
                }
            });
            let (subtask, fetched) = reopen(folder.path(), left.barrier, &left.chains);
            assert_eq!(fetched, 1, "bit {bit} of {wanted:?}");
            assert_eq!(subtask.numbers.get(&1).unwrap(), Some(number));
        }
    }
}
