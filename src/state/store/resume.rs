//! Taking up what a process that was killed left of a store, and taking back what no checkpoint covers.

use super::fixed::{STAGE_KEYS, Wanted};
use super::variable::record_bytes;
use super::{FixedStore, SurvivingStore, VariableStore};
use crate::error::Result;
use crate::state::archive::{self, RecordKey, StateValue};
use crate::state::arena::BlockRef;
use crate::state::block_set::BlockSet;
use crate::state::piece::{FixedShape, corrupt, read_variable_record};
use crate::state::sealed::Epoch;
use crate::state::undo::UndoLog;

impl<R: RecordKey, V: StateValue> FixedStore<R, V> {
    /// Takes up what an earlier process left, and takes back what it did after the barrier.
    pub(super) fn resume(&mut self, left: SurvivingStore, barrier: Epoch) -> Result<()> {
        self.table.resume(left.table, left.table_sum)?;
        let stride = Self::SHAPE.stride();
        let undo = UndoLog::surviving(&left.undo, barrier.0, left.undo_sum, |_| Ok(stride))?;
        for epoch in undo {
            let [created, changed] = epoch.records;
            self.for_each_undo(&created, |store, wanted, _| {
                if let Some((home, slot)) = store.find(wanted) {
                    store.table.remove(home, slot);
                }
                Ok(())
            })?;
            self.for_each_undo(&changed, |store, wanted, value| {
                if let Some((home, slot)) = store.find(wanted) {
                    store.table.take_back(home, slot);
                }
                store.restore_record(wanted, &archive::checked_fixed::<V>(value)?)
            })?;
        }
        self.table.end_resume(|_| {})?;
        if let Some(undo) = &mut self.epochs.undo {
            undo.reuse(left.undo);
        }
        Ok(())
    }

    /// Calls `apply` with where each record belongs, and its value, a stage of records at a time.
    fn for_each_undo(
        &mut self,
        chunks: &[&[u8]],
        mut apply: impl FnMut(&mut Self, &Wanted<R, V>, &[u8]) -> Result<()>,
    ) -> Result<()> {
        let mut records = Self::undo_records(chunks);
        let mut staged = Vec::with_capacity(STAGE_KEYS);
        loop {
            staged.clear();
            for (key, value) in records.by_ref().take(STAGE_KEYS) {
                let wanted = self.locate(R::checked_fixed(key)?)?;
                self.table.prefetch(wanted.group, wanted.hash);
                staged.push((wanted, value));
            }
            if staged.is_empty() {
                return Ok(());
            }
            for (wanted, value) in &staged {
                apply(self, wanted, value)?;
            }
        }
    }

    fn undo_records<'a>(chunks: &[&'a [u8]]) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        let FixedShape {
            key_bytes,
            value_bytes,
        } = Self::SHAPE;
        let records = chunks
            .iter()
            .flat_map(|chunk| chunk.chunks_exact(Self::SHAPE.stride()));
        records.map(move |record| {
            let (key, rest) = record.split_at(key_bytes);
            (key, &rest[..value_bytes])
        })
    }
}

impl<R: RecordKey, V: StateValue> VariableStore<R, V> {
    /// Takes up what an earlier process left, and takes back what it did after the barrier.
    pub(super) fn resume(&mut self, left: SurvivingStore, barrier: Epoch) -> Result<()> {
        self.table.resume(left.table, left.table_sum)?;
        let blocks = self.heap.resume(left.heap)?;
        self.check_blocks(blocks)?;
        let undo = UndoLog::surviving(&left.undo, barrier.0, left.undo_sum, |bytes| {
            Ok(read_variable_record(bytes)?.bytes)
        })?;
        for epoch in undo {
            let [created, changed] = epoch.records;
            for chunk in created.into_iter().chain(changed) {
                let mut rest = chunk;
                while !rest.is_empty() {
                    let record = read_variable_record(rest)?;
                    self.take_back(record.key)?;
                    self.restore_record(record.key, record.value)?;
                    rest = rest.get(record.bytes..).unwrap_or_default();
                }
            }
        }
        let heap = &mut self.heap;
        self.table
            .end_resume(|block| heap.settle(BlockRef::from_bits(*block)))?;
        if let Some(undo) = &mut self.epochs.undo {
            undo.reuse(left.undo);
        }
        Ok(())
    }

    /// Checks that every record has a block of its own to lie in, and that what the process had not touched since is what
    /// it was. Blocks that no record lies in are freed: their process was killed between the two steps of an insertion or
    /// a removal.
    fn check_blocks(&mut self, mut in_use: BlockSet) -> Result<()> {
        let heap = &self.heap;
        let mut live_bytes = 0;
        self.table.visit_resumed(|block, is_left| {
            let block = BlockRef::from_bits(*block);
            if !in_use.remove(block) {
                return Err(corrupt("a record has no block of its own in the heap"));
            }
            heap.check_bounds(block)?;
            live_bytes += record_bytes(heap, block);
            if is_left {
                Ok(())
            } else {
                heap.check_content(block)
            }
        })?;
        self.live_bytes = live_bytes;
        for block in in_use.iter() {
            self.heap.remove(block);
        }
        Ok(())
    }

    /// A record is about to be given the value that it had, if it is there.
    fn take_back(&mut self, key: &[u8]) -> Result<()> {
        let mut buffer = self.take_buffer();
        buffer.extend_from_slice(key);
        R::check(&buffer)?;
        let located = self.locate(&buffer)?;
        if let Some(found) = self.find(located, key) {
            self.table.take_back(found.home, found.slot);
        }
        self.buffer = buffer;
        Ok(())
    }

    /// Makes a record what it was; nothing when it was not there.
    pub(super) fn restore_record(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<()> {
        let mut buffer = self.take_buffer();
        buffer.extend_from_slice(key);
        R::check(&buffer)?;
        let located = self.locate(&buffer)?;
        let found = self.find(located, key);
        match (found, value) {
            (Some(found), None) => self.remove_found(found),
            (None, None) => {}
            (found, Some(value)) => {
                buffer.clear();
                buffer.extend_from_slice(value);
                archive::check::<V>(&buffer)?;
                match found {
                    Some(found) => {
                        let block = self.replace_value(found, &buffer)?;
                        self.heap.settle(block);
                    }
                    None => self.restore_bytes(located, key, &buffer)?,
                }
            }
        }
        self.buffer = buffer;
        Ok(())
    }
}
