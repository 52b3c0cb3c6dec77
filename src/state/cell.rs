//! A registered state: what its handles and the backend share.

use std::cell::{RefCell, RefMut};
use std::sync::Arc;

use super::archive::{RecordKey, StateValue};
use super::base::BaseProgress;
use super::descriptor::StateDescriptor;
use super::sealed::{Epoch, SealedState};
use super::store::Store;
use crate::error::{Error, ErrorKind, Result};

/// A named state. Handles and the backend each hold a reference to it, all on one thread.
pub(super) struct StateCell<R: RecordKey, V: StateValue> {
    pub(super) name: Arc<str>,
    pub(super) descriptor: StateDescriptor,
    pub(super) store: RefCell<Store<R, V>>,
}

impl<R: RecordKey, V: StateValue> StateCell<R, V> {
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
                "state \"{}\" is used from within a closure that was given to it",
                self.name
            ),
        )
    }
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
        let gathered = self.store()?.gather(bytes_max)?;
        Ok(gathered.map(|(delta, base)| SealedState {
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
            table_load,
            delta_bytes: store.delta_bytes(),
            base_bytes: store.base_bytes(),
        })
    }
}

/// Figures of one state.
#[derive(Clone, Debug, PartialEq)]
pub struct StateStatistics {
    /// The state's name.
    pub name: Arc<str>,
    /// How many records it holds.
    pub records: u64,
    /// What these take in a base.
    pub live_bytes: u64,
    /// What they take in memory, room for growth included.
    pub table_bytes: u64,
    /// Which share of the table's slots is taken, from 0 to 1.
    pub table_load: f64,
    /// The size of the current epoch's delta.
    pub delta_bytes: u64,
    /// The size of a base that is being copied, or waits for the next barrier.
    pub base_bytes: u64,
}
