//! Taking up the table of a process that was killed.
//!
//! First all of it is verified: the sub-tables in use are those of which the ledger has the sum, and each bucket is what its
//! check says. What its check leaves out is what the process had touched since barriers that it had not gathered, and must
//! be taken back: a slot that nobody has taken back by the end is damaged, or its undo log is.

use std::collections::BTreeMap;

use super::bucket::{Bucket, Slot};
use super::directory::Directory;
use super::index::{Description, GATHER_AHEAD, Home, Table, bucket_reference};
use super::sub_table::{self, BUCKET_BITS, Place, SubTable};
use crate::error::Result;
use crate::model::KeyGroup;
use crate::state::ledger::sum_of;
use crate::state::piece::corrupt;
use crate::state::segment::Region;

/// A sub-table, and which records it holds.
type Placed<K, V> = (SubTable<K, V>, Place);

impl<K, V> Table<K, V> {
    /// Takes up the sub-tables that lie in `extents`, and of which `sum` is the ledger's sum. What is left to be taken back
    /// counts as touched in the epoch before this one.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::Corrupt`] when they do not make a whole table.
    pub(in crate::state) fn resume(&mut self, extents: Vec<Region>, sum: u64) -> Result<()> {
        let blocks = self.arena.resume(extents, sub_table::block_at)?;
        let mut by_group: BTreeMap<u16, Vec<Placed<K, V>>> = BTreeMap::new();
        let (own, left) = (self.parity, self.parity.other());
        let mut found_sum = 0;
        for (number, (block, _)) in blocks.into_iter().enumerate() {
            let (sub_table, place) = SubTable::resume(&self.arena, block, number as u32)
                .ok_or_else(|| corrupt("the header of a sub-table is damaged"))?;
            found_sum ^= sub_table.checksum();
            let touched = &mut self.touched[own.0 as usize];
            let records = sub_table.verify(left, |bucket| {
                touched.push(bucket_reference(sub_table, bucket));
            })?;
            self.records += u64::from(records);
            self.slots += u64::from(sub_table.slots());
            self.descriptions.push(Description {
                sub_table,
                block,
                place,
                records,
                removed: 0,
                round: 0,
            });
            by_group
                .entry(place.group)
                .or_default()
                .push((sub_table, place));
        }
        if sum_of(found_sum) != sum {
            return Err(corrupt("sub-tables are missing, or there are too many"));
        }
        for (group, sub_tables) in by_group {
            if !self.key_groups.contains(KeyGroup(group)) {
                return Err(corrupt("a sub-table belongs to another subtask"));
            }
            let index = self.group_index(KeyGroup(group));
            self.directories[index] = Directory::resume(&sub_tables).ok_or_else(|| {
                corrupt("the sub-tables of a key group do not stand for every position once")
            })?;
        }
        Ok(())
    }

    /// Calls `visit` with the value of each record that [`Table::resume`] found, and whether it is left to be taken back.
    ///
    /// # Errors
    /// Those of `visit`.
    pub(in crate::state) fn visit_resumed(
        &self,
        mut visit: impl FnMut(&V, bool) -> Result<()>,
    ) -> Result<()> {
        for description in &self.descriptions {
            let mut outcome = Ok(());
            description.sub_table.for_each(|slot: Slot<K, V>| {
                if outcome.is_ok() {
                    let is_left = slot.bucket.flags().untouched() >> slot.index & 1 == 0;
                    outcome = slot.look(|value| visit(value, is_left));
                }
            });
            outcome?;
        }
        Ok(())
    }

    /// A record is about to be given the value that it had.
    pub(in crate::state) fn take_back(&mut self, home: Home<K, V>, slot: Slot<K, V>) {
        self.note_touched(home, slot);
    }

    /// All is taken back: nothing counts as touched from here on. Calls `settle` with each value that was given back.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::Corrupt`] when a record that was left to be taken back was not.
    pub(in crate::state) fn end_resume(&mut self, mut settle: impl FnMut(&V)) -> Result<()> {
        let (own, left) = (self.parity, self.parity.other());
        let references: Vec<u32> = self
            .touched
            .iter_mut()
            .flat_map(|references| references.drain(..))
            .collect();
        let descriptions = &self.descriptions;
        // A sub-table that was rebuilt meanwhile may have fewer buckets; what it had is noted anew.
        let bucket_of = |reference: u32| -> Option<Bucket<K, V>> {
            let sub_table = descriptions[(reference >> BUCKET_BITS) as usize].sub_table;
            sub_table.bucket_at(reference & ((1 << BUCKET_BITS) - 1))
        };
        for (index, &reference) in references.iter().enumerate() {
            if let Some(&ahead) = references.get(index + GATHER_AHEAD) {
                bucket_of(ahead).inspect(|bucket| bucket.prefetch());
            }
            let Some(bucket) = bucket_of(reference) else {
                continue;
            };
            bucket.take_touched(own, true, &mut |slot: Slot<K, V>| {
                slot.look(&mut settle);
                Ok(())
            })?;
            if bucket.flags().touched(left) != 0 {
                return Err(corrupt(
                    "a record was changed, and no undo log says what it was",
                ));
            }
        }
        Ok(())
    }
}
