//! How a table grows: room made beforehand, sub-tables doubled and split.

use super::directory::goes_high;
use super::index::{Description, Table, bucket_reference};
use super::sub_table::{BUCKET_BITS, Place, SUB_TABLE_BYTES_MAX, SUB_TABLE_BYTES_MIN, SubTable};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{KeyGroup, KeyGroupRange};
use crate::state::arena::BlockRef;

/// No sub-table is split more often than this: only keys with one and the same hash could ask for it.
const DEPTH_MAX: u32 = 32;

impl<K, V> Table<K, V> {
    /// Makes room at once for about so many records, evenly over the key groups `among` those of the table: they are
    /// then inserted without moving any. Does nothing for a key group that has room already.
    pub(in crate::state) fn reserve(&mut self, records: u64, among: KeyGroupRange) -> Result<()> {
        let groups: Vec<u16> = self
            .key_groups
            .as_range()
            .filter(|group| among.contains(KeyGroup(*group)))
            .collect();
        let in_group = records.div_ceil(groups.len().max(1) as u64);
        if in_group == 0 {
            return Ok(());
        }
        let fits = |bytes: usize, records: u64| {
            records <= u64::from(SubTable::<K, V>::slots_in(bytes)) / 10 * 6
        };
        let mut bytes = SUB_TABLE_BYTES_MIN;
        while bytes < SUB_TABLE_BYTES_MAX && !fits(bytes, in_group) {
            bytes *= 2;
        }
        let mut depth = 0;
        while depth < DEPTH_MAX / 2 && !fits(bytes, in_group >> depth) {
            depth += 1;
        }
        for group in groups {
            let index = self.group_index(KeyGroup(group));
            if self.directories[index].is_empty() {
                for number in 0..1 << depth {
                    let place = Place::nth(group, depth, number);
                    let sub_table = self.allocate(bytes, place, None)?;
                    self.exchange(None, &[sub_table]);
                    self.directories[index].push(sub_table);
                }
                self.directories[index].set_depth(depth);
            }
        }
        Ok(())
    }

    pub(super) fn start_group(&mut self, group: KeyGroup) -> Result<()> {
        if !self.key_groups.contains(group) {
            return Err(Error::new(
                ErrorKind::Bug,
                format!("{group:?} is not among {:?}", self.key_groups),
            ));
        }
        let place = Place::nth(group.0, 0, 0);
        let first = self.allocate(SUB_TABLE_BYTES_MIN, place, None)?;
        self.exchange(None, &[first]);
        let index = self.group_index(group);
        self.directories[index].push(first);
        Ok(())
    }

    /// Makes room in a full sub-table: doubles a small one, splits a large one.
    #[cold]
    pub(super) fn grow(
        &mut self,
        group: KeyGroup,
        hash: u64,
        full: SubTable<K, V>,
        hash_of: &impl Fn(&K) -> u64,
    ) -> Result<()> {
        if full.bytes() < SUB_TABLE_BYTES_MAX {
            return self.rebuild(group, hash, full, full.bytes() * 2, hash_of);
        }
        let Description {
            place,
            block,
            round,
            ..
        } = self.descriptions[full.number as usize];
        if place.depth == DEPTH_MAX {
            return Err(Error::new(
                ErrorKind::Data,
                "more keys share one hash than a table can hold",
            ));
        }
        let (low_place, high_place) = place.halves();
        let low = self.allocate(SUB_TABLE_BYTES_MAX, low_place, Some(full.number))?;
        let high = self.allocate(SUB_TABLE_BYTES_MAX, high_place, None)?;
        self.descriptions[high.number as usize].round = round;
        self.move_records(full, hash_of, |hash| {
            if goes_high(hash, place.depth) {
                high
            } else {
                low
            }
        });
        let index = self.group_index(group);
        self.directories[index].split(hash, place.depth, low, high);
        self.replace(full, block, &[low, high]);
        Ok(())
    }

    /// Moves a sub-table's records to a new one of `bytes`.
    #[cold]
    pub(super) fn rebuild(
        &mut self,
        group: KeyGroup,
        hash: u64,
        old: SubTable<K, V>,
        bytes: usize,
        hash_of: &impl Fn(&K) -> u64,
    ) -> Result<()> {
        let Description { block, place, .. } = self.descriptions[old.number as usize];
        let new = self.allocate(bytes, place, Some(old.number))?;
        self.move_records(old, hash_of, |_| new);
        let index = self.group_index(group);
        self.directories[index].replace(hash, place.depth, new);
        self.replace(old, block, &[new]);
        Ok(())
    }

    /// An empty sub-table, under the number of one that it replaces, or under a new one.
    fn allocate(
        &mut self,
        bytes: usize,
        place: Place,
        replaced: Option<u32>,
    ) -> Result<SubTable<K, V>> {
        let number = replaced.unwrap_or(self.descriptions.len() as u32);
        if number > u32::MAX >> BUCKET_BITS {
            return Err(Error::new(
                ErrorKind::Environment,
                "a state has more records than one subtask can hold: raise the parallelism",
            ));
        }
        let (sub_table, block) =
            SubTable::allocate(&mut self.arena, bytes, place, number, self.checks)?;
        let mut description = Description {
            sub_table,
            block,
            place,
            records: 0,
            removed: 0,
            round: 0,
        };
        match self.descriptions.get_mut(number as usize) {
            Some(described) => {
                description.round = described.round;
                *described = description;
            }
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
        let mut records = 0;
        from.for_each(|slot| {
            let (key, value) = self.access.record(slot);
            let hash = hash_of(key);
            let target = target_of(hash);
            let moved = target.insert(hash, key, value, self.checks);
            records += 1;
            let flags = slot.bucket.flags();
            if self.checks && flags.untouched() >> slot.index & 1 == 0 {
                let flags = moved.bucket.flags();
                moved
                    .bucket
                    .set_flags(flags.with_check_changed(moved.check()));
            }
            for parity in [self.parity, self.parity.other()] {
                if flags.touched(parity) >> slot.index & 1 == 1 {
                    let flags = moved.bucket.flags();
                    moved
                        .bucket
                        .set_flags(flags.with_touched(moved.index, parity));
                    if flags.touched(parity) == 0 {
                        let bucket = bucket_reference(target, moved.bucket);
                        self.touched[parity.0 as usize].push(bucket);
                    }
                }
            }
            self.descriptions[target.number as usize].records += 1;
        });
        self.moves.spend(records);
    }

    /// The records of `old` are in `new` now.
    fn replace(&mut self, old: SubTable<K, V>, block: BlockRef, new: &[SubTable<K, V>]) {
        self.exchange(Some(old), new);
        self.slots -= u64::from(old.slots());
        self.arena.free(block, old.bytes());
        self.generation += 1;
    }

    /// `new` are in use now, and `old` is not any more.
    fn exchange(&mut self, old: Option<SubTable<K, V>>, new: &[SubTable<K, V>]) {
        // Between the two, some records are there twice, and the ledger's sum is wrong.
        self.arena.begin_change();
        let mut sum = 0;
        for new in new {
            new.set_in_use(true);
            sum ^= new.checksum();
        }
        if let Some(old) = old {
            old.set_in_use(false);
            sum ^= old.checksum();
        }
        self.arena.change_sum(sum);
        self.arena.end_change();
    }
}
