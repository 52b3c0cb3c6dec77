//! A registered state: what its handles and the backend share.

use std::cell::{Cell, RefCell, RefMut};
use std::sync::Arc;

use super::archive::{RecordKey, StateValue};
use super::base::BaseProgress;
use super::descriptor::StateDescriptor;
use super::sealed::{BaseContent, Epoch, SealedBase, SealedBytes, SealedState};
use super::state_name;
use super::store::Store;
use crate::error::{Error, ErrorKind, Result};

/// A named state. Handles and the backend each hold a reference to it, all on one thread.
pub(super) struct StateCell<R: RecordKey, V: StateValue> {
    pub(super) name: Arc<str>,
    descriptor: StateDescriptor,
    store: RefCell<Store<R, V>>,
    /// Whether what was restored is in an old layout, and the next barrier must make up for it.
    migrated: Cell<bool>,
    last_delta_bytes: Cell<u64>,
    last_base_bytes: Cell<u64>,
}

impl<R: RecordKey, V: StateValue> StateCell<R, V> {
    /// A state in its first epoch.
    pub(super) fn new(
        name: &str,
        descriptor: StateDescriptor,
        store: Store<R, V>,
        restored: Restored,
    ) -> Self {
        Self {
            name: name.into(),
            descriptor,
            store: RefCell::new(store),
            migrated: Cell::new(restored.migrated),
            last_delta_bytes: Cell::new(0),
            last_base_bytes: Cell::new(restored.base_bytes),
        }
    }

    /// The store, for one operation.
    #[inline]
    pub(super) fn store(&self) -> Result<RefMut<'_, Store<R, V>>> {
        self.store.try_borrow_mut().map_err(|_| self.entered())
    }

    #[cold]
    fn entered(&self) -> Error {
        Error::new(
            ErrorKind::Operator,
            format!(
                "{} is used from within a closure that was given to it",
                state_name::for_people(&self.name)
            ),
        )
    }
}

/// What the first barrier after a migration gives beside the delta: what was restored must not be read as the new layout.
///
/// The delta holds every record. An empty base before it says that nothing else counts; a finished base would say no more,
/// but a store that cannot take it would bring the old pieces back. Only where there are no deltas at all does the base
/// stand for everything itself.
fn base_after_migration(delta: &SealedBytes, base: Option<SealedBase>, epoch: Epoch) -> SealedBase {
    let stands_alone = |base: &SealedBase| delta.is_empty() && base.first_epoch == epoch;
    base.filter(stands_alone).unwrap_or_else(|| SealedBase {
        first_epoch: epoch,
        content: BaseContent::Bytes(SealedBytes::default()),
    })
}

/// What a state's first epoch begins with.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Restored {
    /// Whether it came out of a migration: all that it holds was put in this epoch then.
    pub(super) migrated: bool,
    /// The bytes of the bases that it was loaded from.
    pub(super) base_bytes: u64,
}

/// A registered state, whatever its types: what the backend does with all of them.
pub(super) trait AnyState {
    /// Its name.
    fn name(&self) -> &Arc<str>;
    /// The barrier: ends the epoch.
    fn end_epoch(&self, epoch: Epoch) -> Result<()>;
    /// Gathers about `bytes_max` of what the barrier that ended `epoch` is to give; gives it when all is gathered.
    fn gather(&self, bytes_max: usize, epoch: Epoch) -> Result<Option<SealedState>>;
    /// Nothing before the barrier that ended `epoch` will be taken back.
    fn release(&self, epoch: Epoch) -> Result<()>;
    /// Copies about `bytes_max` of a base, if one is due.
    fn copy_base_slice(&self, bytes_max: usize, epoch: Epoch) -> Result<BaseProgress>;
    /// Its figures; nothing while it is in use.
    fn statistics(&self) -> Option<StateStatistics>;
}

impl<R: RecordKey, V: StateValue> AnyState for StateCell<R, V> {
    fn name(&self) -> &Arc<str> {
        &self.name
    }

    fn end_epoch(&self, epoch: Epoch) -> Result<()> {
        self.store()?.end_epoch(epoch)
    }

    fn gather(&self, bytes_max: usize, epoch: Epoch) -> Result<Option<SealedState>> {
        let Some((delta, base)) = self.store()?.gather(bytes_max)? else {
            return Ok(None);
        };
        let base = if self.migrated.take() {
            Some(base_after_migration(&delta, base, epoch))
        } else {
            base
        };
        self.last_delta_bytes.set(delta.len());
        if let Some(base) = &base {
            self.last_base_bytes.set(base.content.len());
        }
        Ok(Some(SealedState {
            name: Arc::clone(&self.name),
            descriptor: self.descriptor.clone(),
            epoch,
            delta,
            base,
        }))
    }

    fn release(&self, epoch: Epoch) -> Result<()> {
        self.store()?.release(epoch);
        Ok(())
    }

    fn copy_base_slice(&self, bytes_max: usize, epoch: Epoch) -> Result<BaseProgress> {
        self.store()?.copy_base_slice(bytes_max, epoch)
    }

    fn statistics(&self) -> Option<StateStatistics> {
        let store = self.store.try_borrow().ok()?;
        let slots = store.slots();
        let table_load = if slots == 0 {
            0.0
        } else {
            store.records() as f64 / slots as f64
        };
        Some(StateStatistics {
            name: Arc::clone(&self.name),
            records: store.records(),
            live_bytes: store.live_bytes(),
            table_bytes: store.table_bytes(),
            spare_bytes: store.table_bytes().saturating_sub(store.live_bytes()),
            table_load,
            delta_bytes: store.delta_bytes(),
            base_bytes: store.base_bytes(),
            last_delta_bytes: self.last_delta_bytes.get(),
            last_base_bytes: self.last_base_bytes.get(),
        })
    }
}

/// Figures of one state.
#[derive(Clone, Debug, PartialEq)]
pub struct StateStatistics {
    /// The state's name.
    pub name: Arc<str>,
    /// How many records it holds: entries of maps, elements of lists. Some may be over their time and not yet removed.
    pub records: u64,
    /// What these take in a base, with the index of a map or a list.
    pub live_bytes: u64,
    /// What they take in memory, room for growth included.
    pub table_bytes: u64,
    /// How much of that is room for growth, and what the table needs for itself.
    pub spare_bytes: u64,
    /// Which share of the table's slots is taken, from 0 to 1; that of the records alone, without an index.
    pub table_load: f64,
    /// The size of the current epoch's delta.
    pub delta_bytes: u64,
    /// The size of a base that is being copied, or waits for the next barrier.
    pub base_bytes: u64,
    /// The size of the delta that the last barrier sealed.
    pub last_delta_bytes: u64,
    /// The size of the last base that a barrier took along, or that the state was loaded from; 0 when there was none.
    pub last_base_bytes: u64,
}

impl StateStatistics {
    /// Counts a part of the state in, whose records are not the user's.
    pub(super) fn add_part(&mut self, part: &Self) {
        self.live_bytes += part.live_bytes;
        self.table_bytes += part.table_bytes;
        self.spare_bytes += part.spare_bytes;
        self.delta_bytes += part.delta_bytes;
        self.base_bytes += part.base_bytes;
        self.last_delta_bytes += part.last_delta_bytes;
        self.last_base_bytes += part.last_base_bytes;
    }
}
