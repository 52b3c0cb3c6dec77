//! The keyed state of one operator subtask: what registers states, seals them at a barrier, and copies their bases.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;

use tracing::warn;

use super::archive::{RecordKey, StateValue};
use super::base_outlet::BaseOutlet;
use super::cell::{AnyState, Restored, StateCell, StateStatistics};
use super::descriptor::{RecordFormat, StateDescriptor};
use super::migration::{Migration, StoredKey};
use super::pools::Pools;
use super::sealed::{Epoch, LocalBarrier, RestoredState, SealedState};
use super::spec::StateSpec;
use super::state_name;
use super::store::{Ownership, Store, has_fixed_layout};
use super::sweep::Sweeper;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{KeyGroupRange, SharedClock, hash_key};

/// What a [`KeyedStateBackend`] is made with.
#[derive(Clone)]
pub struct StateSettings {
    /// The folder for the working segments of this operator subtask, and of nobody else. It is made if it is missing,
    /// cleared of old segments when the first state is registered, and removed in the end (as well as it can be). Without
    /// one, they are memory that ends with the process, for which huge pages are to be had on most systems.
    pub directory: Option<PathBuf>,
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
    /// What time-to-live goes by.
    pub clock: SharedClock,
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
    /// One for each state with a time-to-live.
    pub(super) sweeps: Vec<Box<dyn Sweeper>>,
    /// The time that all states go by, in milliseconds since the Unix epoch.
    pub(super) now: Rc<Cell<i64>>,
    epoch: Epoch,
    gathering: Option<Gathering>,
    base_outlet: Option<Arc<dyn BaseOutlet>>,
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
        let now = Rc::new(Cell::new(settings.clock.unix_millis()));
        Self {
            settings,
            restored,
            pools: None,
            states: Vec::new(),
            sweeps: Vec::new(),
            now,
            epoch: Epoch(1),
            gathering: None,
            base_outlet: None,
        }
    }

    /// Has the bases of all states that are registered from now on offered to `outlet`. Without one they are kept in
    /// memory until the barrier after their last slice.
    #[must_use]
    pub fn with_base_outlet(mut self, outlet: Option<Arc<dyn BaseOutlet>>) -> Self {
        self.base_outlet = outlet;
        self
    }

    /// Whether segments are left that may be able to go back to the barrier that the settings name: their ledger says so.
    /// Whether they are whole is found out when the states are registered.
    pub fn may_survive(settings: &StateSettings) -> bool {
        Pools::may_survive(settings)
    }

    /// The names of restored states that nothing has registered.
    pub fn unclaimed(&self) -> Vec<&str> {
        let names = self
            .restored
            .iter()
            .map(|state| state_name::of_user(&state.name));
        names.collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// Reads the clock. All states go by this time until the next call, so that within one call of an operator none of
    /// its values comes to its end between two reads. To be called before whatever uses the states.
    pub fn advance_time(&self) {
        // Nothing but time-to-live goes by it.
        if !self.sweeps.is_empty() {
            self.now.set(self.settings.clock.unix_millis());
        }
    }

    /// Goes on removing values whose time is over. To be called between batches: it does no more work than some
    /// microseconds' worth, and as much again as adding the records took that have come since the last call.
    ///
    /// # Errors
    /// Those of the states.
    pub fn sweep_slice(&self) -> Result<()> {
        for sweep in &self.sweeps {
            named(sweep.name(), sweep.sweep_slice())?;
        }
        Ok(())
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
    /// whether there is more to copy at once.
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

    /// Figures of each state, those of its parts counted in.
    pub fn statistics(&self) -> Vec<StateStatistics> {
        let mut all: Vec<StateStatistics> = Vec::new();
        for statistics in self.states.iter().filter_map(|state| state.statistics()) {
            let user_name = state_name::of_user(&statistics.name);
            match all.iter_mut().find(|state| *state.name == *user_name) {
                Some(state) => state.add_part(&statistics),
                None => all.push(statistics),
            }
        }
        all
    }

    /// What was stored under this name and is not registered yet.
    pub(super) fn restored_descriptor(&self, name: &str) -> Option<&StateDescriptor> {
        let mut restored = self.restored.iter();
        let found = restored.find(|state| *state.name == *name)?;
        Some(&found.descriptor)
    }

    /// Registers one set of records, and loads it if it was restored.
    pub(super) fn register<R: StoredKey, V: StateValue>(
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
        let position = self.restored.iter().position(|state| *state.name == *name);
        let restored = position.map(|index| self.restored.swap_remove(index));
        let migration = match &restored {
            Some(restored) => named(name, spec.migration_for(&restored.descriptor, &descriptor))?,
            None => None,
        };
        let hash = hash_key(format!("{name} {descriptor:?}").as_bytes());
        // What survives in a new layout was never part of the checkpoint that is migrated.
        let (mut store, survived) = self.store::<R, V>(name, hash, migration.is_none())?;
        debug_assert_eq!(store.format(), descriptor.record_format);
        let mut origin = Restored::default();
        if let Some(restored) = restored.filter(|_| !survived) {
            origin.migrated = migration.is_some();
            origin.base_bytes = named(name, self.load(&mut store, &restored, migration))?;
            if origin.migrated {
                // The first barrier gives every record, and no base can stand for that.
                store.put_off_bases();
            }
        }
        let state = Rc::new(StateCell::new(name, descriptor, store, origin));
        self.states.push(Rc::clone(&state) as Rc<dyn AnyState>);
        Ok(state)
    }

    /// The store of the state with this hash of name and types, and whether it survived an earlier process.
    fn store<R: RecordKey, V: StateValue>(
        &mut self,
        name: &str,
        hash: u64,
        may_survive: bool,
    ) -> Result<(Store<R, V>, bool)> {
        let pools = match &mut self.pools {
            Some(pools) => pools,
            pools => {
                let mut opened = Pools::open(&self.settings)?;
                opened.outlet = self.base_outlet.clone();
                self.epoch = opened.first_epoch;
                pools.insert(opened)
            }
        };
        if may_survive {
            match pools.resume_store(&self.settings, self.epoch, hash) {
                Ok(Some(store)) => return Ok((store, true)),
                Ok(None) => {}
                Err(error) => {
                    let reason = error.full_message();
                    warn!(state = name, reason, "surviving segments are of no use");
                }
            }
        }
        let store = pools.new_store(&self.settings, self.epoch, hash)?;
        Ok((store, false))
    }

    /// Fills a store with what was restored, after a migration if there is one. Gives the bytes of the bases.
    fn load<R: StoredKey, V: StateValue>(
        &self,
        store: &mut Store<R, V>,
        restored: &RestoredState,
        migration: Option<&Migration<V>>,
    ) -> Result<u64> {
        let ownership = Ownership {
            max_parallelism: self.settings.max_parallelism,
            key_groups: self.settings.key_groups,
        };
        let format = restored.descriptor.record_format;
        let mut base_bytes = 0;
        for (number, part) in restored.parts.fetch()?.iter().enumerate() {
            match migration {
                None => store.restore(part),
                Some(migration) => migration.restore(store, part, format, ownership),
            }
            .map_err(|error| error.context(format!("part {number}")))?;
            base_bytes += part.base.as_ref().map_or(0, |base| base.len() as u64);
        }
        Ok(base_bytes)
    }
}

fn named<T>(name: &str, result: Result<T>) -> Result<T> {
    result.map_err(|error| error.context(state_name::for_people(name)))
}

/// How records of these types lie in bases and deltas.
pub(super) fn record_format<R: RecordKey, V: StateValue>() -> RecordFormat {
    if has_fixed_layout::<R, V>() {
        RecordFormat::Fixed
    } else {
        RecordFormat::Variable
    }
}
