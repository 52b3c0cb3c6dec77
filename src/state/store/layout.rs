//! One store, whichever of the two layouts it has.

use rkyv::Archived;
use rkyv::seal::Seal;

use super::{FixedStore, SealedParts, StoreSetup, SurvivingStore, VariableStore};
use crate::error::Result;
use crate::model::KeyGroupRange;
use crate::state::archive::{self, RecordKey, StateValue};
use crate::state::base::BaseProgress;
use crate::state::descriptor::RecordFormat;
use crate::state::piece::PieceKind;
use crate::state::sealed::{Epoch, RestoredPart};
use crate::state::table::{Cursor, slots_in_bucket};

/// Whether records of these types lie in the table's slots. Fewer than two in a bucket are not worth it.
pub(in crate::state) const fn has_fixed_layout<R: RecordKey, V: StateValue>() -> bool {
    R::FIXED && archive::is_fixed::<V>() && slots_in_bucket::<R::Fixed, Archived<V>>() >= 2
}

/// The records of one state, and what of them changed in the current epoch.
///
/// An error leaves the store in no defined state: the subtask is to be restarted from the last checkpoint.
pub(in crate::state) enum Store<R: RecordKey, V: StateValue> {
    /// Key and value lie in the table.
    Fixed(FixedStore<R, V>),
    /// Key and value lie in the heap.
    Variable(VariableStore<R, V>),
}

/// Calls the same method of either store.
macro_rules! either {
    ($self:expr, $store:ident => $call:expr) => {
        match $self {
            Self::Fixed($store) => $call,
            Self::Variable($store) => $call,
        }
    };
}

impl<R: RecordKey, V: StateValue> Store<R, V> {
    /// An empty store, in the layout that fits its types.
    pub(in crate::state) fn new(setup: StoreSetup) -> Self {
        if has_fixed_layout::<R, V>() {
            Self::Fixed(FixedStore::new(setup))
        } else {
            Self::Variable(VariableStore::new(setup))
        }
    }

    /// How its records are written.
    pub(in crate::state) fn format(&self) -> RecordFormat {
        match self {
            Self::Fixed(_) => RecordFormat::Fixed,
            Self::Variable(_) => RecordFormat::Variable,
        }
    }

    /// Shows `read` the value of a key, if it has one.
    pub(in crate::state) fn with<T>(
        &mut self,
        key: R::Native<'_>,
        read: impl FnOnce(Option<&Archived<V>>) -> T,
    ) -> Result<T> {
        either!(self, store => store.with(key, read))
    }

    /// Sets the value of a key.
    pub(in crate::state) fn put(&mut self, key: R::Native<'_>, value: &V) -> Result<()> {
        either!(self, store => store.put(key, value))
    }

    /// Removes a key; says whether it was there.
    pub(in crate::state) fn remove(&mut self, key: R::Native<'_>) -> Result<bool> {
        either!(self, store => store.remove(key))
    }

    /// Updates the value of each key in order, in place, after giving it an initial one if it has none.
    pub(in crate::state) fn update_batch<'k>(
        &mut self,
        keys: impl Iterator<Item = R::Native<'k>>,
        initial: impl FnMut(usize) -> V,
        update: impl FnMut(usize, Seal<'_, Archived<V>>),
    ) -> Result<()> {
        either!(self, store => store.update_batch(keys, initial, update))
    }

    /// Shows `visit` the records of the next sub-table; says whether there was one.
    pub(in crate::state) fn visit_next(
        &self,
        cursor: &mut Cursor,
        visit: impl FnMut(R::View<'_>, &Archived<V>) -> Result<()>,
    ) -> Result<bool> {
        either!(self, store => store.visit_next(cursor, visit))
    }

    /// The barrier: ends the epoch.
    pub(in crate::state) fn end_epoch(&mut self, epoch: Epoch) -> Result<()> {
        either!(self, store => store.end_epoch(epoch))
    }

    /// Gathers about `bytes_max` of what the last barrier is to give; gives it when all is gathered.
    pub(in crate::state) fn gather(&mut self, bytes_max: usize) -> Result<Option<SealedParts>> {
        either!(self, store => store.gather(bytes_max))
    }

    /// Copies about `bytes_max` of a base, if one is due.
    pub(in crate::state) fn copy_base_slice(
        &mut self,
        bytes_max: usize,
        epoch: Epoch,
    ) -> Result<BaseProgress> {
        either!(self, store => store.copy_base_slice(bytes_max, epoch))
    }

    /// Takes up what an earlier process left, and takes back what it did after the barrier that ended `barrier`.
    pub(in crate::state) fn resume(&mut self, left: SurvivingStore, barrier: Epoch) -> Result<()> {
        either!(self, store => store.resume(left, barrier))
    }

    /// Begins no base before the next barrier.
    pub(in crate::state) fn put_off_bases(&mut self) {
        either!(self, store => store.epochs.base.wait_for_barrier());
    }

    /// Nothing before the barrier that ended `epoch` will be taken back.
    pub(in crate::state) fn release(&mut self, epoch: Epoch) {
        either!(self, store => store.epochs.release(epoch));
    }

    /// Applies what one subtask had written.
    pub(in crate::state) fn restore(&mut self, part: &RestoredPart) -> Result<()> {
        if let Some(base) = &part.base {
            self.restore_piece(base, PieceKind::Base, part.key_groups)
                .map_err(|error| error.context("its base"))?;
        }
        for (number, delta) in part.deltas.iter().enumerate() {
            // A delta of an epoch in which nothing was touched has no bytes at all.
            if !delta.is_empty() {
                self.restore_piece(delta, PieceKind::Delta, part.key_groups)
                    .map_err(|error| error.context(format!("its delta {number}")))?;
            }
        }
        Ok(())
    }

    /// How many records there are.
    pub(in crate::state) fn records(&self) -> u64 {
        either!(self, store => store.records())
    }

    /// How many records the table has room for.
    pub(in crate::state) fn slots(&self) -> u64 {
        either!(self, store => store.slots())
    }

    /// What a base would take.
    pub(in crate::state) fn live_bytes(&self) -> u64 {
        either!(self, store => store.live_bytes())
    }

    /// What the table and its heap take.
    pub(in crate::state) fn table_bytes(&self) -> u64 {
        either!(self, store => store.table_bytes())
    }

    /// What the current epoch's delta takes.
    pub(in crate::state) fn delta_bytes(&self) -> u64 {
        either!(self, store => store.epochs.delta_bytes())
    }

    /// What a base that is not yet given away takes.
    pub(in crate::state) fn base_bytes(&self) -> u64 {
        either!(self, store => store.epochs.base.bytes())
    }

    fn restore_piece(
        &mut self,
        piece: &[u8],
        kind: PieceKind,
        key_groups: KeyGroupRange,
    ) -> Result<()> {
        either!(self, store => store.restore(piece, kind, key_groups))
    }
}

#[cfg(test)]
mod tests {
    use rkyv::{Archive, Deserialize, Serialize};

    use super::*;
    use crate::state::archive::{EntryKey, SingleKey};
    use crate::state::{StateKey, StateValue};

    crate::state_schema! {
        #[derive(Archive, Serialize, Deserialize)]
        struct Whole {
            sum: i64,
            count: u64,
        }

        #[derive(Archive, Serialize, Deserialize)]
        struct Padded {
            sum: i64,
            flag: bool,
        }
    }

    fn value_is_fixed<K: StateKey, V: StateValue>() -> bool {
        has_fixed_layout::<SingleKey<K>, V>()
    }

    fn map_is_fixed<K: StateKey, M: StateKey, V: StateValue>() -> bool {
        has_fixed_layout::<EntryKey<K, M>, V>()
    }

    #[test]
    fn small_types_without_padding_or_pointers_lie_in_the_slot() {
        assert!(value_is_fixed::<u64, i64>());
        assert!(value_is_fixed::<u32, f64>());
        assert!(value_is_fixed::<u64, ()>());
        assert!(value_is_fixed::<[u8; 12], [i64; 1]>());
        assert!(value_is_fixed::<u64, Whole>());
        assert!(map_is_fixed::<u64, u64, i64>());
        assert!(map_is_fixed::<u32, u32, i64>());
    }

    #[test]
    fn all_other_types_lie_in_the_heap() {
        assert!(!value_is_fixed::<String, i64>());
        assert!(!value_is_fixed::<u64, String>());
        assert!(!value_is_fixed::<(u64, u64), i64>());
        assert!(!value_is_fixed::<u64, Padded>());
        assert!(!value_is_fixed::<u64, [i64; 4]>());
        assert!(!map_is_fixed::<u64, u32, i64>());
    }
}
