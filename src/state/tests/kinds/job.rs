//! A job with several subtasks that keep one state, and the plain values that it must equal.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;

use super::timed::Time;
use crate::error::Result;
use crate::model::{Clock, KeyGroup, KeyGroupRange, ManualClock};
use crate::state::tests::chain::Chain;
use crate::state::tests::subject::{MAX_PARALLELISM, NAME};
use crate::state::{
    KeyedStateBackend, RestoredPart, RestoredState, StateDescriptor, StateSettings, StateTtl,
    TtlUpdate,
};

/// How long values last in a job with a time-to-live.
const DURATION: Duration = Duration::from_secs(16);

/// A state of some kind, under the name [`NAME`].
pub(super) trait Kind: Sized {
    type Key: Ord + Clone + Debug;
    /// What the state must hold of one key.
    type Expected: Clone + Default;

    fn register(backend: &mut KeyedStateBackend, time_to_live: Option<StateTtl>) -> Result<Self>;
    fn key(number: u64) -> Self::Key;
    fn group(key: &Self::Key) -> KeyGroup;
    /// Removes from `expected` what is over its time; says how many records are left.
    fn keep_live(expected: &mut Self::Expected, time: Time) -> usize;
    /// Does one operation, on the state and on what it must hold.
    fn step(&self, key: &Self::Key, expected: &mut Self::Expected, time: Time, random: &mut Rng);
    /// Compares all that the state gives back about a key.
    fn compare(&self, key: &Self::Key, expected: &mut Self::Expected, time: Time);
    /// How many records a scan of the whole state comes upon, if the kind has one.
    fn scanned(&self) -> Option<usize>;
}

/// What a checkpoint holds of one subtask, by the name of the state.
#[derive(Clone)]
struct Held {
    key_groups: KeyGroupRange,
    states: BTreeMap<Arc<str>, (StateDescriptor, Vec<RestoredPart>)>,
}

struct Subtask<S> {
    key_groups: KeyGroupRange,
    backend: KeyedStateBackend,
    state: S,
    /// What was restored.
    older: Vec<Held>,
    chains: BTreeMap<Arc<str>, Chain>,
    /// Whether all that the last barrier gives has come.
    is_gathered: bool,
}

struct Job<S: Kind> {
    seed: u64,
    folder: tempfile::TempDir,
    clock: Arc<ManualClock>,
    time_to_live: Option<StateTtl>,
    subtasks: Vec<Subtask<S>>,
    expected: BTreeMap<S::Key, S::Expected>,
    /// What was expected at the last barrier, until what that gives is gathered.
    begun: Option<BTreeMap<S::Key, S::Expected>>,
    /// The last checkpoint, and what was expected then.
    checkpoint: (Vec<Held>, BTreeMap<S::Key, S::Expected>),
}

/// Runs a job from this seed, without a time-to-live and with each kind of one.
pub(super) fn check<S: Kind>(seed: u64, keys: u64, steps: usize) {
    run::<S>(seed, keys, steps, None);
    for update in [TtlUpdate::OnCreateAndWrite, TtlUpdate::OnReadAndWrite] {
        let time_to_live = StateTtl {
            duration: DURATION,
            update,
        };
        run::<S>(seed, keys, steps, Some(time_to_live));
    }
}

fn run<S: Kind>(seed: u64, keys: u64, steps: usize, time_to_live: Option<StateTtl>) {
    let mut random = Rng::with_seed(seed);
    let mut job = Job::<S>::start(seed, time_to_live);
    for _ in 0..steps {
        match random.u8(..100) {
            0..=9 => job.pass_time(Duration::from_millis(
                random.u64(..DURATION.as_millis() as u64 / 8),
            )),
            10..=19 => job.between_batches(random.usize(..4_000)),
            20..=21 => job.barrier(),
            22 if random.u8(..4) == 0 => {
                job.barrier();
                job.gather(usize::MAX);
                job.restart(random.usize(1..6));
                job.compare(keys);
            }
            23 if random.u8(..4) == 0 => job.restart(random.usize(1..6)),
            _ => job.step(&S::key(random.u64(..keys)), &mut random),
        }
    }
    job.compare(keys);
    if time_to_live.is_some() {
        job.wait_until_all_is_gone();
    }
}

impl<S: Kind> Job<S> {
    fn start(seed: u64, time_to_live: Option<StateTtl>) -> Self {
        let mut job = Self {
            seed,
            folder: tempfile::tempdir().unwrap(),
            clock: Arc::new(ManualClock::default()),
            time_to_live,
            subtasks: Vec::new(),
            expected: BTreeMap::new(),
            begun: None,
            checkpoint: (Vec::new(), BTreeMap::new()),
        };
        job.restart(2);
        job
    }

    fn time(&self) -> Time {
        Time {
            seed: self.seed,
            now: self.clock.unix_millis(),
            time_to_live: self.time_to_live,
        }
    }

    fn pass_time(&mut self, duration: Duration) {
        self.clock.advance(duration);
        for subtask in &self.subtasks {
            subtask.backend.advance_time();
        }
    }

    fn between_batches(&mut self, bytes_max: usize) {
        self.gather(bytes_max / 8);
        for subtask in &mut self.subtasks {
            subtask.backend.sweep_slice().unwrap();
            subtask.backend.copy_base_slice(bytes_max).unwrap();
        }
    }

    fn step(&mut self, key: &S::Key, random: &mut Rng) {
        let time = self.time();
        let subtask = owner(&self.subtasks, key);
        let expected = self.expected.entry(key.clone()).or_default();
        S::keep_live(expected, time);
        subtask.state.step(key, expected, time, random);
    }

    /// Begins a checkpoint, once the one before is gathered.
    fn barrier(&mut self) {
        self.gather(usize::MAX);
        for subtask in &mut self.subtasks {
            subtask.backend.end_epoch().unwrap();
        }
        self.begun = Some(self.expected.clone());
    }

    /// Gathers what the last barrier gives, and completes the checkpoint when that is all.
    fn gather(&mut self, bytes_max: usize) {
        for subtask in &mut self.subtasks {
            for sealed in subtask
                .backend
                .gather(bytes_max)
                .unwrap()
                .unwrap_or_default()
            {
                let chain = subtask.chains.entry(Arc::clone(&sealed.name)).or_default();
                chain.add(sealed);
                subtask.is_gathered = true;
            }
        }
        if self.subtasks.iter().all(|subtask| subtask.is_gathered)
            && let Some(expected) = self.begun.take()
        {
            let held = self.subtasks.iter().map(Subtask::held).collect();
            self.checkpoint = (held, expected);
            for subtask in &mut self.subtasks {
                subtask.is_gathered = false;
            }
        }
    }

    /// Goes on from the last checkpoint, with so many subtasks.
    fn restart(&mut self, parallelism: usize) {
        self.subtasks.clear();
        self.begun = None;
        let (held, expected) = &self.checkpoint;
        self.expected = expected.clone();
        for index in 0..parallelism {
            let key_groups = KeyGroupRange::of_subtask(index, parallelism, MAX_PARALLELISM);
            let older: Vec<Held> = held
                .iter()
                .filter(|held| {
                    held.key_groups.start < key_groups.end && key_groups.start < held.key_groups.end
                })
                .cloned()
                .collect();
            let settings = StateSettings {
                directory: Some(self.folder.path().join(index.to_string())),
                max_parallelism: MAX_PARALLELISM,
                key_groups,
                incremental: true,
                local_recovery: None,
                clock: self.clock.clone(),
            };
            let mut backend = KeyedStateBackend::new(settings, restored(&older));
            let state = S::register(&mut backend, self.time_to_live).unwrap();
            assert!(backend.unclaimed().is_empty(), "a part was left");
            self.subtasks.push(Subtask {
                key_groups,
                backend,
                state,
                older,
                chains: BTreeMap::new(),
                is_gathered: false,
            });
        }
    }

    fn compare(&mut self, keys: u64) {
        let time = self.time();
        let mut live = 0;
        for key in (0..keys).map(S::key) {
            let expected = self.expected.entry(key.clone()).or_default();
            live += S::keep_live(expected, time);
            let subtask = owner(&self.subtasks, &key);
            subtask.state.compare(&key, expected, time);
        }
        let scanned: Option<usize> = self
            .subtasks
            .iter()
            .map(|subtask| subtask.state.scanned())
            .sum();
        assert!(
            scanned.is_none_or(|scanned| scanned == live),
            "{time}: {scanned:?} of {live}"
        );
    }

    /// Time-to-live bounds the memory: once nobody writes any more, nothing is left, of the index neither.
    fn wait_until_all_is_gone(&mut self) {
        let seed = self.seed;
        self.pass_time(DURATION * 2);
        for _ in 0..100 {
            self.between_batches(0);
        }
        for subtask in &self.subtasks {
            let statistics = subtask.backend.statistics();
            assert_eq!(statistics.len(), 1, "seed {seed}: {statistics:?}");
            assert_eq!(&*statistics[0].name, NAME);
            assert_eq!(statistics[0].records, 0, "seed {seed}: {statistics:?}");
            assert_eq!(statistics[0].live_bytes, 0, "seed {seed}: {statistics:?}");
        }
    }
}

impl<S> Subtask<S> {
    /// What a checkpoint holds of the subtask after a barrier.
    fn held(&self) -> Held {
        let states = self.chains.iter().map(|(name, chain)| {
            let part = chain.part(self.key_groups);
            let older = self.older.iter().filter_map(|held| held.states.get(name));
            let mut parts: Vec<RestoredPart> = older
                .flat_map(|(_, parts)| parts)
                .filter(|_| part.base.is_none())
                .map(|older| RestoredPart {
                    key_groups: KeyGroupRange {
                        start: older.key_groups.start.max(self.key_groups.start),
                        end: older.key_groups.end.min(self.key_groups.end),
                    },
                    ..older.clone()
                })
                .filter(|older| older.key_groups.start < older.key_groups.end)
                .collect();
            parts.push(part);
            (Arc::clone(name), (chain.descriptor.clone().unwrap(), parts))
        });
        Held {
            key_groups: self.key_groups,
            states: states.collect(),
        }
    }
}

fn owner<'s, S: Kind>(subtasks: &'s [Subtask<S>], key: &S::Key) -> &'s Subtask<S> {
    let group = S::group(key);
    let owns = |subtask: &&Subtask<S>| subtask.key_groups.contains(group);
    subtasks.iter().find(owns).unwrap()
}

fn restored(held: &[Held]) -> Vec<RestoredState> {
    let mut states = BTreeMap::<&Arc<str>, (&StateDescriptor, Vec<RestoredPart>)>::new();
    for (name, (descriptor, parts)) in held.iter().flat_map(|held| &held.states) {
        let (_, all) = states
            .entry(name)
            .or_insert_with(|| (descriptor, Vec::new()));
        all.extend(parts.iter().cloned());
    }
    let states = states.into_iter();
    states
        .map(|(name, (descriptor, parts))| RestoredState {
            name: Arc::clone(name),
            descriptor: descriptor.clone(),
            parts: parts.into(),
        })
        .collect()
}
