//! Entry state: one value for each pair of a key and an entry key.

use rkyv::Archived;
use rkyv::seal::Seal;

use super::archive::{EntryKey, StateKey, StateValue};
use super::records::{Records, Removed};
use super::scan::ScanCursor;
use crate::error::Result;

/// A state with one value for each pair of a key and an entry key. Clones are handles to the same state.
///
/// It is the fast half of a map: an entry is one record, and nothing else is written when it comes or goes. In return the
/// entries of one key cannot be listed or counted; [`super::MapState`] can do that.
///
/// An entry belongs to the key group of its key, so all entries of a key are in one subtask. What is said of errors and
/// closures at [`super::ValueState`] is true here too.
///
/// ```
/// use floodmark::state::{EntryState, KeyedStateBackend, StateSettings};
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
/// let prices: EntryState<u64, String, f64> = backend.entry_state("prices")?;
/// prices.put(&7, &"open".to_owned(), &1.5)?;
/// assert_eq!(prices.get(&7, &"open".to_owned())?, Some(1.5));
/// assert_eq!(prices.get(&7, &"close".to_owned())?, None);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct EntryState<K: StateKey, M: StateKey, V: StateValue> {
    records: Records<EntryKey<K, M>, V>,
}

impl<K: StateKey, M: StateKey, V: StateValue> Clone for EntryState<K, M, V> {
    fn clone(&self) -> Self {
        Self::new(self.records.clone())
    }
}

impl<K: StateKey, M: StateKey, V: StateValue> EntryState<K, M, V> {
    pub(super) fn new(records: Records<EntryKey<K, M>, V>) -> Self {
        Self { records }
    }

    /// A copy of an entry's value.
    ///
    /// # Errors
    /// See the type.
    pub fn get(&self, key: &K, entry_key: &M) -> Result<Option<V>> {
        self.records.get((key, entry_key))
    }

    /// Shows `read` an entry's value where it lies.
    ///
    /// # Errors
    /// See the type.
    pub fn with<T>(
        &self,
        key: &K,
        entry_key: &M,
        read: impl FnOnce(Option<&Archived<V>>) -> T,
    ) -> Result<T> {
        self.records.with((key, entry_key), read)
    }

    /// Sets an entry's value.
    ///
    /// # Errors
    /// See the type.
    pub fn put(&self, key: &K, entry_key: &M, value: &V) -> Result<()> {
        self.records.put((key, entry_key), value)
    }

    /// Makes an entry's new value out of its present one.
    ///
    /// # Errors
    /// See the type.
    pub fn upsert_with(
        &self,
        key: &K,
        entry_key: &M,
        change: impl FnOnce(Option<V>) -> V,
    ) -> Result<()> {
        self.records.upsert_with((key, entry_key), change)
    }

    /// Removes an entry; says whether it was there.
    ///
    /// # Errors
    /// See the type.
    pub fn remove(&self, key: &K, entry_key: &M) -> Result<bool> {
        Ok(self.records.remove((key, entry_key))? == Removed::Live)
    }

    /// Works off a batch of keys and entry keys, as [`super::ValueState::update_batch`] does.
    ///
    /// # Errors
    /// See the type. Entries before the one that failed are updated then.
    pub fn update_batch<'k>(
        &self,
        entries: impl IntoIterator<Item = (&'k K, &'k M)>,
        initial: impl FnMut(usize) -> V,
        update: impl FnMut(usize, Seal<'_, Archived<V>>),
    ) -> Result<()> {
        self.records
            .update_batch(entries.into_iter(), initial, update)
    }

    /// Shows `visit` all entries. Those of one key do not follow each other.
    ///
    /// # Errors
    /// See the type; and the first error of `visit`.
    pub fn for_each(
        &self,
        visit: impl FnMut(&Archived<K>, &Archived<M>, &Archived<V>) -> Result<()>,
    ) -> Result<()> {
        self.scan(&mut ScanCursor::default(), usize::MAX, visit)
            .map(drop)
    }

    /// Shows `visit` the next entries, about `records_max` of them, as [`super::ValueState::scan`] does. Says whether
    /// there are more.
    ///
    /// # Errors
    /// See the type; and the first error of `visit`.
    pub fn scan(
        &self,
        cursor: &mut ScanCursor,
        records_max: usize,
        mut visit: impl FnMut(&Archived<K>, &Archived<M>, &Archived<V>) -> Result<()>,
    ) -> Result<bool> {
        self.records
            .scan(cursor, records_max, |(key, entry_key), value| {
                visit(key, entry_key, value)
            })
    }
}
