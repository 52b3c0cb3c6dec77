//! The whole table: directories, sub-tables, how they grow, and which records were touched.

use std::cell::RefCell;
use std::marker::PhantomData;
use std::rc::Rc;

use super::bucket::{Bucket, Parity, Slot, SlotAccess, slots_in_bucket};
use super::directory::{Cursor, Directory};
use super::moves::{Due, MoveAllowance};
use super::sub_table::{BUCKET_BITS, Place, SubTable};
use crate::error::Result;
use crate::model::{KeyGroup, KeyGroupRange};
use crate::state::arena::{Arena, BlockRef};
use crate::state::ledger::Owner;
use crate::state::segment::SegmentPool;

/// Sub-tables are blocks that start at a cache line.
const SUB_TABLE_ALIGNMENT: usize = 64;

/// So many buckets are gathered at a time.
const GATHER_BUCKETS: usize = 512;

/// When more than one in so many buckets was touched, all are read.
const GATHER_WHOLE_SHARE: u64 = 5;

/// When more than one in so many buckets was touched, everything can be gathered: that is about as much, in the long run,
/// as the touched records and the bases that they would make due.
const GATHER_ALL_SHARE: u64 = 2;

/// So many buckets are asked for ahead of the one that is gathered.
pub(super) const GATHER_AHEAD: usize = 16;

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
    /// What may be moved for growth.
    pub(super) moves: MoveAllowance,
    /// That of the epoch at hand.
    pub(super) parity: Parity,
    /// The buckets with touched records, by parity: the number of the sub-table, and that of the bucket in it.
    pub(super) touched: [Vec<u32>; 2],
    /// The next sub-table to be gathered whole: when much of the table was touched, reading all of it in order is faster
    /// than following references.
    whole: Option<u32>,
    /// Whether all records are gathered then, and not only those that were touched.
    gathers_all: bool,
    /// How often all records were gathered.
    pub(super) rounds: u32,
    /// All ones when no touch needs to be marked.
    all_marked: u32,
    /// Whether buckets have their checks, for a later process.
    pub(super) checks: bool,
}

/// What a bucket is noted by.
#[inline(always)]
pub(super) fn bucket_reference<K, V>(sub_table: SubTable<K, V>, bucket: Bucket<K, V>) -> u32 {
    sub_table.number << BUCKET_BITS | sub_table.number_of(bucket)
}

/// What is needed of a sub-table only when records come or go.
pub(super) struct Description<K, V> {
    pub(super) sub_table: SubTable<K, V>,
    pub(super) block: BlockRef,
    pub(super) place: Place,
    pub(super) records: u32,
    /// Records removed since it was built: their buckets may still say that something overflowed.
    pub(super) removed: u32,
    /// The last round of gathering all records that has been here; what is split off takes this along.
    pub(super) round: u32,
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
    /// An empty table for these key groups. Unless touches are `marked`, every record counts as touched until
    /// [`Table::start_marking`]. With `checks`, each bucket has its check, which asks for touches to be marked.
    pub(in crate::state) fn new(
        segments: Rc<RefCell<SegmentPool>>,
        owner: Owner,
        key_groups: KeyGroupRange,
        marked: bool,
        checks: bool,
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
            moves: MoveAllowance::default(),
            parity: Parity::EVEN,
            touched: [Vec::new(), Vec::new()],
            whole: None,
            gathers_all: false,
            rounds: 0,
            all_marked: if marked { 0 } else { u32::MAX },
            checks,
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

    /// From now on touches are marked, so that they can be gathered.
    pub(in crate::state) fn start_marking(&mut self) {
        self.all_marked = 0;
    }

    /// From now on every record counts as touched: what is done to it is known otherwise. All must be gathered.
    pub(in crate::state) fn end_marking(&mut self) {
        debug_assert!(self.is_gathered());
        self.all_marked = u32::MAX;
    }

    /// A number that changes whenever records move: homes and slots found before are no longer valid then.
    #[inline(always)]
    pub(in crate::state) fn generation(&self) -> u64 {
        self.generation
    }

    /// Where a record with this hash belongs, if its key group has any room yet; asks for its bucket.
    #[inline(always)]
    pub(in crate::state) fn prefetch(&self, group: KeyGroup, hash: u64) -> Option<Home<K, V>> {
        let home = self.home(group, hash)?;
        home.bucket.prefetch();
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
    ) -> Result<Slot<K, V>> {
        let (home, slot) = self.insert_untouched(group, hash, (key, value), hash_of)?;
        self.note_touched(home, slot);
        Ok(slot)
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
            match self
                .moves
                .due(&self.descriptions[sub_table.number as usize])
            {
                None => break home,
                Some(Due::Growth) => self.grow(group, hash, sub_table, &hash_of)?,
                Some(Due::Rebuilding) => {
                    self.rebuild(group, hash, sub_table, sub_table.bytes(), &hash_of)?;
                }
            }
        };
        self.moves.earn();
        self.descriptions[home.sub_table.number as usize].records += 1;
        self.records += 1;
        let slot = home.sub_table.insert(hash, key, value, self.checks);
        Ok((home, slot))
    }

    /// Removes the record in `slot`, which belongs to this home.
    pub(in crate::state) fn remove(&mut self, home: Home<K, V>, slot: Slot<K, V>) {
        let flags = slot.bucket.flags();
        let check = self.counted_check(slot);
        let flags = flags.without(slot.index).with_check_changed(check);
        slot.bucket.set_flags(flags);
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
        let former = self.counted_check(slot);
        slot.fill_value(value);
        let check = former ^ self.counted_check(slot);
        let flags = slot.bucket.flags().with_check_changed(check);
        slot.bucket.set_flags(flags);
    }

    /// What an occupied slot's record gives to the check of its bucket as it is now.
    fn counted_check(&self, slot: Slot<K, V>) -> u32 {
        if self.checks && slot.bucket.flags().untouched() >> slot.index & 1 == 1 {
            slot.check()
        } else {
            0
        }
    }

    /// Whether a record was touched in the epoch at hand already, so that a further touch changes nothing.
    #[inline(always)]
    pub(in crate::state) fn is_touched(&self, slot: Slot<K, V>) -> bool {
        let touched = slot.bucket.flags().touched(self.parity) | self.all_marked;
        touched >> slot.index & 1 == 1
    }

    /// Whether a record, which was not touched in the epoch at hand, is still to be gathered for the barrier before.
    #[inline(always)]
    pub(in crate::state) fn is_pending(&self, home: Home<K, V>, slot: Slot<K, V>) -> bool {
        if self.gathers_all {
            // Once it is touched, the round leaves it out.
            return self.descriptions[home.sub_table.number as usize].round != self.rounds;
        }
        slot.bucket.flags().touched(self.parity.other()) >> slot.index & 1 == 1
    }

    /// Notes that a record is touched in the epoch at hand. If it was still to be gathered, it counts as gathered.
    #[inline(always)]
    pub(in crate::state) fn note_touched(&mut self, home: Home<K, V>, slot: Slot<K, V>) {
        if self.is_touched(slot) {
            return;
        }
        let parity = self.parity;
        let flags = slot.bucket.flags();
        let mut noted = flags
            .without_touched(slot.index, parity.other())
            .with_touched(slot.index, parity);
        if self.checks && flags.untouched() >> slot.index & 1 == 1 {
            noted = noted.with_check_changed(slot.check());
        }
        // In one store: a record is either touched or in the check.
        slot.bucket.set_flags(noted);
        if flags.touched(parity) == 0 {
            let bucket = bucket_reference(home.sub_table, slot.bucket);
            self.touched[parity.0 as usize].push(bucket);
        }
    }

    /// How many buckets are marked in the epoch at hand; one that was rebuilt meanwhile counts again.
    pub(in crate::state) fn touched_buckets(&self) -> u64 {
        self.touched[self.parity.0 as usize].len() as u64
    }

    /// Whether so much was touched in the epoch at hand that gathering all there is takes no more.
    pub(in crate::state) fn is_mostly_touched(&self) -> bool {
        self.touched_more_than(GATHER_ALL_SHARE)
    }

    /// The barrier: what was touched, or all there is, is to be gathered now, and nothing is touched yet. The epoch before
    /// must have been gathered.
    pub(in crate::state) fn end_epoch(&mut self, gathers_all: bool) {
        debug_assert!(self.is_gathered());
        self.gathers_all = gathers_all;
        self.rounds += u32::from(gathers_all);
        if gathers_all || self.touched_more_than(GATHER_WHOLE_SHARE) {
            self.touched[self.parity.0 as usize].clear();
            self.whole = Some(0);
        }
        self.parity = self.parity.other();
    }

    fn touched_more_than(&self, share: u64) -> bool {
        let buckets = self.slots / slots_in_bucket::<K, V>() as u64;
        self.touched_buckets() > buckets / share
    }

    /// Whether all is gathered.
    pub(in crate::state) fn is_gathered(&self) -> bool {
        self.whole.is_none() && self.touched[self.parity.other().0 as usize].is_empty()
    }

    /// How many records [`Table::gather_next`] visits at most.
    pub(in crate::state) const fn gather_max() -> usize {
        GATHER_BUCKETS * slots_in_bucket::<K, V>()
    }

    /// How many records [`Table::visit_next`] visits; nothing when `cursor` has passed all.
    pub(in crate::state) fn visit_max(&self, cursor: &mut Cursor) -> Option<usize> {
        let sub_table = self.next_sub_table(cursor)?;
        Some(self.descriptions[sub_table.number as usize].records as usize)
    }

    /// Calls `visit` with some records that are still to be gathered, and that count as gathered then.
    #[inline]
    pub(in crate::state) fn gather_next(
        &mut self,
        mut visit: impl FnMut(&K, &V) -> Result<()>,
    ) -> Result<()> {
        let pending = self.parity.other();
        let access = &self.access;
        let mut visit_slot = |slot| {
            let (key, value) = access.record(slot);
            visit(key, value)
        };
        if let Some(number) = self.whole {
            // Splits go on meanwhile: what is new has a higher number.
            let Some(description) = self.descriptions.get_mut(number as usize) else {
                self.whole = None;
                self.gathers_all = false;
                return Ok(());
            };
            self.whole = Some(number + 1);
            let sub_table = description.sub_table;
            if !self.gathers_all {
                return sub_table.take_touched(pending, self.checks, visit_slot);
            }
            // What was split off from a sub-table in which the round has been is not visited again.
            if std::mem::replace(&mut description.round, self.rounds) == self.rounds {
                return Ok(());
            }
            return sub_table.take_untouched(self.parity, self.checks, visit_slot);
        }
        let list = &mut self.touched[pending.0 as usize];
        let portion = list.len().saturating_sub(GATHER_BUCKETS);
        let descriptions = &self.descriptions;
        // A reference from before a sub-table was rebuilt may lead to another bucket, or to none: what was moved has a
        // reference of its own.
        let bucket_of = |reference: u32| {
            let sub_table = descriptions[(reference >> BUCKET_BITS) as usize].sub_table;
            sub_table.bucket_at(reference & ((1 << BUCKET_BITS) - 1))
        };
        let references = &list[portion..];
        for &reference in references.iter().take(GATHER_AHEAD) {
            bucket_of(reference).inspect(|bucket| bucket.prefetch());
        }
        for (index, &reference) in references.iter().enumerate() {
            if let Some(&ahead) = references.get(index + GATHER_AHEAD) {
                bucket_of(ahead).inspect(|bucket| bucket.prefetch());
            }
            if let Some(bucket) = bucket_of(reference) {
                bucket.take_touched(pending, self.checks, &mut visit_slot)?;
            }
        }
        list.truncate(portion);
        Ok(())
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
