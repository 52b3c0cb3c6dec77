//! List state: for each key a list whose elements are read and written one by one.

use rkyv::Archived;

use super::archive::{self, EntryKey, StateKey, StateValue};
use super::records::{Records, Removed};
use super::value_state::ValueState;
use crate::error::Result;

/// Where an element stands, little-endian. As bytes it has no alignment, so that it leaves no padding behind a key and
/// the pair can lie in the table.
type PositionBytes = [u8; 8];

/// A state with a list for each key. Clones are handles to the same state.
///
/// Touching an element writes that element; adding one, or taking the first, writes a small record with the list's
/// bounds as well. All elements of a key are in one subtask. What is said of errors and closures at
/// [`super::ValueState`] is true here too.
///
/// With a time-to-live each element has its own. Those whose time is over are gone from the list, and the ones behind
/// them move up; so whatever counts elements, as [`ListState::len`] and [`ListState::get_at`] do, then looks at each.
///
/// ```
/// use floodmark::state::{KeyedStateBackend, ListState, StateSettings};
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
/// let waiting: ListState<u64, i64> = backend.list_state("waiting")?;
/// waiting.add_all(&7, &[3, 1, 2])?;
/// assert_eq!(waiting.get(&7)?, [3, 1, 2]);
/// assert_eq!(waiting.pop_front(&7)?, Some(3));
/// assert_eq!(waiting.get_at(&7, 0)?, Some(1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct ListState<K: StateKey, V: StateValue> {
    /// One for each element. With a time-to-live there can be gaps between them.
    records: Records<EntryKey<K, PositionBytes>, V>,
    /// The position of each list's first element, and that behind its last; no record for an empty list.
    bounds: ValueState<K, [u64; 2]>,
}

impl<K: StateKey, V: StateValue> Clone for ListState<K, V> {
    fn clone(&self) -> Self {
        Self::new(self.records.clone(), self.bounds.clone())
    }
}

impl<K: StateKey, V: StateValue> ListState<K, V> {
    pub(super) fn new(
        records: Records<EntryKey<K, PositionBytes>, V>,
        bounds: ValueState<K, [u64; 2]>,
    ) -> Self {
        Self { records, bounds }
    }

    /// Moves elements up where there are gaps in front of them. It looks at every element.
    pub(super) fn close_gaps(&self) -> Result<()> {
        let mut with_gaps = Vec::new();
        self.bounds.for_each(|key, bounds| {
            let key: K = archive::deserialise(key)?;
            for position in bounds[0].to_native()..bounds[1].to_native() {
                if !self.records.holds((&key, &position.to_le_bytes()))? {
                    with_gaps.push(key);
                    break;
                }
            }
            Ok(())
        })?;
        for key in &with_gaps {
            let elements = self.get(key)?;
            self.update(key, &elements)?;
        }
        Ok(())
    }

    /// Adds an element at the end of a key's list.
    ///
    /// # Errors
    /// See the type.
    pub fn add(&self, key: &K, value: &V) -> Result<()> {
        self.add_all(key, [value])
    }

    /// Adds elements at the end of a key's list.
    ///
    /// # Errors
    /// See the type.
    pub fn add_all<'v>(&self, key: &K, values: impl IntoIterator<Item = &'v V>) -> Result<()> {
        let [head, mut tail] = self.bounds(key)?;
        for value in values {
            self.records.put((key, &tail.to_le_bytes()), value)?;
            tail += 1;
        }
        self.set_bounds(key, [head, tail])
    }

    /// Replaces a key's list.
    ///
    /// # Errors
    /// See the type.
    pub fn update<'v>(&self, key: &K, values: impl IntoIterator<Item = &'v V>) -> Result<()> {
        self.clear(key)?;
        self.add_all(key, values)
    }

    /// Copies of all elements of one key, in order.
    ///
    /// # Errors
    /// See the type.
    pub fn get(&self, key: &K) -> Result<Vec<V>> {
        let mut values = Vec::new();
        self.for_each_element(key, |value| {
            values.push(archive::deserialise(value)?);
            Ok(())
        })?;
        Ok(values)
    }

    /// Shows `visit` all elements of one key, in order. It must not change the list.
    ///
    /// # Errors
    /// See the type; and the first error of `visit`.
    pub fn for_each_element(
        &self,
        key: &K,
        mut visit: impl FnMut(&Archived<V>) -> Result<()>,
    ) -> Result<()> {
        let [head, tail] = self.bounds(key)?;
        for position in head..tail {
            self.records
                .with((key, &position.to_le_bytes()), |value| {
                    value.map_or(Ok(()), &mut visit)
                })??;
        }
        Ok(())
    }

    /// A copy of the element at `index`, from 0; nothing behind the end.
    ///
    /// # Errors
    /// See the type.
    pub fn get_at(&self, key: &K, index: u64) -> Result<Option<V>> {
        match self.position(key, index)? {
            Some(position) => self.records.get((key, &position.to_le_bytes())),
            None => Ok(None),
        }
    }

    /// Replaces the element at `index`, from 0; says whether there is one.
    ///
    /// # Errors
    /// See the type.
    pub fn set_at(&self, key: &K, index: u64, value: &V) -> Result<bool> {
        match self.position(key, index)? {
            Some(position) => {
                self.records.put((key, &position.to_le_bytes()), value)?;
                Ok(true)
            }
            None => Ok(false),
        }
    }

    /// Takes the first element out of a key's list.
    ///
    /// # Errors
    /// See the type.
    pub fn pop_front(&self, key: &K) -> Result<Option<V>> {
        let [mut head, tail] = self.bounds(key)?;
        if head == tail {
            return Ok(None);
        }
        let mut popped = None;
        while popped.is_none() && head < tail {
            let position = head.to_le_bytes();
            popped = self.records.peek((key, &position))?;
            self.records.remove((key, &position))?;
            head += 1;
        }
        self.set_bounds(key, [head, tail])?;
        Ok(popped)
    }

    /// How many elements a key's list has.
    ///
    /// # Errors
    /// See the type.
    pub fn len(&self, key: &K) -> Result<u64> {
        let [head, tail] = self.bounds(key)?;
        if self.records.are_lasting() {
            return Ok(tail - head);
        }
        let mut live = 0;
        for position in head..tail {
            live += u64::from(self.is_live(key, position)?);
        }
        Ok(live)
    }

    /// Whether a key's list has no element.
    ///
    /// # Errors
    /// See the type.
    pub fn is_empty(&self, key: &K) -> Result<bool> {
        Ok(self.position(key, 0)?.is_none())
    }

    /// Removes all elements of a key, in time that grows with their number.
    ///
    /// # Errors
    /// See the type.
    pub fn clear(&self, key: &K) -> Result<()> {
        let [head, tail] = self.bounds(key)?;
        for position in head..tail {
            self.records.remove((key, &position.to_le_bytes()))?;
        }
        self.set_bounds(key, [tail, tail])
    }

    /// Removes an element whose time is over.
    pub(super) fn remove_record(&self, key: &K, position: PositionBytes) -> Result<()> {
        if self.records.remove((key, &position))? == Removed::Nothing {
            return Ok(());
        }
        let position = u64::from_le_bytes(position);
        let [mut head, mut tail] = self.bounds(key)?;
        if position != head && position + 1 != tail {
            return Ok(());
        }
        // The gap is at an end now, and can be given up, with those next to it.
        while head < tail && !self.records.holds((key, &head.to_le_bytes()))? {
            head += 1;
        }
        while head < tail && !self.records.holds((key, &(tail - 1).to_le_bytes()))? {
            tail -= 1;
        }
        self.set_bounds(key, [head, tail])
    }

    /// Where the element at `index` stands.
    fn position(&self, key: &K, index: u64) -> Result<Option<u64>> {
        let [head, tail] = self.bounds(key)?;
        if self.records.are_lasting() {
            return Ok((index < tail - head).then(|| head + index));
        }
        let mut live = 0;
        for position in head..tail {
            if self.is_live(key, position)? {
                if live == index {
                    return Ok(Some(position));
                }
                live += 1;
            }
        }
        Ok(None)
    }

    fn is_live(&self, key: &K, position: u64) -> Result<bool> {
        self.records
            .peek_with((key, &position.to_le_bytes()), |value| value.is_some())
    }

    fn bounds(&self, key: &K) -> Result<[u64; 2]> {
        Ok(self.bounds.get(key)?.unwrap_or_default())
    }

    fn set_bounds(&self, key: &K, bounds: [u64; 2]) -> Result<()> {
        if bounds[0] == bounds[1] {
            self.bounds.remove(key).map(drop)
        } else {
            self.bounds.put(key, &bounds)
        }
    }
}
