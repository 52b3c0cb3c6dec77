//! The keyed state of one operator subtask: what registers states, seals them at a barrier, and copies their bases.

use std::any::type_name;
use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::rc::Rc;

use rkyv::Archived;
use tracing::warn;

use super::archive::{RecordKey, StateValue};
use super::cell::{AnyState, StateCell, StateStatistics};
use super::descriptor::{RecordFormat, StateDescriptor};
use super::pools::Pools;
use super::sealed::{Epoch, LocalBarrier, RestoredParts, RestoredState, SealedState};
use super::spec::StateSpec;
use super::state_name;
use super::store::{Store, has_fixed_layout};
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
        }
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

    /// Registers one set of records, and loads it if it was restored.
    pub(super) fn register<R: RecordKey, V: StateValue>(
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

/// A type as the descriptor names it.
pub(super) fn type_text<T: StateValue>() -> String {
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
    let (before, now) = match (stored.time_to_live, registered.time_to_live) {
        (false, true) => ("without a time-to-live".into(), "with one".into()),
        (true, false) => ("with a time-to-live".into(), "without one".into()),
        _ => (
            format!("as {}", descriptor_text(stored)),
            format!("as {}", descriptor_text(registered)),
        ),
    };
    Err(Error::new(
        ErrorKind::Configuration,
        format!(
            "{} was stored {before} and is now registered {now}: restore it as it was stored, give the new state \
             another name, or start without the checkpoint",
            state_name::for_people(name),
        ),
    ))
}

fn descriptor_text(descriptor: &StateDescriptor) -> String {
    let StateDescriptor {
        kind,
        key_type,
        map_key_type,
        value_type,
        time_to_live,
        record_format,
    } = descriptor;
    let map_key = map_key_type
        .as_ref()
        .map(|map_key| format!(", map key {map_key}"))
        .unwrap_or_default();
    let time_to_live = if *time_to_live {
        " with a time-to-live"
    } else {
        ""
    };
    format!(
        "{kind:?} with key {key_type}{map_key}, value {value_type}, {record_format:?} records{time_to_live}"
    )
}
