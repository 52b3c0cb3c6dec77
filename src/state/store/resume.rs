//! Taking up what a process that was killed left of a store, and taking back what no checkpoint covers.

use super::variable::record_bytes;
use super::{FixedStore, SurvivingStore, VariableStore};
use crate::error::Result;
use crate::state::archive::{self, RecordKey, StateValue};
use crate::state::arena::BlockRef;
use crate::state::piece::{FixedShape, corrupt, read_variable_record};
use crate::state::sealed::Epoch;
use crate::state::table::Cursor;
use crate::state::undo::UndoLog;

impl<R: RecordKey, V: StateValue> FixedStore<R, V> {
    /// Takes up what an earlier process left, and takes back what it did after the barrier.
    pub(super) fn resume(&mut self, left: SurvivingStore, barrier: Epoch) -> Result<()> {
        self.table.resume(left.table)?;
        for epoch in UndoLog::surviving(&left.undo, barrier.0)? {
            let [created, changed] = epoch.records;
            for record in Self::undo_records(&created) {
                let wanted = self.locate(R::checked_fixed(record.0)?)?;
                if let Some((home, slot)) = self.find(&wanted) {
                    self.table.remove(home, slot);
                }
            }
            for (key, value) in Self::undo_records(&changed) {
                let wanted = self.locate(R::checked_fixed(key)?)?;
                self.restore_record(&wanted, &archive::checked_fixed::<V>(value)?)?;
            }
        }
        self.table.check(|key, value| {
            archive::checked_fixed::<V>(value)?;
            let wanted = self.locate(R::checked_fixed(key)?)?;
            Ok((wanted.group, wanted.hash))
        })?;
        if let Some(undo) = &mut self.undo {
            undo.reuse(left.undo);
        }
        Ok(())
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
        self.table.resume(left.table)?;
        let blocks = self.heap.resume(left.heap)?;
        self.check_blocks(blocks)?;
        for epoch in UndoLog::surviving(&left.undo, barrier.0)? {
            let [created, changed] = epoch.records;
            for chunk in created.into_iter().chain(changed) {
                let mut rest = chunk;
                while !rest.is_empty() {
                    let record = read_variable_record(rest)?;
                    self.restore_record(record.key, record.value)?;
                    rest = rest.get(record.bytes..).unwrap_or_default();
                }
            }
        }
        let (heap, ownership) = (&self.heap, self.ownership);
        self.table.check(|hash, block| {
            let bits = block.first_chunk().copied().unwrap_or_default();
            let block = BlockRef::from_bits(u64::from_ne_bytes(bits));
            heap.check_content(block)?;
            let hashes = R::hashes(heap.key_bytes(block));
            if hashes.record.to_ne_bytes() != *hash {
                return Err(corrupt("a record's hash is not that of its key"));
            }
            Ok((ownership.own_group(hashes.group)?, hashes.record))
        })?;
        if let Some(undo) = &mut self.undo {
            undo.reuse(left.undo);
        }
        Ok(())
    }

    /// Checks that every record has a block of its own to lie in. Blocks that none lies in are freed: their process was
    /// killed between the two steps of an insertion or a removal.
    fn check_blocks(&mut self, in_use: Vec<BlockRef>) -> Result<()> {
        let heap = &self.heap;
        let mut referred = Vec::with_capacity(in_use.len());
        let mut live_bytes = 0;
        let mut cursor = Cursor::default();
        while self.table.visit_next(&mut cursor, |_, block| {
            heap.check_bounds(BlockRef::from_bits(*block))?;
            referred.push(*block);
            live_bytes += record_bytes(heap, BlockRef::from_bits(*block));
            Ok(())
        })? {}
        self.live_bytes = live_bytes;
        if referred.len() == in_use.len() {
            return Ok(());
        }
        referred.sort_unstable();
        if referred.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(corrupt("two records lie in one block"));
        }
        for block in in_use {
            if referred.binary_search(&block.to_bits()).is_err() {
                self.heap.remove(block);
            }
        }
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
                    Some(found) => self.replace_value(found, &buffer)?,
                    None => self.restore_bytes(located, key, &buffer)?,
                }
            }
        }
        self.buffer = buffer;
        Ok(())
    }
}
