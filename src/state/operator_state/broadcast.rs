//! Broadcast state.

use std::cell::Ref;
use std::collections::BTreeMap;
use std::rc::Rc;

use super::cell::{Content, OperatorStateCell};
use super::descriptor::OperatorStateKind;
use super::section::SectionWriter;
use crate::error::Result;
use crate::state::archive::{StateKey, StateValue};

/// A map that is meant to be the same in every subtask of an operator. Clones are handles on the same map.
///
/// ```
/// use floodmark::state::OperatorStateBackend;
///
/// let mut backend = OperatorStateBackend::new(0, 1, Vec::new());
/// let limits = backend.broadcast_state::<String, u64>("limits")?;
/// limits.put("small".to_owned(), 10)?;
/// assert_eq!(limits.get(&"small".to_owned()).as_deref(), Some(&10));
/// assert!(limits.get(&"large".to_owned()).is_none());
/// # Ok::<(), floodmark::error::Error>(())
/// ```
pub struct BroadcastState<K, V> {
    cell: Rc<OperatorStateCell<BTreeMap<K, V>>>,
}

impl<K: StateKey + Ord, V: StateValue> BroadcastState<K, V> {
    pub(super) fn new(cell: Rc<OperatorStateCell<BTreeMap<K, V>>>) -> Self {
        Self { cell }
    }

    /// What a key leads to. The map cannot be changed while what is returned is held.
    pub fn get(&self, key: &K) -> Option<Ref<'_, V>> {
        Ref::filter_map(self.cell.read(), |map| map.get(key)).ok()
    }

    /// Whether the map has the key.
    pub fn contains(&self, key: &K) -> bool {
        self.cell.read().contains_key(key)
    }

    /// The whole map, in the order of its keys. It cannot be changed while what is returned is held.
    pub fn entries(&self) -> Ref<'_, BTreeMap<K, V>> {
        self.cell.read()
    }

    /// Lets a key lead to a value, whatever it led to before.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::Operator`] while what [`BroadcastState::get`] or [`BroadcastState::entries`] returned
    /// is held.
    pub fn put(&self, key: K, value: V) -> Result<()> {
        self.cell.change(|map| drop(map.insert(key, value)))
    }

    /// Removes a key. Gives what it led to.
    ///
    /// # Errors
    /// As for [`BroadcastState::put`].
    pub fn remove(&self, key: &K) -> Result<Option<V>> {
        self.cell.change(|map| map.remove(key))
    }

    /// Removes all keys.
    ///
    /// # Errors
    /// As for [`BroadcastState::put`].
    pub fn clear(&self) -> Result<()> {
        self.cell.change(BTreeMap::clear)
    }
}

impl<K, V> Clone for BroadcastState<K, V> {
    fn clone(&self) -> Self {
        Self {
            cell: Rc::clone(&self.cell),
        }
    }
}

impl<K: StateKey + Ord, V: StateValue> Content for BTreeMap<K, V> {
    fn to_section(&self, kind: OperatorStateKind) -> Result<SectionWriter> {
        let mut section = SectionWriter::new(kind, self.len());
        for (key, value) in self {
            section.push(key)?;
            section.push(value)?;
        }
        Ok(section)
    }
}
