//! Reducing state: for each key one value, made of all that were added.

use std::rc::Rc;

use rkyv::Archived;

use super::archive::{SingleKey, StateKey, StateValue};
use super::records::Records;
use super::scan::ScanCursor;
use crate::error::Result;

/// A state that keeps, for each key, what a function made of all values added. Clones are handles to the same state.
///
/// The function is given the value so far and the new one; the first value is kept as it is. What is said of errors and
/// closures at [`super::ValueState`] is true here too.
///
/// ```
/// use floodmark::state::{KeyedStateBackend, ReducingState, StateSettings};
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
/// let highest: ReducingState<u64, i64> = backend.reducing_state("highest", i64::max)?;
/// for value in [3, 9, 4] {
///     highest.add(&7, value)?;
/// }
/// assert_eq!(highest.get(&7)?, Some(9));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct ReducingState<K: StateKey, V: StateValue> {
    records: Records<SingleKey<K>, V>,
    reduce: ReduceFunction<V>,
}

type ReduceFunction<V> = Rc<dyn Fn(V, V) -> V>;

impl<K: StateKey, V: StateValue> Clone for ReducingState<K, V> {
    fn clone(&self) -> Self {
        Self::new(self.records.clone(), Rc::clone(&self.reduce))
    }
}

impl<K: StateKey, V: StateValue> ReducingState<K, V> {
    pub(super) fn new(records: Records<SingleKey<K>, V>, reduce: ReduceFunction<V>) -> Self {
        Self { records, reduce }
    }

    /// Adds a value to a key's.
    ///
    /// # Errors
    /// See the type.
    pub fn add(&self, key: &K, value: V) -> Result<()> {
        self.records.upsert_with(key, |before| match before {
            Some(before) => (self.reduce)(before, value),
            None => value,
        })
    }

    /// What was made of all values of a key; nothing when there were none.
    ///
    /// # Errors
    /// See the type.
    pub fn get(&self, key: &K) -> Result<Option<V>> {
        self.records.get(key)
    }

    /// Forgets a key's values.
    ///
    /// # Errors
    /// See the type.
    pub fn clear(&self, key: &K) -> Result<()> {
        self.records.remove(key).map(drop)
    }

    /// Shows `visit` the next keys and their values, about `records_max` of them, as [`super::ValueState::scan`] does.
    /// Says whether there are more.
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
