//! The index of a map state: which entries each key has, so that they can be listed without looking at those of others.
//!
//! The map keys of a key stand in slots numbered from 0 without a gap. An entry that comes takes the next slot; when one
//! goes, the entry of the last slot moves into its place. So a change of one entry writes a bounded number of small
//! records, whatever the map's size, and a change of a value none at all.

use super::archive::StateKey;
use super::entry_state::EntryState;
use super::value_state::ValueState;
use crate::error::{Error, ErrorKind, Result};

/// The number of a slot, little-endian. As bytes it has no alignment, so that it leaves no padding behind a key and the
/// pair can lie in the table.
type SlotBytes = [u8; 8];

/// The index of a map state.
pub(super) struct EntryIndex<K: StateKey, M: StateKey> {
    /// In which slot of its key each map key stands.
    pub(super) slots: EntryState<K, M, u64>,
    /// Which map key stands in each slot of each key.
    pub(super) map_keys: EntryState<K, SlotBytes, M>,
    /// How many slots each key has; no record for none.
    pub(super) sizes: ValueState<K, u64>,
}

impl<K: StateKey, M: StateKey> Clone for EntryIndex<K, M> {
    fn clone(&self) -> Self {
        Self {
            slots: self.slots.clone(),
            map_keys: self.map_keys.clone(),
            sizes: self.sizes.clone(),
        }
    }
}

impl<K: StateKey, M: StateKey> EntryIndex<K, M> {
    /// How many entries a key has.
    pub(super) fn len(&self, key: &K) -> Result<u64> {
        Ok(self.sizes.get(key)?.unwrap_or(0))
    }

    /// The map key in a slot.
    pub(super) fn map_key(&self, key: &K, slot: u64) -> Result<M> {
        self.map_keys
            .get(key, &slot.to_le_bytes())?
            .ok_or_else(|| out_of_step("a slot is empty"))
    }

    /// Adds an entry, unless it is there.
    pub(super) fn add(&self, key: &K, map_key: &M) -> Result<()> {
        if self.slots.with(key, map_key, |slot| slot.is_some())? {
            return Ok(());
        }
        let slot = self.len(key)?;
        self.slots.put(key, map_key, &slot)?;
        self.map_keys.put(key, &slot.to_le_bytes(), map_key)?;
        self.sizes.put(key, &(slot + 1))
    }

    /// Removes an entry that is there.
    pub(super) fn remove(&self, key: &K, map_key: &M) -> Result<()> {
        let slot = self.slots.get(key, map_key)?;
        let last = self.len(key)?.checked_sub(1);
        let (Some(slot), Some(last)) = (slot, last) else {
            return Err(out_of_step("an entry is not in it"));
        };
        if slot != last {
            let moved = self.map_key(key, last)?;
            self.slots.put(key, &moved, &slot)?;
            self.map_keys.put(key, &slot.to_le_bytes(), &moved)?;
        }
        self.slots.remove(key, map_key)?;
        self.map_keys.remove(key, &last.to_le_bytes())?;
        self.set_len(key, last)
    }

    /// Removes all entries of a key, and calls `removed` with each.
    pub(super) fn clear(&self, key: &K, removed: impl Fn(&M) -> Result<()>) -> Result<()> {
        for slot in 0..self.len(key)? {
            let map_key = self.map_key(key, slot)?;
            self.slots.remove(key, &map_key)?;
            self.map_keys.remove(key, &slot.to_le_bytes())?;
            removed(&map_key)?;
        }
        self.set_len(key, 0)
    }

    fn set_len(&self, key: &K, len: u64) -> Result<()> {
        if len == 0 {
            self.sizes.remove(key).map(drop)
        } else {
            self.sizes.put(key, &len)
        }
    }
}

fn out_of_step(what: &str) -> Error {
    Error::new(
        ErrorKind::Bug,
        format!("the index of a map state is out of step with its entries: {what}"),
    )
}
