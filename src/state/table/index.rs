//! The whole table: directories, sub-tables, and how they grow.

use std::cell::RefCell;
use std::marker::PhantomData;
use std::rc::Rc;

use super::bucket::{BUCKETS_MAX, Slot, SlotAccess, SubTable};
use super::directory::{Cursor, Directory, goes_high};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{KeyGroup, KeyGroupRange};
use crate::state::arena::{Arena, BlockRef};
use crate::state::segment::SegmentPool;

/// Sub-tables are blocks that start at a cache line.
const SUB_TABLE_ALIGNMENT: usize = 64;

/// No sub-table is split more often than this: only keys with one and the same hash could ask for it.
const DEPTH_MAX: u32 = 32;

/// Records of a key and a value of fixed sizes, found by their hash.
///
/// Keys are compared as bytes, so they must not have padding. Values can be anything that may be moved by copying.
pub(in crate::state) struct Table<K, V> {
    arena: Arena,
    key_groups: KeyGroupRange,
    directories: Vec<Directory<K, V>>,
    descriptions: Vec<Description>,
    access: SlotAccess<K, V>,
    records: u64,
    slots: u64,
    generation: u64,
}

/// What is needed of a sub-table only when records come or go.
struct Description {
    block: BlockRef,
    depth: u32,
    records: u32,
    /// Records removed since it was built: their buckets may still say that something overflowed.
    removed: u32,
}

impl<K, V> Table<K, V> {
    /// An empty table for these key groups.
    pub(in crate::state) fn new(
        segments: Rc<RefCell<SegmentPool>>,
        key_groups: KeyGroupRange,
    ) -> Self {
        Self {
            arena: Arena::new(segments, SUB_TABLE_ALIGNMENT),
            key_groups,
            directories: (0..key_groups.len())
                .map(|_| Directory::default())
                .collect(),
            descriptions: Vec::new(),
            access: SlotAccess(PhantomData),
            records: 0,
            slots: 0,
            generation: 0,
        }
    }

    /// How many records there are.
    pub(in crate::state) fn records(&self) -> u64 {
        self.records
    }

    /// How many records there would be if every slot were taken.
    pub(in crate::state) fn slots(&self) -> u64 {
        self.slots
    }

    /// How many bytes its sub-tables take.
    pub(in crate::state) fn bytes_in_use(&self) -> u64 {
        self.arena.bytes_in_use()
    }

    /// A number that changes whenever records move or go: slots found before are no longer valid then.
    #[inline(always)]
    pub(in crate::state) fn generation(&self) -> u64 {
        self.generation
    }

    /// Asks for the bucket that a record belongs to; gives its sub-table, valid until a record is inserted.
    #[inline(always)]
    pub(in crate::state) fn prefetch(&self, group: KeyGroup, hash: u64) -> Option<SubTable<K, V>> {
        let sub_table = self.sub_table(group, hash)?;
        sub_table.prefetch(hash);
        Some(sub_table)
    }

    /// Finds the record with this key and a value for which `confirm` says yes.
    #[inline(always)]
    pub(in crate::state) fn find(
        &self,
        group: KeyGroup,
        hash: u64,
        key: &K,
        confirm: impl Fn(&V) -> bool,
    ) -> Option<Slot<K, V>> {
        self.sub_table(group, hash)?.find(hash, key, confirm)
    }

    /// Adds a record that is not there yet. `hash_of` gives the hash of any record's key.
    pub(in crate::state) fn insert(
        &mut self,
        group: KeyGroup,
        hash: u64,
        (key, value, mark): (&K, &V, u32),
        hash_of: impl Fn(&K) -> u64,
    ) -> Result<Slot<K, V>> {
        let sub_table = loop {
            let Some(sub_table) = self.sub_table(group, hash) else {
                self.start_group(group)?;
                continue;
            };
            let description = &self.descriptions[sub_table.number as usize];
            if description.records >= sub_table.slots() * 4 / 5 {
                self.grow(group, hash, sub_table, &hash_of)?;
            } else if description.removed > sub_table.slots() {
                self.rebuild(group, hash, sub_table, sub_table.buckets(), &hash_of)?;
            } else {
                break sub_table;
            }
        };
        self.descriptions[sub_table.number as usize].records += 1;
        self.records += 1;
        Ok(sub_table.insert(hash, key, value, mark))
    }

    /// Removes the record in `slot`, whose hash this is.
    pub(in crate::state) fn remove(&mut self, group: KeyGroup, hash: u64, slot: Slot<K, V>) {
        if let Some(sub_table) = self.sub_table(group, hash) {
            self.access.clear(slot);
            let description = &mut self.descriptions[sub_table.number as usize];
            description.records -= 1;
            description.removed += 1;
            self.records -= 1;
            self.generation += 1;
        }
    }

    /// A record's key and value.
    #[inline(always)]
    pub(in crate::state) fn record(&self, slot: Slot<K, V>) -> (&K, &V) {
        self.access.record(slot)
    }

    /// A record's mark.
    #[inline(always)]
    pub(in crate::state) fn mark(&self, slot: Slot<K, V>) -> u32 {
        self.access.mark(slot)
    }

    /// A record's key, its value and its mark, the latter two to be changed.
    #[inline(always)]
    pub(in crate::state) fn record_mut(&mut self, slot: Slot<K, V>) -> (&K, &mut V, &mut u32) {
        self.access.record_mut(slot)
    }

    /// Calls `visit` with every record of the next sub-table that `cursor` has not passed; says whether there was one.
    pub(in crate::state) fn visit_next(
        &self,
        cursor: &mut Cursor,
        mut visit: impl FnMut(&K, &V) -> Result<()>,
    ) -> Result<bool> {
        while let Some(directory) = self.directories.get(cursor.group) {
            let Some(sub_table) = directory.find(cursor.position) else {
                cursor.next_group();
                continue;
            };
            cursor.advance(self.descriptions[sub_table.number as usize].depth);
            let mut outcome = Ok(());
            sub_table.for_each(|slot| {
                if outcome.is_ok() {
                    let (key, value) = self.access.record(slot);
                    outcome = visit(key, value);
                }
            });
            return outcome.map(|()| true);
        }
        Ok(false)
    }

    #[inline(always)]
    fn sub_table(&self, group: KeyGroup, hash: u64) -> Option<SubTable<K, V>> {
        self.directories.get(self.group_index(group))?.find(hash)
    }

    #[inline(always)]
    fn group_index(&self, group: KeyGroup) -> usize {
        usize::from(group.0.wrapping_sub(self.key_groups.start))
    }

    fn start_group(&mut self, group: KeyGroup) -> Result<()> {
        if !self.key_groups.contains(group) {
            return Err(Error::new(
                ErrorKind::Bug,
                format!("{group:?} is not among {:?}", self.key_groups),
            ));
        }
        let first = self.allocate(1, 0, None)?;
        let index = self.group_index(group);
        self.directories[index].start(first);
        Ok(())
    }

    /// Makes room in a full sub-table: doubles a small one, splits a large one.
    #[cold]
    fn grow(
        &mut self,
        group: KeyGroup,
        hash: u64,
        full: SubTable<K, V>,
        hash_of: &impl Fn(&K) -> u64,
    ) -> Result<()> {
        if full.buckets() < BUCKETS_MAX {
            return self.rebuild(group, hash, full, full.buckets() * 2, hash_of);
        }
        let depth = self.descriptions[full.number as usize].depth;
        if depth == DEPTH_MAX {
            return Err(Error::new(
                ErrorKind::Data,
                "more keys share one hash than a table can hold",
            ));
        }
        let old_block = self.descriptions[full.number as usize].block;
        let low = self.allocate(BUCKETS_MAX, depth + 1, Some(full.number))?;
        let high = self.allocate(BUCKETS_MAX, depth + 1, None)?;
        self.move_records(full, hash_of, |hash| {
            if goes_high(hash, depth) { high } else { low }
        });
        let index = self.group_index(group);
        self.directories[index].split(hash, depth, low, high);
        self.release(full, old_block);
        Ok(())
    }

    /// Moves a sub-table's records to a new one of `buckets` buckets.
    #[cold]
    fn rebuild(
        &mut self,
        group: KeyGroup,
        hash: u64,
        old: SubTable<K, V>,
        buckets: u32,
        hash_of: &impl Fn(&K) -> u64,
    ) -> Result<()> {
        let Description { block, depth, .. } = self.descriptions[old.number as usize];
        let new = self.allocate(buckets, depth, Some(old.number))?;
        self.move_records(old, hash_of, |_| new);
        let index = self.group_index(group);
        self.directories[index].replace(hash, depth, new);
        self.release(old, block);
        Ok(())
    }

    /// An empty sub-table, under the number of one that it replaces, or under a new one.
    fn allocate(
        &mut self,
        buckets: u32,
        depth: u32,
        replaced: Option<u32>,
    ) -> Result<SubTable<K, V>> {
        let number = replaced.unwrap_or(self.descriptions.len() as u32);
        let (sub_table, block) = SubTable::allocate(&mut self.arena, buckets, number)?;
        let description = Description {
            block,
            depth,
            records: 0,
            removed: 0,
        };
        match self.descriptions.get_mut(number as usize) {
            Some(place) => *place = description,
            None => self.descriptions.push(description),
        }
        self.slots += u64::from(sub_table.slots());
        Ok(sub_table)
    }

    fn move_records(
        &mut self,
        from: SubTable<K, V>,
        hash_of: impl Fn(&K) -> u64,
        target_of: impl Fn(u64) -> SubTable<K, V>,
    ) {
        let access = &mut self.access;
        let descriptions = &mut self.descriptions;
        from.for_each(|slot| {
            let (key, value, mark) = access.record_mut(slot);
            let hash = hash_of(key);
            let target = target_of(hash);
            target.insert(hash, key, value, *mark);
            descriptions[target.number as usize].records += 1;
        });
    }

    fn release(&mut self, old: SubTable<K, V>, block: BlockRef) {
        self.slots -= u64::from(old.slots());
        self.arena.free(block, old.bytes());
        self.generation += 1;
    }
}
