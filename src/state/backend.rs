//! The keyed state of one operator subtask: what registers states, seals them at a barrier, and copies their bases.

use std::cell::RefCell;
use std::path::PathBuf;
use std::rc::Rc;

use super::archive::{EntryKey, RecordKey, SingleKey, StateKey, StateValue};
use super::cell::{AnyState, Restored, StateCell, StateStatistics};
use super::chunk::ChunkPool;
use super::descriptor::{RecordFormat, StateDescriptor, StateKind};
use super::log::RecordLog;
use super::map_state::MapState;
use super::migration::{Migration, StoredKey};
use super::schema::schema_text;
use super::sealed::{Epoch, RestoredState, SealedState};
use super::segment::SegmentPool;
use super::spec::StateSpec;
use super::store::{FixedStore, Ownership, Store, VariableStore, has_fixed_layout};
use super::value_state::ValueState;
use crate::error::{Error, ErrorKind, Result};
use crate::model::KeyGroupRange;

/// What a [`KeyedStateBackend`] is made with.
#[derive(Clone, Debug)]
pub struct StateSettings {
    /// The folder for the working segments of this operator subtask, and of nobody else. It is made if it is missing,
    /// cleared of old segments when the first state is registered, and removed in the end (as well as it can be).
    pub directory: PathBuf,
    /// How many key groups the job has.
    pub max_parallelism: u16,
    /// Those of this subtask.
    pub key_groups: KeyGroupRange,
    /// Whether a barrier gives what was touched since the one before. Otherwise each gives all there is, and takes the
    /// time for it; in between, changes cost nothing beside themselves.
    pub incremental: bool,
}

/// The keyed state of one operator subtask.
///
/// It belongs to one thread, with the handles that it gives out. An error of any of its operations leaves the state
/// undefined: the subtask has to be restarted from the last checkpoint.
pub struct KeyedStateBackend {
    settings: StateSettings,
    restored: Vec<RestoredState>,
    /// Made when the first state is registered.
    pools: Option<Pools>,
    states: Vec<Rc<dyn AnyState>>,
    epoch: Epoch,
    gathering: Option<Gathering>,
}

/// What is gathered of the last barrier.
struct Gathering {
    /// How many states took part in it; others were registered since.
    states: usize,
    /// The first of them, complete.
    sealed: Vec<SealedState>,
}

impl KeyedStateBackend {
    /// A backend without a state yet; it touches no disk. `restored` is what a checkpoint holds for it.
    pub fn new(settings: StateSettings, restored: Vec<RestoredState>) -> Self {
        Self {
            settings,
            restored,
            pools: None,
            states: Vec::new(),
            epoch: Epoch(1),
            gathering: None,
        }
    }

    /// Registers a state with one value for each key, and loads it if it was restored.
    ///
    /// # Errors
    /// [`ErrorKind::Operator`] when the name is taken, or the migrations contradict each other;
    /// [`ErrorKind::Configuration`] when the restored state has another kind, another version or other schemas, and there
    /// is no migration for it; [`ErrorKind::Corrupt`] when its bytes are damaged; [`ErrorKind::Environment`] when there is
    /// no room. Those of a migration.
    pub fn value_state<K: StateKey, V: StateValue>(
        &mut self,
        spec: impl Into<StateSpec<V>>,
    ) -> Result<ValueState<K, V>> {
        let spec = spec.into();
        let descriptor = StateDescriptor {
            kind: StateKind::Value,
            version: spec.version(),
            key_schema: schema_text::<K>(),
            map_key_schema: None,
            value_schema: schema_text::<V>(),
            record_format: record_format::<SingleKey<K>, V>(),
        };
        Ok(ValueState::new(self.register(&spec, descriptor)?))
    }

    /// Registers a state with a map for each key, and loads it if it was restored.
    ///
    /// # Errors
    /// As for [`KeyedStateBackend::value_state`].
    pub fn map_state<K: StateKey, M: StateKey, V: StateValue>(
        &mut self,
        spec: impl Into<StateSpec<V>>,
    ) -> Result<MapState<K, M, V>> {
        let spec = spec.into();
        let descriptor = StateDescriptor {
            kind: StateKind::Map,
            version: spec.version(),
            key_schema: schema_text::<K>(),
            map_key_schema: Some(schema_text::<M>()),
            value_schema: schema_text::<V>(),
            record_format: record_format::<EntryKey<K, M>, V>(),
        };
        Ok(MapState::new(self.register(&spec, descriptor)?))
    }

    /// The names of restored states that nothing has registered.
    pub fn unclaimed(&self) -> Vec<&str> {
        self.restored.iter().map(|state| &*state.name).collect()
    }

    /// The barrier: ends the epoch. It takes microseconds, whatever the state's size, unless the settings say that
    /// checkpoints are not incremental. What the barrier gives is then to be gathered.
    ///
    /// # Errors
    /// [`ErrorKind::Bug`] when the barrier before is still to be gathered. [`ErrorKind::Environment`] when there is no
    /// room.
    pub fn end_epoch(&mut self) -> Result<()> {
        for state in &self.states {
            named(state.name(), state.end_epoch(self.epoch))?;
        }
        self.gathering = Some(Gathering {
            states: self.states.len(),
            sealed: Vec::with_capacity(self.states.len()),
        });
        self.epoch = Epoch(self.epoch.0 + 1);
        Ok(())
    }

    /// Gathers about `bytes_max` of what the last barrier gives; to be called between batches until it gives, once,
    /// all states as they were at the barrier. Gives nothing when no barrier is to be gathered.
    ///
    /// # Errors
    /// [`ErrorKind::Environment`] when there is no room.
    pub fn gather(&mut self, bytes_max: usize) -> Result<Option<Vec<SealedState>>> {
        let Some(Gathering { states, sealed }) = &mut self.gathering else {
            return Ok(None);
        };
        let ended = Epoch(self.epoch.0 - 1);
        for state in &self.states[sealed.len()..*states] {
            match named(state.name(), state.gather(bytes_max, ended))? {
                Some(gathered) => sealed.push(gathered),
                None => return Ok(None),
            }
        }
        Ok(self.gathering.take().map(|gathering| gathering.sealed))
    }

    /// The barrier, with all that it gives gathered at once.
    ///
    /// # Errors
    /// As for [`KeyedStateBackend::end_epoch`].
    pub fn seal(&mut self) -> Result<Vec<SealedState>> {
        self.end_epoch()?;
        Ok(self.gather(usize::MAX)?.unwrap_or_default())
    }

    /// Goes on copying bases, by about `bytes_max`; begins one where it is due. To be called between batches. Says
    /// whether there is more to copy.
    ///
    /// # Errors
    /// [`ErrorKind::Environment`] when there is no room.
    pub fn copy_base_slice(&mut self, bytes_max: usize) -> Result<bool> {
        let mut bytes = 0;
        let mut running = false;
        for state in &self.states {
            let progress = state.copy_base_slice(bytes_max.saturating_sub(bytes), self.epoch);
            let progress = named(state.name(), progress)?;
            bytes += progress.bytes;
            running |= progress.running;
        }
        Ok(running)
    }

    /// Figures of each state.
    pub fn statistics(&self) -> Vec<StateStatistics> {
        self.states
            .iter()
            .filter_map(|state| state.statistics())
            .collect()
    }

    fn register<R: StoredKey, V: StateValue>(
        &mut self,
        spec: &StateSpec<V>,
        descriptor: StateDescriptor,
    ) -> Result<Rc<StateCell<R, V>>> {
        let name = spec.name();
        if self.states.iter().any(|state| **state.name() == *name) {
            return Err(Error::new(
                ErrorKind::Operator,
                format!("state \"{name}\" is registered twice: give one of the two another name"),
            ));
        }
        named(name, spec.check())?;
        let mut store = self.store::<R, V>()?;
        debug_assert_eq!(store.format(), descriptor.record_format);
        let mut origin = Restored::default();
        if let Some(index) = self.restored.iter().position(|state| *state.name == *name) {
            let restored = self.restored.swap_remove(index);
            let migration = named(name, spec.migration_for(&restored.descriptor, &descriptor))?;
            named(name, self.load(&mut store, &restored, migration))?;
            origin = Restored {
                migrated: migration.is_some(),
                base_bytes: restored.base_bytes(),
            };
        }
        let state = Rc::new(StateCell::new(name, descriptor, store, origin));
        self.states.push(Rc::clone(&state) as Rc<dyn AnyState>);
        Ok(state)
    }

    /// Fills a store with what was restored, after a migration if there is one.
    fn load<R: StoredKey, V: StateValue>(
        &self,
        store: &mut Store<R, V>,
        restored: &RestoredState,
        migration: Option<&Migration<V>>,
    ) -> Result<()> {
        for (number, part) in restored.parts.iter().enumerate() {
            match migration {
                None => store.restore(part),
                Some(migration) => migration.restore(
                    store,
                    part,
                    restored.descriptor.record_format,
                    self.ownership(),
                ),
            }
            .map_err(|error| error.context(format!("part {number}")))?;
        }
        Ok(())
    }

    fn ownership(&self) -> Ownership {
        Ownership {
            max_parallelism: self.settings.max_parallelism,
            key_groups: self.settings.key_groups,
        }
    }

    fn store<R: RecordKey, V: StateValue>(&mut self) -> Result<Store<R, V>> {
        let ownership = self.ownership();
        let pools = match &mut self.pools {
            Some(pools) => pools,
            pools => pools.insert(Pools::open(&self.settings)?),
        };
        let segments = Rc::clone(&pools.segments);
        let log = RecordLog::new(Rc::clone(&pools.chunks));
        let incremental = self.settings.incremental;
        Ok(if has_fixed_layout::<R, V>() {
            Store::Fixed(FixedStore::new(ownership, segments, log, incremental))
        } else {
            Store::Variable(VariableStore::new(ownership, segments, log, incremental))
        })
    }
}

/// What all states of a subtask share.
struct Pools {
    segments: Rc<RefCell<SegmentPool>>,
    chunks: Rc<RefCell<ChunkPool>>,
}

impl Pools {
    fn open(settings: &StateSettings) -> Result<Self> {
        let segments = Rc::new(RefCell::new(SegmentPool::open(&settings.directory)?));
        let chunks = Rc::new(RefCell::new(ChunkPool::new(Rc::clone(&segments))));
        Ok(Self { segments, chunks })
    }
}

fn named<T>(name: &str, result: Result<T>) -> Result<T> {
    result.map_err(|error| error.context(format!("state \"{name}\"")))
}

fn record_format<R: RecordKey, V: StateValue>() -> RecordFormat {
    if has_fixed_layout::<R, V>() {
        RecordFormat::Fixed
    } else {
        RecordFormat::Variable
    }
}
