//! The variable layout: the table's slot holds the hash, and points to a block of the heap with key and value.

use std::cell::RefCell;
use std::mem;
use std::ops::Range;
use std::rc::Rc;

use rkyv::Archived;
use rkyv::seal::Seal;
use rkyv::util::AlignedVec;

use super::Ownership;
use crate::error::Result;
use crate::model::{KeyGroup, KeyGroupRange};
use crate::state::archive::{self, RecordKey, StateValue};
use crate::state::arena::BlockRef;
use crate::state::base::{BaseProgress, BaseSchedule};
use crate::state::delta::{VariableDelta, variable_footer};
use crate::state::heap::Heap;
use crate::state::log::RecordLog;
use crate::state::piece::{
    PieceKind, for_each_variable_record, variable_record_bytes, write_variable_record,
};
use crate::state::sealed::{Epoch, SealedBase, SealedBytes};
use crate::state::segment::SegmentPool;
use crate::state::table::{Cursor, Slot, Table};

/// So many keys of a batch are looked up at once.
const STAGE_KEYS: usize = 32;

/// A state whose keys or values vary in size, or are too large for a slot.
pub(in crate::state) struct VariableStore<R: RecordKey, V: StateValue> {
    ownership: Ownership,
    /// From the hash to the bits of a [`BlockRef`].
    table: Table<u64, u64>,
    heap: Heap<R, V>,
    delta: VariableDelta,
    base: BaseSchedule,
    /// What a base would take.
    live_bytes: u64,
    /// Archives of keys and values on their way in. Kept for its memory.
    buffer: AlignedVec,
}

/// Where a record belongs.
#[derive(Clone, Copy)]
struct Located {
    group: KeyGroup,
    hash: u64,
}

type BlockSlot = Slot<u64, u64>;

impl<R: RecordKey, V: StateValue> VariableStore<R, V> {
    /// An empty store.
    pub(in crate::state) fn new(
        ownership: Ownership,
        segments: Rc<RefCell<SegmentPool>>,
        log: RecordLog,
    ) -> Self {
        Self {
            ownership,
            table: Table::new(Rc::clone(&segments), ownership.key_groups),
            heap: Heap::new(segments),
            delta: VariableDelta::new(log),
            base: BaseSchedule::default(),
            live_bytes: 0,
            buffer: AlignedVec::new(),
        }
    }

    pub(super) fn with<T>(
        &mut self,
        key: R::Native<'_>,
        read: impl FnOnce(Option<&Archived<V>>) -> T,
    ) -> Result<T> {
        let mut buffer = self.take_buffer();
        let start = R::append(key, &mut buffer)?;
        let key = &buffer[start..];
        let located = self.locate(key)?;
        let found = self.find(located, key);
        let outcome = read(found.map(|(_, block)| self.heap.value(block)));
        self.buffer = buffer;
        Ok(outcome)
    }

    pub(super) fn put(&mut self, key: R::Native<'_>, value: &V) -> Result<()> {
        let mut buffer = self.take_buffer();
        let key_start = R::append(key, &mut buffer)?;
        let key_end = buffer.len();
        let value_start = archive::append(value, &mut buffer)?;
        let key = &buffer[key_start..key_end];
        let located = self.locate(key)?;
        let slot = self.put_bytes(located, key, &buffer[value_start..])?;
        self.touch(slot)?;
        self.buffer = buffer;
        Ok(())
    }

    pub(super) fn remove(&mut self, key: R::Native<'_>) -> Result<bool> {
        let mut buffer = self.take_buffer();
        let start = R::append(key, &mut buffer)?;
        let key = &buffer[start..];
        let located = self.locate(key)?;
        let removed = self.remove_bytes(located, key);
        if removed {
            self.delta.remove(key)?;
        }
        self.buffer = buffer;
        Ok(removed)
    }

    pub(super) fn update_batch<'k>(
        &mut self,
        mut keys: impl Iterator<Item = R::Native<'k>>,
        mut initial: impl FnMut(usize) -> V,
        mut update: impl FnMut(usize, Seal<'_, Archived<V>>),
    ) -> Result<()> {
        let mut buffer = self.take_buffer();
        let mut values = AlignedVec::new();
        let mut staged: Vec<(Range<usize>, Located)> = Vec::with_capacity(STAGE_KEYS);
        let mut first = 0;
        loop {
            staged.clear();
            buffer.clear();
            for key in keys.by_ref().take(STAGE_KEYS) {
                let start = R::append(key, &mut buffer)?;
                let located = self.locate(&buffer[start..])?;
                self.table.prefetch(located.group, located.hash);
                staged.push((start..buffer.len(), located));
            }
            if staged.is_empty() {
                break;
            }
            for (_, located) in &staged {
                self.prefetch_block(*located);
            }
            for (index, (range, located)) in (first..).zip(&staged) {
                let key = &buffer[range.clone()];
                let (slot, block) = match self.find(*located, key) {
                    Some(found) => found,
                    None => {
                        values.clear();
                        archive::append(&initial(index), &mut values)?;
                        self.insert_bytes(*located, key, &values)?
                    }
                };
                update(index, self.heap.value_mut(block));
                self.touch(slot)?;
            }
            first += staged.len();
        }
        self.buffer = buffer;
        Ok(())
    }

    pub(super) fn visit_next(
        &self,
        cursor: &mut Cursor,
        mut visit: impl FnMut(R::View<'_>, &Archived<V>) -> Result<()>,
    ) -> Result<bool> {
        self.table.visit_next(cursor, |_, block| {
            let block = BlockRef::from_bits(*block);
            visit(self.heap.key(block), self.heap.value(block))
        })
    }

    pub(super) fn seal(&mut self) -> Result<(SealedBytes, Option<SealedBase>)> {
        let delta = self.delta.seal()?;
        let base = self.base.on_barrier(delta.len());
        Ok((delta, base))
    }

    /// Copies about `bytes_max` of a base, if one is due.
    pub(super) fn copy_base_slice(
        &mut self,
        bytes_max: usize,
        epoch: Epoch,
    ) -> Result<BaseProgress> {
        let delta = &self.delta;
        let Some(base) = self
            .base
            .running(epoch, self.live_bytes, || delta.another_log())
        else {
            return Ok(BaseProgress::default());
        };
        let mut progress = BaseProgress {
            bytes: 0,
            running: true,
        };
        while progress.running && progress.bytes < bytes_max {
            let (log, records, heap) = (&mut base.log, &mut base.records, &self.heap);
            progress.running = self.table.visit_next(&mut base.cursor, |_, block| {
                let block = BlockRef::from_bits(*block);
                let (key, value) = (heap.key_bytes(block), heap.value_bytes(block));
                let bytes = variable_record_bytes(key.len(), value.len());
                write_variable_record(log.append(bytes)?.1, key, Some(value))?;
                *records += 1;
                progress.bytes += bytes;
                Ok(())
            })?;
        }
        if !progress.running {
            self.base.finish(|records_bytes, records| {
                variable_footer(PieceKind::Base, records_bytes, records, 0)
            })?;
        }
        Ok(progress)
    }

    /// Applies a piece: the records whose key group is in `key_groups` and an own one.
    pub(super) fn restore(
        &mut self,
        piece: &[u8],
        kind: PieceKind,
        key_groups: KeyGroupRange,
    ) -> Result<()> {
        let mut buffer = self.take_buffer();
        for_each_variable_record(piece, kind, |key, value| {
            // A piece lies at any address; archives are checked, and kept, at aligned ones.
            buffer.clear();
            buffer.extend_from_slice(key);
            R::check(&buffer)?;
            let hashes = R::hashes(&buffer);
            let group = self.ownership.group(hashes.group);
            if !key_groups.contains(group) || !self.ownership.key_groups.contains(group) {
                return Ok(());
            }
            let located = Located {
                group,
                hash: hashes.record,
            };
            let Some(value) = value else {
                self.remove_bytes(located, key);
                return Ok(());
            };
            buffer.clear();
            buffer.extend_from_slice(value);
            archive::check::<V>(&buffer)?;
            self.put_bytes(located, key, &buffer).map(drop)
        })?;
        self.buffer = buffer;
        if kind == PieceKind::Delta {
            self.base.on_restored_delta(piece.len());
        }
        Ok(())
    }

    pub(super) fn records(&self) -> u64 {
        self.table.records()
    }

    pub(super) fn slots(&self) -> u64 {
        self.table.slots()
    }

    pub(super) fn live_bytes(&self) -> u64 {
        self.live_bytes
    }

    pub(super) fn table_bytes(&self) -> u64 {
        self.table.bytes_in_use() + self.heap.bytes_in_use()
    }

    pub(super) fn delta_bytes(&self) -> u64 {
        self.delta.len()
    }

    pub(super) fn base_bytes(&self) -> u64 {
        self.base.bytes()
    }

    fn take_buffer(&mut self) -> AlignedVec {
        let mut buffer = mem::take(&mut self.buffer);
        buffer.clear();
        buffer
    }

    fn locate(&self, key: &[u8]) -> Result<Located> {
        let hashes = R::hashes(key);
        Ok(Located {
            group: self.ownership.own_group(hashes.group)?,
            hash: hashes.record,
        })
    }

    fn find(&self, located: Located, key: &[u8]) -> Option<(BlockSlot, BlockRef)> {
        let slot = self
            .table
            .find(located.group, located.hash, &located.hash, |block| {
                self.heap.key_bytes(BlockRef::from_bits(*block)) == key
            })?;
        Some((slot, BlockRef::from_bits(*self.table.record(slot).1)))
    }

    /// Asks for the block and the delta record of the first record with this hash.
    fn prefetch_block(&self, located: Located) {
        let found = self
            .table
            .find(located.group, located.hash, &located.hash, |_| true);
        if let Some(slot) = found {
            let (_, block) = self.table.record(slot);
            self.heap.prefetch(BlockRef::from_bits(*block));
            self.delta.prefetch(self.table.mark(slot));
        }
    }

    fn put_bytes(&mut self, located: Located, key: &[u8], value: &[u8]) -> Result<BlockSlot> {
        let Some((slot, block)) = self.find(located, key) else {
            return Ok(self.insert_bytes(located, key, value)?.0);
        };
        self.live_bytes -= self.record_bytes(block);
        let moved = self.heap.replace_value(block, value)?;
        *self.table.record_mut(slot).1 = moved.to_bits();
        self.live_bytes += self.record_bytes(moved);
        Ok(slot)
    }

    fn insert_bytes(
        &mut self,
        located: Located,
        key: &[u8],
        value: &[u8],
    ) -> Result<(BlockSlot, BlockRef)> {
        let block = self.heap.insert(key, value)?;
        let slot = self.table.insert(
            located.group,
            located.hash,
            (&located.hash, &block.to_bits(), self.delta.no_mark()),
            |hash| *hash,
        )?;
        self.live_bytes += self.record_bytes(block);
        Ok((slot, block))
    }

    fn remove_bytes(&mut self, located: Located, key: &[u8]) -> bool {
        let Some((slot, block)) = self.find(located, key) else {
            return false;
        };
        self.live_bytes -= self.record_bytes(block);
        self.table.remove(located.group, located.hash, slot);
        self.heap.remove(block);
        true
    }

    fn record_bytes(&self, block: BlockRef) -> u64 {
        let key_bytes = self.heap.key_bytes(block).len();
        variable_record_bytes(key_bytes, self.heap.value_bytes(block).len()) as u64
    }

    fn touch(&mut self, slot: BlockSlot) -> Result<()> {
        let (_, block, mark) = self.table.record_mut(slot);
        let block = BlockRef::from_bits(*block);
        let touched = self.delta.touch(
            *mark,
            self.heap.key_bytes(block),
            self.heap.value_bytes(block),
        )?;
        *mark = touched;
        Ok(())
    }
}
