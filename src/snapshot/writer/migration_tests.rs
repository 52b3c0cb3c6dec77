//! Migrations over a real folder: restarts with newer types at other parallelisms, aborted first checkpoints, crashes
//! before them.

use std::collections::BTreeMap;

use fastrand::Rng;

use super::*;
use crate::model::{KeyGroup, SystemClock, hash_key};
use crate::snapshot::test_support::{MAX_PARALLELISM, StoreFixture, block_on};
use crate::snapshot::{LoadedCheckpoint, RestorePlan};
use crate::state::{KeyedStateBackend, StateSettings, StateSpec, StateValue, ValueState};

const OPERATOR: &str = "sum";
const KEYS: u64 = 300;

type Numbers = BTreeMap<u64, u32>;

/// A version of the value's type.
trait Version: StateValue {
    const VERSION: u32;
    fn of(number: u32) -> Self;
    fn number(&self) -> u32;
    fn migrations(spec: StateSpec<Self>) -> StateSpec<Self>;

    fn spec() -> StateSpec<Self> {
        Self::migrations(StateSpec::new("total").with_version(Self::VERSION))
    }
}

impl Version for u32 {
    const VERSION: u32 = 1;

    fn of(number: u32) -> Self {
        number
    }

    fn number(&self) -> u32 {
        *self
    }

    fn migrations(spec: StateSpec<Self>) -> StateSpec<Self> {
        spec
    }
}

/// As large as the version before it, so that nothing but the schema gives the change away.
impl Version for f32 {
    const VERSION: u32 = 2;

    fn of(number: u32) -> Self {
        number as Self
    }

    fn number(&self) -> u32 {
        *self as u32
    }

    fn migrations(spec: StateSpec<Self>) -> StateSpec<Self> {
        spec.with_migration(1, |old: u32| Self::of(old))
    }
}

impl Version for String {
    const VERSION: u32 = 3;

    fn of(number: u32) -> Self {
        number.to_string()
    }

    fn number(&self) -> u32 {
        self.parse().unwrap()
    }

    fn migrations(spec: StateSpec<Self>) -> StateSpec<Self> {
        spec.with_migration(1, |old: u32| Self::of(old))
            .with_migration(2, |old: f32| Self::of(old.number()))
    }
}

/// A store, what its newest checkpoint must hold, and the next checkpoint's id.
struct Model {
    fixture: StoreFixture,
    random: Rng,
    committed: Numbers,
    next: u64,
    /// Objects that hold records of an older version than the newest checkpoint's.
    outdated: BTreeSet<ObjectName>,
    version: u32,
    /// Whether the life at hand writes deltas.
    incremental: bool,
    context: String,
}

/// One subtask of a run.
struct Subtask<V: Version> {
    backend: KeyedStateBackend,
    state: ValueState<u64, V>,
    writer: SnapshotWriter,
}

impl Model {
    fn new(seed: u64) -> Self {
        Self {
            fixture: StoreFixture::new(),
            random: Rng::with_seed(seed),
            committed: Numbers::new(),
            next: 1,
            outdated: BTreeSet::new(),
            version: 1,
            incremental: true,
            context: format!("seed {seed}"),
        }
    }

    /// One life of the job: it ends after its last checkpoint, or crashes after changes that none has.
    fn run<V: Version>(&mut self) {
        let parallelism = self.random.usize(1..5);
        self.incremental = self.random.u8(..3) > 0;
        let mut numbers = self.committed.clone();
        let mut subtasks = self.start::<V>(parallelism);
        self.compare(&subtasks, &numbers);
        for _ in 0..self.random.usize(0..6) {
            self.change(&subtasks, &mut numbers);
            let operators = seal(&mut subtasks);
            let checkpoint = CheckpointId(self.next);
            self.next += 1;
            // Of an aborted checkpoint, some subtasks have written their part, and the others hold it.
            let aborted = self.random.u8(..3) == 0;
            let mut snapshots = Vec::new();
            for (subtask, operator) in subtasks.iter_mut().zip(operators) {
                if aborted && self.random.bool() {
                    subtask.writer.hold(&operator).unwrap();
                } else {
                    let written = block_on(subtask.writer.write(checkpoint, &[operator]));
                    snapshots.push(written.unwrap());
                }
            }
            if !aborted {
                self.commit::<V>(checkpoint, snapshots);
                self.committed = numbers.clone();
            }
        }
        self.change(&subtasks, &mut numbers);
    }

    fn start<V: Version>(&self, parallelism: usize) -> Vec<Subtask<V>> {
        let restored = block_on(self.fixture.store.load_newest_valid())
            .unwrap()
            .checkpoint;
        (0..parallelism)
            .map(|index| self.start_subtask(index, parallelism, restored.as_ref()))
            .collect()
    }

    fn start_subtask<V: Version>(
        &self,
        index: usize,
        parallelism: usize,
        restored: Option<&LoadedCheckpoint>,
    ) -> Subtask<V> {
        let operator = OPERATOR.into();
        let plan = |loaded: &LoadedCheckpoint| -> RestorePlan {
            let plan = loaded.restore_plan(&operator, index, parallelism, MAX_PARALLELISM, false);
            plan.unwrap().unwrap()
        };
        let subtask = SubtaskId::new(operator.clone(), index);
        let key_groups = KeyGroupRange::of_subtask(index, parallelism, MAX_PARALLELISM);
        // Every life has a nonce of its own, so that no object is written twice.
        let store = self.fixture.store.clone();
        let mut writer = SnapshotWriter::new(store, subtask, key_groups, self.next);
        let mut states = Vec::new();
        if let Some(plan) = restored.map(plan) {
            writer.inherit(&operator, &plan.inherited);
            states = plan.states;
        }
        let settings = StateSettings {
            directory: Some(self.fixture.folder.path().join(format!("state-{index}"))),
            max_parallelism: MAX_PARALLELISM,
            key_groups,
            incremental: self.incremental,
            local_recovery: None,
            clock: SystemClock::shared(),
        };
        let mut backend = KeyedStateBackend::new(settings, states);
        let state = backend.value_state(V::spec()).unwrap();
        Subtask {
            backend,
            state,
            writer,
        }
    }

    fn change<V: Version>(&mut self, subtasks: &[Subtask<V>], numbers: &mut Numbers) {
        for _ in 0..self.random.usize(..150) {
            let key = self.random.u64(..KEYS);
            let number = self.random.u32(..1 << 20);
            let state = owner(subtasks, key);
            if self.random.u8(..3) == 0 {
                state.remove(&key).unwrap();
                numbers.remove(&key);
            } else {
                state.put(&key, &V::of(number)).unwrap();
                numbers.insert(key, number);
            }
        }
    }

    fn commit<V: Version>(&mut self, checkpoint: CheckpointId, snapshots: Vec<SubtaskSnapshot>) {
        let before = block_on(self.fixture.store.load_newest_valid()).unwrap();
        if V::VERSION > self.version {
            self.version = V::VERSION;
            let older = before.checkpoint.map(|loaded| loaded.manifest().objects());
            self.outdated.extend(older.unwrap_or_default());
        }
        let manifest = block_on(self.fixture.commit(checkpoint.0, snapshots));
        assert!(
            manifest.objects().is_disjoint(&self.outdated),
            "{}: checkpoint {checkpoint} refers to a former layout",
            self.context
        );
    }

    fn compare<V: Version>(&self, subtasks: &[Subtask<V>], numbers: &Numbers) {
        let mut found = Numbers::new();
        for subtask in subtasks {
            let mut keys = Vec::new();
            let state = &subtask.state;
            state
                .for_each(|key, _| {
                    keys.push(key.to_native());
                    Ok(())
                })
                .unwrap();
            found.extend(keys.iter().map(|key| {
                let value = state.get(key).unwrap().unwrap();
                (*key, value.number())
            }));
        }
        assert_eq!(&found, numbers, "{}", self.context);
    }
}

fn seal<V: Version>(subtasks: &mut [Subtask<V>]) -> Vec<SealedOperator> {
    subtasks
        .iter_mut()
        .map(|subtask| SealedOperator {
            in_flight: Vec::new(),
            operator: OPERATOR.into(),
            finished: false,
            items: Vec::new(),
            operator_state: Vec::new(),
            local: None,
            states: subtask.backend.seal().unwrap(),
        })
        .collect()
}

fn owner<V: Version>(subtasks: &[Subtask<V>], key: u64) -> &ValueState<u64, V> {
    let group = KeyGroup::of_hash(hash_key(&key.to_le_bytes()), MAX_PARALLELISM);
    &subtasks[group.subtask(subtasks.len(), MAX_PARALLELISM)].state
}

#[test]
fn no_crash_and_no_abort_makes_a_migration_lose_or_misread_a_record() {
    for seed in 0..20 {
        let mut model = Model::new(seed);
        for _ in 0..3 {
            model.run::<u32>();
        }
        if model.random.bool() {
            model.run::<f32>();
            model.run::<f32>();
        }
        for _ in 0..3 {
            model.run::<String>();
        }
    }
}
