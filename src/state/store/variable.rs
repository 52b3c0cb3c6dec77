//! The variable layout: the table's slot holds the hash, and points to a block of the heap with key and value.

use std::mem;
use std::ops::Range;
use std::rc::Rc;

use rkyv::Archived;
use rkyv::seal::Seal;
use rkyv::util::AlignedVec;

use super::epochs::Epochs;
use super::{Ownership, SealedParts, StoreSetup};
use crate::error::Result;
use crate::model::{KeyGroup, KeyGroupRange};
use crate::state::archive::{self, RecordKey, StateValue};
use crate::state::arena::BlockRef;
use crate::state::base::BaseProgress;
use crate::state::descriptor::RecordFormat;
use crate::state::heap::Heap;
use crate::state::ledger::Owner;
use crate::state::piece::{
    Footer, PieceKind, for_each_variable_record, variable_record_bytes, write_variable_record,
};
use crate::state::sealed::Epoch;
use crate::state::table::{Cursor, Home, Slot, Table};
use crate::state::undo::UndoKind;

/// So many keys of a batch are looked up at once.
const STAGE_KEYS: usize = 32;

/// A state whose keys or values vary in size, or are too large for a slot.
pub(in crate::state) struct VariableStore<R: RecordKey, V: StateValue> {
    pub(super) ownership: Ownership,
    /// From the hash to the bits of a [`BlockRef`].
    pub(super) table: Table<u64, u64>,
    pub(super) heap: Heap<R, V>,
    pub(super) epochs: Epochs,
    /// What a base would take.
    pub(super) live_bytes: u64,
    /// Archives of keys and values on their way in. Kept for its memory.
    pub(super) buffer: AlignedVec,
}

/// Where a record belongs.
#[derive(Clone, Copy)]
pub(super) struct Located {
    group: KeyGroup,
    hash: u64,
}

/// Where a record was found.
#[derive(Clone, Copy)]
pub(super) struct Found {
    pub(super) home: Home<u64, u64>,
    pub(super) slot: Slot<u64, u64>,
    block: BlockRef,
}

impl<R: RecordKey, V: StateValue> VariableStore<R, V> {
    /// An empty store.
    pub(in crate::state) fn new(setup: StoreSetup) -> Self {
        let StoreSetup {
            ownership,
            segments,
            log,
            number,
            incremental,
            undo,
            outlet,
        } = setup;
        Self {
            ownership,
            table: Table::new(
                Rc::clone(&segments),
                Owner::Table(number),
                ownership.key_groups,
                incremental,
                undo.is_some(),
            ),
            heap: Heap::new(segments, Owner::Heap(number), undo.is_some()),
            epochs: Epochs::new(log, undo, incremental, false, outlet),
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
        let outcome = read(found.map(|found| self.heap.value(found.block)));
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
        match self.find(located, key) {
            Some(found) => {
                self.touch(found)?;
                self.replace_value(found, &buffer[value_start..])?;
            }
            None => {
                self.insert_bytes(located, key, &buffer[value_start..])?;
            }
        }
        self.buffer = buffer;
        Ok(())
    }

    pub(super) fn remove(&mut self, key: R::Native<'_>) -> Result<bool> {
        let mut buffer = self.take_buffer();
        let start = R::append(key, &mut buffer)?;
        let key = &buffer[start..];
        let located = self.locate(key)?;
        let found = self.find(located, key);
        if let Some(found) = found {
            self.touch(found)?;
            let bytes = variable_record_bytes(key.len(), 0);
            if let Some(record) = self.epochs.append_deletion(bytes)? {
                write_variable_record(record, key, None)?;
            }
            self.remove_found(found);
        }
        self.buffer = buffer;
        Ok(found.is_some())
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
                let block = match self.find(*located, key) {
                    Some(found) => {
                        self.touch(found)?;
                        found.block
                    }
                    None => {
                        values.clear();
                        archive::append(&initial(index), &mut values)?;
                        self.insert_bytes(*located, key, &values)?
                    }
                };
                update(index, self.heap.value_mut(block));
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

    /// The barrier.
    pub(super) fn end_epoch(&mut self, epoch: Epoch) -> Result<()> {
        if self.epochs.begin_whole_base(epoch) {
            while self.copy_base_slice(usize::MAX, epoch)?.running {}
        }
        let live_bytes = self.live_bytes();
        self.epochs.end_epoch(&mut self.table, live_bytes, epoch)
    }

    /// Gathers about `bytes_max` of what the last barrier is to give; gives it when all is gathered.
    pub(super) fn gather(&mut self, bytes_max: usize) -> Result<Option<SealedParts>> {
        let Some(delta) = self.epochs.pending() else {
            return Ok(None);
        };
        let heap = &mut self.heap;
        let mut bytes = 0;
        while !self.table.is_gathered() {
            if bytes >= bytes_max {
                return Ok(None);
            }
            self.table.gather_next(|_, block| {
                let block = BlockRef::from_bits(*block);
                bytes += append_block(heap, block, |bytes| delta.append(bytes))?;
                heap.settle(block);
                Ok(())
            })?;
        }
        self.epochs.seal(&mut self.table, footer)
    }

    /// Copies about `bytes_max` of a base, if one is due.
    pub(super) fn copy_base_slice(
        &mut self,
        bytes_max: usize,
        epoch: Epoch,
    ) -> Result<BaseProgress> {
        let Some(base) = self.epochs.running_base(epoch, self.live_bytes) else {
            return Ok(BaseProgress::default());
        };
        let mut progress = BaseProgress {
            bytes: 0,
            running: true,
        };
        while progress.running && progress.bytes < bytes_max {
            let (log, heap) = (&mut base.log, &self.heap);
            progress.running = self.table.visit_next(&mut base.cursor, |_, block| {
                let block = BlockRef::from_bits(*block);
                progress.bytes += append_block(heap, block, |bytes| log.append(bytes))?;
                Ok(())
            })?;
        }
        base.ship();
        if !progress.running {
            self.epochs
                .base
                .finish(|bytes, records| footer(PieceKind::Base, bytes, records, 0))?;
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
        // A base has each key once, and no other base has keys of the same groups.
        let is_base = kind == PieceKind::Base;
        for_each_variable_record(piece, kind, |key, value| {
            // A piece lies at any address; archives are checked, and kept, at aligned ones.
            buffer.clear();
            buffer.extend_from_slice(key);
            R::check(&buffer)?;
            let hashes = R::hashes(&buffer);
            let group = self.ownership.group(hashes.group);
            if !self.ownership.takes(group, key_groups) {
                return Ok(());
            }
            let located = Located {
                group,
                hash: hashes.record,
            };
            match value {
                Some(value) if is_base => {
                    buffer.clear();
                    buffer.extend_from_slice(value);
                    archive::check::<V>(&buffer)?;
                    self.restore_bytes(located, key, &buffer)
                }
                value => self.restore_record(key, value),
            }
        })?;
        self.buffer = buffer;
        if kind == PieceKind::Delta {
            self.epochs.on_restored(piece.len() as u64);
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

    pub(super) fn take_buffer(&mut self) -> AlignedVec {
        let mut buffer = mem::take(&mut self.buffer);
        buffer.clear();
        buffer
    }

    pub(super) fn locate(&self, key: &[u8]) -> Result<Located> {
        let hashes = R::hashes(key);
        Ok(Located {
            group: self.ownership.own_group(hashes.group)?,
            hash: hashes.record,
        })
    }

    pub(super) fn find(&self, located: Located, key: &[u8]) -> Option<Found> {
        let home = self.table.home(located.group, located.hash)?;
        let slot = self
            .table
            .find(home, located.hash, &located.hash, |block| {
                self.heap.key_bytes(BlockRef::from_bits(*block)) == key
            })?;
        let block = BlockRef::from_bits(*self.table.record(slot).1);
        Some(Found { home, slot, block })
    }

    /// Asks for the block of the first record with this hash.
    fn prefetch_block(&self, located: Located) {
        let home = self.table.home(located.group, located.hash);
        let found =
            home.and_then(|home| self.table.find(home, located.hash, &located.hash, |_| true));
        if let Some(slot) = found {
            let (_, block) = self.table.record(slot);
            self.heap.prefetch(BlockRef::from_bits(*block));
        }
    }

    /// Replaces the value of a record; gives the block that it lies in then.
    pub(super) fn replace_value(&mut self, found: Found, value: &[u8]) -> Result<BlockRef> {
        self.live_bytes -= record_bytes(&self.heap, found.block);
        let moved = self.heap.replace_value(found.block, value)?;
        if moved != found.block {
            self.table.overwrite(found.slot, &moved.to_bits());
            self.heap.remove(found.block);
        }
        self.live_bytes += record_bytes(&self.heap, moved);
        Ok(moved)
    }

    fn insert_bytes(&mut self, located: Located, key: &[u8], value: &[u8]) -> Result<BlockRef> {
        self.epochs.count_touch();
        if let Some(undo) = &mut self.epochs.undo {
            undo.append(
                UndoKind::Created,
                variable_record_bytes(key.len(), 0),
                |record| write_variable_record(record, key, None),
            )?;
        }
        let block = self.heap.insert(key, value)?;
        self.table.insert(
            located.group,
            located.hash,
            (&located.hash, &block.to_bits()),
            |hash| *hash,
        )?;
        self.live_bytes += record_bytes(&self.heap, block);
        Ok(block)
    }

    /// Inserts a record that no checkpoint needs.
    pub(super) fn restore_bytes(
        &mut self,
        located: Located,
        key: &[u8],
        value: &[u8],
    ) -> Result<()> {
        let block = self.heap.insert(key, value)?;
        self.table.insert_untouched(
            located.group,
            located.hash,
            (&located.hash, &block.to_bits()),
            |hash| *hash,
        )?;
        self.live_bytes += record_bytes(&self.heap, block);
        Ok(())
    }

    pub(super) fn remove_found(&mut self, found: Found) {
        self.live_bytes -= record_bytes(&self.heap, found.block);
        self.table.remove(found.home, found.slot);
        self.heap.remove(found.block);
    }

    /// To be called before a record is changed.
    fn touch(&mut self, found: Found) -> Result<()> {
        self.epochs.count_touch();
        if self.table.is_touched(found.slot) {
            return Ok(());
        }
        if self.table.is_pending(found.home, found.slot)
            && let Some(delta) = self.epochs.pending()
        {
            append_block(&self.heap, found.block, |bytes| delta.append(bytes))?;
        }
        if let Some(undo) = &mut self.epochs.undo {
            let (key, value) = (
                self.heap.key_bytes(found.block),
                self.heap.value_bytes(found.block),
            );
            let bytes = variable_record_bytes(key.len(), value.len());
            undo.append(UndoKind::Changed, bytes, |record| {
                write_variable_record(record, key, Some(value))
            })?;
        }
        self.table.note_touched(found.home, found.slot);
        Ok(())
    }
}

/// What a block's record takes in a piece.
pub(super) fn record_bytes<R: RecordKey, V: StateValue>(heap: &Heap<R, V>, block: BlockRef) -> u64 {
    let (key, value) = (heap.key_bytes(block), heap.value_bytes(block));
    variable_record_bytes(key.len(), value.len()) as u64
}

/// Writes the record of a block to where `append` makes room; gives its size.
fn append_block<'a, R: RecordKey, V: StateValue>(
    heap: &Heap<R, V>,
    block: BlockRef,
    append: impl FnOnce(usize) -> Result<&'a mut [u8]>,
) -> Result<usize> {
    let (key, value) = (heap.key_bytes(block), heap.value_bytes(block));
    let bytes = variable_record_bytes(key.len(), value.len());
    write_variable_record(append(bytes)?, key, Some(value))?;
    Ok(bytes)
}

fn footer(kind: PieceKind, records_bytes: u64, records: u64, deletions: u64) -> Footer {
    Footer {
        kind,
        format: RecordFormat::Variable,
        records_bytes,
        records,
        deletions,
        key_bytes: 0,
        value_bytes: 0,
    }
}
