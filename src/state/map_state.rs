//! Map state: for each key a map whose entries are read and written one by one, and listed without those of other keys.

use std::cell::RefCell;

use rkyv::Archived;
use rkyv::seal::Seal;

use super::archive::{self, EntryKey, StateKey, StateValue};
use super::entry_index::EntryIndex;
use super::records::{Records, Removed};
use super::scan::ScanCursor;
use crate::error::Result;

/// A state with a map for each key. Clones are handles to the same state.
///
/// Touching an entry writes that entry. When one comes or goes, three or four small records of an index are written
/// beside it, and these make it possible to list the entries of a key; [`super::EntryState`] does without them. All
/// entries of a key are in one subtask. What is said of errors and closures at [`super::ValueState`] is true here too.
///
/// ```
/// use floodmark::state::{KeyedStateBackend, MapState, StateSettings};
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
/// let visits: MapState<u64, String, u64> = backend.map_state("visits")?;
/// for page in ["home", "search", "home"] {
///     visits.upsert_with(&7, &page.to_owned(), |count| count.unwrap_or(0) + 1)?;
/// }
/// let mut entries = visits.entries(&7)?;
/// entries.sort();
/// assert_eq!(entries, [("home".to_owned(), 2), ("search".to_owned(), 1)]);
/// assert!(visits.is_empty(&8)?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct MapState<K: StateKey, M: StateKey, V: StateValue> {
    /// One for each entry.
    records: Records<EntryKey<K, M>, V>,
    /// It has every entry of which there is a record, those whose time is over among them.
    index: EntryIndex<K, M>,
}

impl<K: StateKey, M: StateKey, V: StateValue> Clone for MapState<K, M, V> {
    fn clone(&self) -> Self {
        Self::new(self.records.clone(), self.index.clone())
    }
}

impl<K: StateKey, M: StateKey, V: StateValue> MapState<K, M, V> {
    pub(super) fn new(records: Records<EntryKey<K, M>, V>, index: EntryIndex<K, M>) -> Self {
        Self { records, index }
    }

    /// Takes entries out of the index that there is no record of any more. It looks at every entry.
    pub(super) fn forget_missing(&self) -> Result<()> {
        let mut missing = Vec::new();
        self.index.slots.for_each(|key, map_key, _| {
            let entry: (K, M) = (archive::deserialise(key)?, archive::deserialise(map_key)?);
            if !self.records.holds((&entry.0, &entry.1))? {
                missing.push(entry);
            }
            Ok(())
        })?;
        let mut missing = missing.iter();
        missing.try_for_each(|(key, map_key)| self.index.remove(key, map_key))
    }

    /// A copy of an entry's value.
    ///
    /// # Errors
    /// See the type.
    pub fn get(&self, key: &K, map_key: &M) -> Result<Option<V>> {
        self.records.get((key, map_key))
    }

    /// Shows `read` an entry's value where it lies.
    ///
    /// # Errors
    /// See the type.
    pub fn with<T>(
        &self,
        key: &K,
        map_key: &M,
        read: impl FnOnce(Option<&Archived<V>>) -> T,
    ) -> Result<T> {
        self.records.with((key, map_key), read)
    }

    /// Whether a key has this entry.
    ///
    /// # Errors
    /// See the type.
    pub fn contains(&self, key: &K, map_key: &M) -> Result<bool> {
        self.with(key, map_key, |value| value.is_some())
    }

    /// Sets an entry's value.
    ///
    /// # Errors
    /// See the type.
    pub fn put(&self, key: &K, map_key: &M, value: &V) -> Result<()> {
        let is_new = !self.records.holds((key, map_key))?;
        self.records.put((key, map_key), value)?;
        self.add_to_index(is_new, key, map_key)
    }

    /// Sets the values of several entries of a key, one after the other.
    ///
    /// # Errors
    /// See the type. Entries before the one that failed are set then.
    pub fn put_all<'e>(
        &self,
        key: &K,
        entries: impl IntoIterator<Item = (&'e M, &'e V)>,
    ) -> Result<()> {
        entries
            .into_iter()
            .try_for_each(|(map_key, value)| self.put(key, map_key, value))
    }

    /// Makes an entry's new value out of its present one.
    ///
    /// # Errors
    /// See the type.
    pub fn upsert_with(
        &self,
        key: &K,
        map_key: &M,
        change: impl FnOnce(Option<V>) -> V,
    ) -> Result<()> {
        let is_new = !self.records.holds((key, map_key))?;
        self.records.upsert_with((key, map_key), change)?;
        self.add_to_index(is_new, key, map_key)
    }

    /// Removes an entry; says whether it was there.
    ///
    /// # Errors
    /// See the type.
    pub fn remove(&self, key: &K, map_key: &M) -> Result<bool> {
        Ok(self.remove_record(key, map_key)? == Removed::Live)
    }

    /// Removes all entries of a key, in time that grows with their number.
    ///
    /// # Errors
    /// See the type.
    pub fn clear(&self, key: &K) -> Result<()> {
        self.index
            .clear(key, |map_key| self.records.remove((key, map_key)).map(drop))
    }

    /// Whether a key has no entry. With a time-to-live this looks for the first whose time is not over.
    ///
    /// # Errors
    /// See the type.
    pub fn is_empty(&self, key: &K) -> Result<bool> {
        let slots = self.index.len(key)?;
        if self.records.are_lasting() {
            return Ok(slots == 0);
        }
        for slot in 0..slots {
            if self.is_live(key, slot)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// How many entries a key has. With a time-to-live this looks at each of them, without it the number is kept.
    ///
    /// # Errors
    /// See the type.
    pub fn len(&self, key: &K) -> Result<u64> {
        let slots = self.index.len(key)?;
        if self.records.are_lasting() {
            return Ok(slots);
        }
        let mut live = 0;
        for slot in 0..slots {
            live += u64::from(self.is_live(key, slot)?);
        }
        Ok(live)
    }

    /// Shows `visit` all entries of one key, in no particular order, and looks at no other key's. It must not change the
    /// map.
    ///
    /// # Errors
    /// See the type; and the first error of `visit`.
    pub fn for_each_entry(
        &self,
        key: &K,
        mut visit: impl FnMut(&M, &Archived<V>) -> Result<()>,
    ) -> Result<()> {
        for slot in 0..self.index.len(key)? {
            let map_key = self.index.map_key(key, slot)?;
            self.records.with((key, &map_key), |value| {
                value.map_or(Ok(()), |value| visit(&map_key, value))
            })??;
        }
        Ok(())
    }

    /// Copies of all entries of one key, in no particular order.
    ///
    /// # Errors
    /// See the type.
    pub fn entries(&self, key: &K) -> Result<Vec<(M, V)>> {
        let mut entries = Vec::new();
        for slot in 0..self.index.len(key)? {
            let map_key = self.index.map_key(key, slot)?;
            if let Some(value) = self.records.get((key, &map_key))? {
                entries.push((map_key, value));
            }
        }
        Ok(entries)
    }

    /// Copies of all map keys of one key, in the order of [`MapState::entries`].
    ///
    /// # Errors
    /// See the type.
    pub fn keys(&self, key: &K) -> Result<Vec<M>> {
        let mut keys = Vec::new();
        for slot in 0..self.index.len(key)? {
            let map_key = self.index.map_key(key, slot)?;
            if self.contains(key, &map_key)? {
                keys.push(map_key);
            }
        }
        Ok(keys)
    }

    /// Copies of all values of one key, in the order of [`MapState::entries`].
    ///
    /// # Errors
    /// See the type.
    pub fn values(&self, key: &K) -> Result<Vec<V>> {
        let mut values = Vec::new();
        self.for_each_entry(key, |_, value| {
            values.push(archive::deserialise(value)?);
            Ok(())
        })?;
        Ok(values)
    }

    /// Works off a batch of keys and map keys, as [`super::ValueState::update_batch`] does.
    ///
    /// # Errors
    /// See the type. Entries before the one that failed are updated then.
    pub fn update_batch<'k>(
        &self,
        entries: impl IntoIterator<Item = (&'k K, &'k M)>,
        mut initial: impl FnMut(usize) -> V,
        update: impl FnMut(usize, Seal<'_, Archived<V>>),
    ) -> Result<()> {
        let entries: Vec<_> = entries.into_iter().collect();
        let created = RefCell::new(Vec::new());
        self.records.update_batch(
            entries.iter().copied(),
            |index| {
                created.borrow_mut().push(index);
                initial(index)
            },
            update,
        )?;
        for index in created.into_inner() {
            // Where the time of the one before was over, the entry is in the index already, which sees to that.
            let (key, map_key) = entries[index];
            self.index.add(key, map_key)?;
        }
        Ok(())
    }

    /// Shows `visit` all entries of all keys. Those of one key do not follow each other.
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
            .scan(cursor, records_max, |(key, map_key), value| {
                visit(key, map_key, value)
            })
    }

    /// Removes an entry, even one whose time is over.
    pub(super) fn remove_record(&self, key: &K, map_key: &M) -> Result<Removed> {
        let removed = self.records.remove((key, map_key))?;
        if removed != Removed::Nothing {
            self.index.remove(key, map_key)?;
        }
        Ok(removed)
    }

    fn add_to_index(&self, is_new: bool, key: &K, map_key: &M) -> Result<()> {
        if is_new {
            self.index.add(key, map_key)
        } else {
            Ok(())
        }
    }

    fn is_live(&self, key: &K, slot: u64) -> Result<bool> {
        let map_key = self.index.map_key(key, slot)?;
        self.records
            .peek_with((key, &map_key), |value| value.is_some())
    }
}
