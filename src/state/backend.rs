//! The keyed state of one operator subtask: what registers states, seals them at a barrier, and copies their bases.

use std::any::type_name;
use std::cell::RefCell;
use std::path::PathBuf;
use std::rc::Rc;

use rkyv::Archived;
use tracing::warn;

use super::archive::{EntryKey, RecordKey, SingleKey, StateKey, StateValue};
use super::cell::{AnyState, StateCell, StateStatistics};
use super::descriptor::{RecordFormat, StateDescriptor, StateKind};
use super::map_state::MapState;
use super::pools::Pools;
use super::sealed::{Epoch, LocalBarrier, RestoredParts, RestoredState, SealedState};
use super::spec::StateSpec;
use super::store::{Store, has_fixed_layout};
use super::value_state::ValueState;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{KeyGroupRange, hash_key};

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
    /// Whether a later process can take up the working segments, should this one be killed. It is of use with
    /// incremental checkpoints only.
    pub local_recovery: Option<LocalRecovery>,
}

/// How working segments outlive their process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalRecovery {
    /// What tells these segments from all others: drawn anew by each run of the job.
    pub lineage: u64,
    /// What tells this start of the machine from all others: segments are not synced.
    pub boot: u64,
    /// The barrier of the checkpoint that the job is restored from, if it is one that surviving segments may be able to
    /// go back to.
    pub take_back: Option<LocalBarrier>,
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
    /// [`ErrorKind::Operator`] when the name is taken; [`ErrorKind::Configuration`] when the restored state has another
    /// kind or other types; [`ErrorKind::Corrupt`] when its bytes are damaged; [`ErrorKind::Environment`] when there is
    /// no room.
    pub fn value_state<K: StateKey, V: StateValue>(
        &mut self,
        spec: impl Into<StateSpec<V>>,
    ) -> Result<ValueState<K, V>> {
        let descriptor = StateDescriptor {
            kind: StateKind::Value,
            key_type: type_text::<K>(),
            map_key_type: None,
            value_type: type_text::<V>(),
            record_format: record_format::<SingleKey<K>, V>(),
        };
        Ok(ValueState::new(self.register(&spec.into(), descriptor)?))
    }

    /// Registers a state with a map for each key, and loads it if it was restored.
    ///
    /// # Errors
    /// As for [`KeyedStateBackend::value_state`].
    pub fn map_state<K: StateKey, M: StateKey, V: StateValue>(
        &mut self,
        spec: impl Into<StateSpec<V>>,
    ) -> Result<MapState<K, M, V>> {
        let descriptor = StateDescriptor {
            kind: StateKind::Map,
            key_type: type_text::<K>(),
            map_key_type: Some(type_text::<M>()),
            value_type: type_text::<V>(),
            record_format: record_format::<EntryKey<K, M>, V>(),
        };
        Ok(MapState::new(self.register(&spec.into(), descriptor)?))
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
        match &self.pools {
            Some(pools) => pools.change_ledger(|ledger| ledger.set_epoch(self.epoch.0)),
            None => Ok(()),
        }
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

    /// The last barrier, as one that a later process can go back to, should this one be killed.
    pub fn local_barrier(&self) -> Option<LocalBarrier> {
        let pool = self.pools.as_ref()?.segments.try_borrow().ok()?;
        Some(LocalBarrier {
            lineage: pool.lineage()?,
            epoch: Epoch(self.epoch.0 - 1),
        })
    }

    /// A checkpoint of the barrier that ended `epoch` is complete: nobody will go back to an earlier one.
    ///
    /// # Errors
    /// [`ErrorKind::Operator`] when it is called from within a closure that was given to a state.
    pub fn release(&mut self, epoch: Epoch) -> Result<()> {
        if let Some(pools) = &self.pools {
            pools.change_ledger(|ledger| ledger.set_floor(epoch.0))?;
        }
        self.states
            .iter()
            .try_for_each(|state| state.release(epoch))
    }

    /// Figures of each state.
    pub fn statistics(&self) -> Vec<StateStatistics> {
        self.states
            .iter()
            .filter_map(|state| state.statistics())
            .collect()
    }

    fn register<R: RecordKey, V: StateValue>(
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
        let restored = match self.restored.iter().position(|state| *state.name == *name) {
            Some(index) => {
                let restored = self.restored.swap_remove(index);
                check_descriptor(name, &restored.descriptor, &descriptor)?;
                Some(restored.parts)
            }
            None => None,
        };
        let pools = match &mut self.pools {
            Some(pools) => pools,
            pools => {
                let opened = Pools::open(&self.settings)?;
                self.epoch = opened.first_epoch;
                pools.insert(opened)
            }
        };
        let hash = hash_key(format!("{name} {}", descriptor_text(&descriptor)).as_bytes());
        let store = match pools.resume_store::<R, V>(&self.settings, self.epoch, hash) {
            Ok(Some(store)) => store,
            outcome => {
                if let Err(error) = outcome {
                    let reason = error.full_message();
                    warn!(state = name, reason, "surviving segments are of no use");
                }
                let mut store = pools.new_store::<R, V>(&self.settings, self.epoch, hash)?;
                if let Some(parts) = restored {
                    named(name, restore(&mut store, &parts))?;
                }
                store
            }
        };
        debug_assert_eq!(store.format(), descriptor.record_format);
        let state = Rc::new(StateCell {
            name: name.into(),
            descriptor,
            store: RefCell::new(store),
        });
        self.states.push(Rc::clone(&state) as Rc<dyn AnyState>);
        Ok(state)
    }
}

fn restore<R: RecordKey, V: StateValue>(
    store: &mut Store<R, V>,
    parts: &RestoredParts,
) -> Result<()> {
    for (number, part) in parts.fetch()?.iter().enumerate() {
        store
            .restore(part)
            .map_err(|error| error.context(format!("part {number}")))?;
    }
    Ok(())
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

/// A type as the descriptor names it.
fn type_text<T: StateValue>() -> String {
    format!(
        "{} ({} bytes, alignment {})",
        type_name::<T>(),
        size_of::<Archived<T>>(),
        align_of::<Archived<T>>()
    )
}

fn check_descriptor(
    name: &str,
    stored: &StateDescriptor,
    registered: &StateDescriptor,
) -> Result<()> {
    if stored == registered {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Configuration,
        format!(
            "state \"{name}\" was stored as {} and is now registered as {}: restore it with the types that it was \
             stored with, give the new state another name, or start without the checkpoint",
            descriptor_text(stored),
            descriptor_text(registered)
        ),
    ))
}

fn descriptor_text(descriptor: &StateDescriptor) -> String {
    let StateDescriptor {
        kind,
        key_type,
        map_key_type,
        value_type,
        record_format,
    } = descriptor;
    let map_key = map_key_type
        .as_ref()
        .map(|map_key| format!(", map key {map_key}"))
        .unwrap_or_default();
    format!("{kind:?} with key {key_type}{map_key}, value {value_type}, {record_format:?} records")
}
