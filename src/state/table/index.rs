//! The whole table: directories, sub-tables, how they grow, and which records were touched.

use std::cell::RefCell;
use std::marker::PhantomData;
use std::rc::Rc;

use super::bucket::{Bucket, Parity, Slot, SlotAccess};
use super::directory::{Cursor, Directory};
use super::sub_table::{Place, SubTable};
use crate::error::Result;
use crate::model::{KeyGroup, KeyGroupRange};
use crate::state::arena::{Arena, BlockRef};
use crate::state::ledger::Owner;
use crate::state::segment::SegmentPool;

/// Sub-tables are blocks that start at a cache line.
const SUB_TABLE_ALIGNMENT: usize = 64;

/// Records of a key and a value of fixed sizes, found by their hash.
///
/// Keys are compared as bytes, so they must not have padding. Values can be anything that may be moved by copying.
///
/// The table also knows which records were touched in the epoch at hand and which, touched in the epoch before, are
/// still to be gathered.
pub(in crate::state) struct Table<K, V> {
    pub(super) arena: Arena,
    pub(super) key_groups: KeyGroupRange,
    pub(super) directories: Vec<Directory<K, V>>,
    pub(super) descriptions: Vec<Description<K, V>>,
    pub(super) access: SlotAccess<K, V>,
    pub(super) records: u64,
    pub(super) slots: u64,
    pub(super) generation: u64,
    /// That of the epoch at hand.
    pub(super) parity: Parity,
    /// The numbers of the sub-tables with touched records, by parity.
    pub(super) touched: [Vec<u32>; 2],
    /// All ones when no touch needs to be noted.
    all_noted: u32,
}

/// What is needed of a sub-table only when records come or go.
pub(super) struct Description<K, V> {
    pub(super) sub_table: SubTable<K, V>,
    pub(super) block: BlockRef,
    pub(super) place: Place,
    pub(super) records: u32,
    /// Records removed since it was built: their buckets may still say that something overflowed.
    pub(super) removed: u32,
}

/// A record on its way into the table: where it belongs, and the bucket that was asked for.
pub(in crate::state) struct Home<K, V> {
    sub_table: SubTable<K, V>,
    bucket: Bucket<K, V>,
}

impl<K, V> Clone for Home<K, V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K, V> Copy for Home<K, V> {}

impl<K, V> Table<K, V> {
    /// An empty table for these key groups. Unless touches are `noted`, every record always counts as touched, and none
    /// is ever gathered.
    pub(in crate::state) fn new(
        segments: Rc<RefCell<SegmentPool>>,
        owner: Owner,
        key_groups: KeyGroupRange,
        noted: bool,
    ) -> Self {
        Self {
            arena: Arena::new(segments, owner, SUB_TABLE_ALIGNMENT),
            key_groups,
            directories: (0..key_groups.len())
                .map(|_| Directory::default())
                .collect(),
            descriptions: Vec::new(),
            access: SlotAccess(PhantomData),
            records: 0,
            slots: 0,
            generation: 0,
            parity: Parity::EVEN,
            touched: [Vec::new(), Vec::new()],
            all_noted: if noted { 0 } else { u32::MAX },
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

    /// Whether touches are noted, so that they can be gathered.
    #[inline(always)]
    pub(in crate::state) fn notes_touches(&self) -> bool {
        self.all_noted == 0
    }

    /// A number that changes whenever records move: homes and slots found before are no longer valid then.
    #[inline(always)]
    pub(in crate::state) fn generation(&self) -> u64 {
        self.generation
    }

    /// Where a record with this hash belongs, if its key group has any room yet; asks for what finding and
    /// touching it will read.
    #[inline(always)]
    pub(in crate::state) fn prefetch(&self, group: KeyGroup, hash: u64) -> Option<Home<K, V>> {
        let home = self.home(group, hash)?;
        home.bucket.prefetch();
        if self.notes_touches() {
            home.sub_table.prefetch_touched(self.parity);
        }
        Some(home)
    }

    /// Where a record with this hash belongs, if its key group has any room yet.
    #[inline(always)]
    pub(in crate::state) fn home(&self, group: KeyGroup, hash: u64) -> Option<Home<K, V>> {
        let sub_table = self.directories.get(self.group_index(group))?.find(hash)?;
        Some(Home {
            sub_table,
            bucket: sub_table.home(hash),
        })
    }

    /// Finds the record with this key and a value for which `confirm` says yes.
    #[inline(always)]
    pub(in crate::state) fn find(
        &self,
        home: Home<K, V>,
        hash: u64,
        key: &K,
        confirm: impl Fn(&V) -> bool,
    ) -> Option<Slot<K, V>> {
        home.sub_table.find(hash, home.bucket, key, confirm)
    }

    /// Adds a record that is not there yet, and notes it as touched. `hash_of` gives the hash of any record's key.
    pub(in crate::state) fn insert(
        &mut self,
        group: KeyGroup,
        hash: u64,
        (key, value): (&K, &V),
        hash_of: impl Fn(&K) -> u64,
    ) -> Result<(Home<K, V>, Slot<K, V>)> {
        let home = self.insert_untouched(group, hash, (key, value), hash_of)?;
        self.note_touched(home.0, home.1);
        Ok(home)
    }

    /// Adds a record that is not there yet and that no checkpoint needs: one that is restored.
    pub(in crate::state) fn insert_untouched(
        &mut self,
        group: KeyGroup,
        hash: u64,
        (key, value): (&K, &V),
        hash_of: impl Fn(&K) -> u64,
    ) -> Result<(Home<K, V>, Slot<K, V>)> {
        let home = loop {
            let Some(home) = self.home(group, hash) else {
                self.start_group(group)?;
                continue;
            };
            let sub_table = home.sub_table;
            let description = &self.descriptions[sub_table.number as usize];
            if description.records >= sub_table.slots() / 3 * 2 {
                self.grow(group, hash, sub_table, &hash_of)?;
            } else if description.removed > sub_table.slots() {
                self.rebuild(group, hash, sub_table, sub_table.bytes(), &hash_of)?;
            } else {
                break home;
            }
        };
        self.descriptions[home.sub_table.number as usize].records += 1;
        self.records += 1;
        Ok((home, home.sub_table.insert(hash, key, value)))
    }

    /// Removes the record in `slot`, which belongs to this home.
    pub(in crate::state) fn remove(&mut self, home: Home<K, V>, slot: Slot<K, V>) {
        let flags = slot.bucket.flags();
        slot.bucket.set_flags(flags.without(slot.index));
        let description = &mut self.descriptions[home.sub_table.number as usize];
        description.records -= 1;
        description.removed += 1;
        self.records -= 1;
    }

    /// A record's key and value.
    #[inline(always)]
    pub(in crate::state) fn record(&self, slot: Slot<K, V>) -> (&K, &V) {
        self.access.record(slot)
    }

    /// A record's key, and its value to be changed.
    #[inline(always)]
    pub(in crate::state) fn record_mut(&mut self, slot: Slot<K, V>) -> (&K, &mut V) {
        self.access.record_mut(slot)
    }

    /// Gives a record another value, whatever bytes the former one was.
    pub(in crate::state) fn overwrite(&mut self, slot: Slot<K, V>, value: &V) {
        slot.fill_value(value);
    }

    /// Whether a record was touched in the epoch at hand already, so that a further touch changes nothing.
    #[inline(always)]
    pub(in crate::state) fn is_touched(&self, slot: Slot<K, V>) -> bool {
        let touched = slot.bucket.flags().touched(self.parity) | self.all_noted;
        touched >> slot.index & 1 == 1
    }

    /// Whether a record was touched in the epoch before and is not yet gathered. From then on it counts as gathered.
    #[inline(always)]
    pub(in crate::state) fn take_pending(&mut self, slot: Slot<K, V>) -> bool {
        let flags = slot.bucket.flags();
        let pending = self.parity.other();
        if flags.touched(pending) >> slot.index & 1 == 0 {
            return false;
        }
        slot.bucket
            .set_flags(flags.without_touched(slot.index, pending));
        true
    }

    /// Notes that a record is touched in the epoch at hand.
    #[inline(always)]
    pub(in crate::state) fn note_touched(&mut self, home: Home<K, V>, slot: Slot<K, V>) {
        if self.is_touched(slot) {
            return;
        }
        let parity = self.parity;
        let flags = slot.bucket.flags();
        slot.bucket
            .set_flags(flags.with_touched(slot.index, parity));
        if flags.touched(parity) == 0 && home.sub_table.note_touched(slot.bucket, parity) {
            self.touched[parity.0 as usize].push(home.sub_table.number);
        }
    }

    /// The barrier: what was touched is to be gathered now, and nothing is touched yet. The epoch before must have been
    /// gathered.
    pub(in crate::state) fn end_epoch(&mut self) {
        self.parity = self.parity.other();
        debug_assert!(self.touched[self.parity.0 as usize].is_empty());
    }

    /// How many records [`Table::gather_next`] visits at most; nothing when all is gathered.
    pub(in crate::state) fn gather_max(&self) -> Option<usize> {
        let next = self.touched[self.parity.other().0 as usize].last()?;
        Some(self.descriptions[*next as usize].records as usize)
    }

    /// How many records [`Table::visit_next`] visits; nothing when `cursor` has passed all.
    pub(in crate::state) fn visit_max(&self, cursor: &mut Cursor) -> Option<usize> {
        let sub_table = self.next_sub_table(cursor)?;
        Some(self.descriptions[sub_table.number as usize].records as usize)
    }

    /// Calls `visit` with the records of one sub-table that are still to be gathered; says whether there was one.
    #[inline]
    pub(in crate::state) fn gather_next(
        &mut self,
        mut visit: impl FnMut(&K, &V) -> Result<()>,
    ) -> Result<bool> {
        let pending = self.parity.other();
        let list = &mut self.touched[pending.0 as usize];
        let Some(number) = list.pop() else {
            return Ok(false);
        };
        if let Some(&next) = list.last() {
            self.descriptions[next as usize]
                .sub_table
                .prefetch_touched(pending);
        }
        let sub_table = self.descriptions[number as usize].sub_table;
        let mut outcome = Ok(());
        sub_table.take_touched(pending, |slot| {
            if outcome.is_ok() {
                let (key, value) = self.access.record(slot);
                outcome = visit(key, value);
            }
        });
        outcome.map(|()| true)
    }

    /// Calls `visit` with every record of the next sub-table that `cursor` has not passed; says whether there was one.
    pub(in crate::state) fn visit_next(
        &self,
        cursor: &mut Cursor,
        mut visit: impl FnMut(&K, &V) -> Result<()>,
    ) -> Result<bool> {
        let Some(sub_table) = self.next_sub_table(cursor) else {
            return Ok(false);
        };
        cursor.advance(self.descriptions[sub_table.number as usize].place.depth);
        let mut outcome = Ok(());
        sub_table.for_each(|slot| {
            if outcome.is_ok() {
                let (key, value) = self.access.record(slot);
                outcome = visit(key, value);
            }
        });
        outcome.map(|()| true)
    }

    /// The sub-table at the cursor, which goes on to the next key group that has any.
    fn next_sub_table(&self, cursor: &mut Cursor) -> Option<SubTable<K, V>> {
        while let Some(directory) = self.directories.get(cursor.group) {
            match directory.find(cursor.position) {
                Some(sub_table) => return Some(sub_table),
                None => cursor.next_group(),
            }
        }
        None
    }

    #[inline(always)]
    pub(super) fn group_index(&self, group: KeyGroup) -> usize {
        usize::from(group.0.wrapping_sub(self.key_groups.start))
    }
}
