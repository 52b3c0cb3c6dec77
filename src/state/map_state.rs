//! Map state: for each key a map, kept as one record for each entry.

use std::rc::Rc;

use rkyv::Archived;
use rkyv::seal::Seal;

use super::archive::{self, EntryKey, StateKey, StateValue};
use super::cell::StateCell;
use super::scan::{ScanCursor, scan};
use crate::error::Result;

/// A state with a map for each key. Clones are handles to the same state.
///
/// An entry belongs to the key group of its key, so all entries of a key are in one subtask. What is said of errors and
/// closures at [`super::ValueState`] is true here too.
pub struct MapState<K: StateKey, M: StateKey, V: StateValue> {
    cell: Rc<StateCell<EntryKey<K, M>, V>>,
}

impl<K: StateKey, M: StateKey, V: StateValue> Clone for MapState<K, M, V> {
    fn clone(&self) -> Self {
        Self::new(Rc::clone(&self.cell))
    }
}

impl<K: StateKey, M: StateKey, V: StateValue> MapState<K, M, V> {
    pub(super) fn new(cell: Rc<StateCell<EntryKey<K, M>, V>>) -> Self {
        Self { cell }
    }

    /// A copy of an entry's value.
    ///
    /// # Errors
    /// See the type.
    pub fn get(&self, key: &K, map_key: &M) -> Result<Option<V>> {
        self.with(key, map_key, |value| {
            value.map(archive::deserialise).transpose()
        })?
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
        self.cell.store()?.with((key, map_key), read)
    }

    /// Sets an entry's value.
    ///
    /// # Errors
    /// See the type.
    pub fn put(&self, key: &K, map_key: &M, value: &V) -> Result<()> {
        self.cell.store()?.put((key, map_key), value)
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
        let value = change(self.get(key, map_key)?);
        self.put(key, map_key, &value)
    }

    /// Removes an entry; says whether it was there.
    ///
    /// # Errors
    /// See the type.
    pub fn remove(&self, key: &K, map_key: &M) -> Result<bool> {
        self.cell.store()?.remove((key, map_key))
    }

    /// Works off a batch of keys and map keys, as [`super::ValueState::update_batch`] does.
    ///
    /// # Errors
    /// See the type. Entries before the one that failed are updated then.
    pub fn update_batch<'k>(
        &self,
        entries: impl IntoIterator<Item = (&'k K, &'k M)>,
        initial: impl FnMut(usize) -> V,
        update: impl FnMut(usize, Seal<'_, Archived<V>>),
    ) -> Result<()> {
        self.cell
            .store()?
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
        scan(&self.cell, cursor, records_max, |(key, map_key), value| {
            visit(key, map_key, value)
        })
    }
}
