//! Value state: one value for each key.

use rkyv::Archived;
use rkyv::seal::Seal;

use super::archive::{SingleKey, StateKey, StateValue};
use super::records::{Records, Removed};
use super::scan::ScanCursor;
use crate::error::Result;

/// A state with one value for each key. Clones are handles to the same state.
///
/// A closure that is given to it must not use the same state: that is an error, [`crate::error::ErrorKind::Operator`].
/// All operations fail with [`crate::error::ErrorKind::Bug`] when the key belongs to another subtask, and with
/// [`crate::error::ErrorKind::Environment`] when there is no room.
///
/// ```
/// use floodmark::state::{KeyedStateBackend, StateSettings, ValueState};
/// # use floodmark::model::{KeyGroupRange, SystemClock};
/// # let settings = StateSettings {
/// #     directory: None,
/// #     max_parallelism: 128,
/// #     key_groups: KeyGroupRange { start: 0, end: 128 },
/// #     incremental: true,
/// #     local_recovery: None,
/// #     clock: SystemClock::shared(),
/// # };
/// # let mut backend = KeyedStateBackend::new(settings, Vec::new());
///
/// let sums: ValueState<u64, i64> = backend.value_state("sums")?;
/// sums.update_batch(&[1, 2, 1], |_| 0, |_, mut sum| *sum += 10)?;
/// assert_eq!(sums.get(&1)?, Some(20));
/// assert_eq!(sums.get(&3)?, None);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct ValueState<K: StateKey, V: StateValue> {
    records: Records<SingleKey<K>, V>,
}

impl<K: StateKey, V: StateValue> Clone for ValueState<K, V> {
    fn clone(&self) -> Self {
        Self::new(self.records.clone())
    }
}

impl<K: StateKey, V: StateValue> ValueState<K, V> {
    pub(super) fn new(records: Records<SingleKey<K>, V>) -> Self {
        Self { records }
    }

    /// A copy of the key's value.
    ///
    /// # Errors
    /// See the type.
    pub fn get(&self, key: &K) -> Result<Option<V>> {
        self.records.get(key)
    }

    /// Shows `read` the key's value where it lies.
    ///
    /// # Errors
    /// See the type.
    pub fn with<T>(&self, key: &K, read: impl FnOnce(Option<&Archived<V>>) -> T) -> Result<T> {
        self.records.with(key, read)
    }

    /// Sets the key's value.
    ///
    /// # Errors
    /// See the type.
    pub fn put(&self, key: &K, value: &V) -> Result<()> {
        self.records.put(key, value)
    }

    /// Makes the key's new value out of its present one.
    ///
    /// # Errors
    /// See the type.
    pub fn upsert_with(&self, key: &K, change: impl FnOnce(Option<V>) -> V) -> Result<()> {
        self.records.upsert_with(key, change)
    }

    /// Removes the key; says whether it had a value.
    ///
    /// # Errors
    /// See the type.
    pub fn remove(&self, key: &K) -> Result<bool> {
        Ok(self.records.remove(key)? == Removed::Live)
    }

    /// Works off a batch: for each key in order, `initial` makes a value if it has none, and `update` then changes the
    /// value in place. Both are given the key's place in the batch. What `update` leaves must have the size that it
    /// found; for values that change in size there is [`ValueState::put`].
    ///
    /// # Errors
    /// See the type. Keys before the one that failed are updated then.
    pub fn update_batch<'k>(
        &self,
        keys: impl IntoIterator<Item = &'k K>,
        initial: impl FnMut(usize) -> V,
        update: impl FnMut(usize, Seal<'_, Archived<V>>),
    ) -> Result<()> {
        self.records.update_batch(keys.into_iter(), initial, update)
    }

    /// Shows `visit` all records, in the order of their hashes.
    ///
    /// # Errors
    /// See the type; and the first error of `visit`.
    pub fn for_each(
        &self,
        visit: impl FnMut(&Archived<K>, &Archived<V>) -> Result<()>,
    ) -> Result<()> {
        self.scan(&mut ScanCursor::default(), usize::MAX, visit)
            .map(drop)
    }

    /// Shows `visit` the next records, about `records_max` of them: it ends at the first boundary of a sub-table at which
    /// so many were visited. Says whether there are more.
    ///
    /// The state may change between two calls: what was there all the time is visited once, what came or went meanwhile
    /// perhaps.
    ///
    /// # Errors
    /// See the type; and the first error of `visit`.
    pub fn scan(
        &self,
        cursor: &mut ScanCursor,
        records_max: usize,
        visit: impl FnMut(&Archived<K>, &Archived<V>) -> Result<()>,
    ) -> Result<bool> {
        self.records.scan(cursor, records_max, visit)
    }
}
