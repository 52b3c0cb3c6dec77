//! Taking up the table of a process that was killed.

use std::collections::BTreeMap;

use super::bucket::Slot;
use super::directory::Directory;
use super::index::{Description, Table};
use super::sub_table::{self, Place, SubTable};
use crate::error::Result;
use crate::model::KeyGroup;
use crate::state::piece::corrupt;
use crate::state::segment::Region;

/// A sub-table, and which records it holds.
type Placed<K, V> = (SubTable<K, V>, Place);

impl<K, V> Table<K, V> {
    /// Takes up the sub-tables that lie in `extents`. Nothing counts as touched. Keys and values must not be looked at
    /// before [`Table::check`] has found them good, if there are bytes that are none.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::Corrupt`] when they do not make a whole table.
    pub(in crate::state) fn resume(&mut self, extents: Vec<Region>) -> Result<()> {
        let blocks = self.arena.resume(extents, sub_table::block_at)?;
        let mut by_group: BTreeMap<u16, Vec<Placed<K, V>>> = BTreeMap::new();
        for (number, (block, _)) in blocks.into_iter().enumerate() {
            let (sub_table, place) = SubTable::resume(&self.arena, block, number as u32)
                .ok_or_else(|| corrupt("the header of a sub-table is damaged"))?;
            let records = sub_table.recount()?;
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

    /// Checks every record: `check` is given the bytes of its key and its value, and says its key group and its hash,
    /// or what is wrong with it.
    ///
    /// # Errors
    /// Those of `check`; [`crate::error::ErrorKind::Corrupt`] when a record lies where it does not belong.
    pub(in crate::state) fn check(
        &self,
        check: impl Fn(&[u8], &[u8]) -> Result<(KeyGroup, u64)>,
    ) -> Result<()> {
        for description in &self.descriptions {
            let mut outcome = Ok(());
            description.sub_table.for_each(|slot: Slot<K, V>| {
                if outcome.is_ok() {
                    outcome = slot.look_at_bytes(&check).and_then(|(group, hash)| {
                        if description.place.holds(group.0, hash) {
                            Ok(())
                        } else {
                            Err(corrupt("a record lies where it does not belong"))
                        }
                    });
                }
            });
            outcome?;
        }
        Ok(())
    }
}
