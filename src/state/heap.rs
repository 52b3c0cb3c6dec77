//! The heap: blocks that hold a key and a value of varying size, as rkyv archived them.
//!
//! ```text
//! offset  size                  content
//! 0       4                     length of the key
//! 4       4                     length of the value
//! 8       4                     check of the lengths, the key and the value
//! 12      4                     size of the block and whether it is in use, with a check of their own
//! 16      length of the key     key, then zeros up to a multiple of 16
//! ...     length of the value   value
//! ```
//!
//! The check of the content is kept when a later process may take the heap up. It is right as long as the record is in
//! the check of its bucket of the table: when it is touched its value may change, and when it is gathered, the block is
//! settled before the bucket counts it again.
//!
//! A block's size is `m << e` with `m` up to 8. From the lowest bit on, the last four bytes of a header are `m` in 4 bits,
//! `e` in 5, whether the block is in use in one, and the check of these in 22.

use std::cell::RefCell;
use std::marker::PhantomData;
use std::rc::Rc;
use std::sync::atomic::{Ordering, compiler_fence};

use rkyv::Archived;
use rkyv::seal::Seal;

use super::archive::{self, ARCHIVE_ALIGNMENT, RecordKey, StateValue};
use super::arena::{Arena, BlockRef};
use super::block_set::BlockSet;
use super::ledger::Owner;
use super::piece::corrupt;
use super::segment::{Region, SegmentPool};
use super::table::{prefetch, record_check};
use crate::error::{Error, ErrorKind, Result};
use crate::model::hash_key;

const HEADER_BYTES: usize = 16;
const CHECK: usize = 8;
const MARK: usize = 12;

/// Blocks of one state's records.
///
/// What allows using a block's content where it lies: all of it was archived by [`RecordKey::append`] and
/// [`archive::append`], or passed [`RecordKey::check`] and [`archive::check`] when it was restored, or is what an earlier
/// process had settled. The variable store is the only writer, and passes in nothing else.
pub(super) struct Heap<R, V> {
    arena: Arena,
    /// Whether blocks have their checks, for a later process.
    checks: bool,
    _types: PhantomData<(R, V)>,
}

impl<R: RecordKey, V: StateValue> Heap<R, V> {
    /// An empty heap. With `checks`, each block has its check.
    pub(super) fn new(segments: Rc<RefCell<SegmentPool>>, owner: Owner, checks: bool) -> Self {
        Self {
            arena: Arena::new(segments, owner, ARCHIVE_ALIGNMENT),
            checks,
            _types: PhantomData,
        }
    }

    /// Takes up the blocks of an earlier process; gives those in use. What lies in one must not be looked at
    /// before it has passed [`Heap::check_bounds`].
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`].
    pub(super) fn resume(&mut self, extents: Vec<Region>) -> Result<BlockSet> {
        let blocks = self.arena.resume(extents, |bytes| {
            let header = bytes.get(..HEADER_BYTES).unwrap_or_default();
            let mark = header.get(MARK..).and_then(|mark| mark.first_chunk());
            let mark = u32::from_le_bytes(mark.copied().unwrap_or_default());
            // The mark is written last: before it, its process may have been killed at any point of filling the block.
            if mark == 0 {
                return Ok(None);
            }
            block_of(mark)
                .map(Some)
                .ok_or_else(|| corrupt("the header of a block is damaged"))
        })?;
        Ok(blocks.into_iter().map(|(block, _)| block).collect())
    }

    /// Whether a record lies within its block, which must be one of those that [`Heap::resume`] gave.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] when it does not.
    pub(super) fn check_bounds(&self, block: BlockRef) -> Result<()> {
        let (key_bytes, value_bytes) = self.lengths(block);
        if value_start(key_bytes) + value_bytes > self.block_bytes(block) {
            return Err(corrupt("a record of the heap is not whole"));
        }
        Ok(())
    }

    /// Whether a block that passed [`Heap::check_bounds`] is as it was settled.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] when it is not.
    pub(super) fn check_content(&self, block: BlockRef) -> Result<()> {
        if *self.arena.slice(block, CHECK, 4) != self.content_check(block).to_le_bytes() {
            return Err(corrupt("a record of the heap is not what its check says"));
        }
        Ok(())
    }

    /// A block's record is to count in the check of its bucket.
    #[inline]
    pub(super) fn settle(&mut self, block: BlockRef) {
        if self.checks {
            let check = self.content_check(block).to_le_bytes();
            self.arena
                .slice_mut(block, CHECK, 4)
                .copy_from_slice(&check);
            compiler_fence(Ordering::SeqCst);
        }
    }

    fn content_check(&self, block: BlockRef) -> u32 {
        let (key_bytes, value_bytes) = self.lengths(block);
        let end = value_start(key_bytes) + value_bytes;
        let content = self.arena.slice(block, HEADER_BYTES, end - HEADER_BYTES);
        let lengths = self.arena.slice(block, 0, CHECK);
        record_check(lengths, &hash_key(content).to_le_bytes())
    }

    /// Puts a record into a new block.
    pub(super) fn insert(&mut self, key: &[u8], value: &[u8]) -> Result<BlockRef> {
        let value_start = value_start(key.len());
        let bytes = size_class(value_start + value.len());
        let too_large = |_| Error::new(ErrorKind::Data, "a record is larger than 4 GiB");
        let header = [
            u32::try_from(key.len()).map_err(too_large)?,
            u32::try_from(value.len()).map_err(too_large)?,
        ];
        let block = self.arena.allocate(bytes)?;
        let target = self.arena.slice_mut(block, 0, bytes);
        for (target, number) in target.chunks_exact_mut(4).zip(header) {
            target.copy_from_slice(&number.to_le_bytes());
        }
        let key_end = HEADER_BYTES + key.len();
        target[HEADER_BYTES..key_end].copy_from_slice(key);
        target[key_end..value_start].fill(0);
        target[value_start..value_start + value.len()].copy_from_slice(value);
        self.settle(block);
        self.set_mark(block, mark(bytes, true));
        Ok(block)
    }

    /// Replaces the value of a record. When its block is too small, the record is also in another block then, which is
    /// given; the caller removes this one.
    pub(super) fn replace_value(&mut self, block: BlockRef, value: &[u8]) -> Result<BlockRef> {
        let (key_bytes, _) = self.lengths(block);
        let value_start = value_start(key_bytes);
        if value_start + value.len() <= self.block_bytes(block) {
            let length = value.len() as u32;
            self.arena
                .slice_mut(block, 4, 4)
                .copy_from_slice(&length.to_le_bytes());
            self.arena
                .slice_mut(block, value_start, value.len())
                .copy_from_slice(value);
            return Ok(block);
        }
        let key = self.key_bytes(block).to_vec();
        self.insert(&key, value)
    }

    /// Gives the block of a record back.
    pub(super) fn remove(&mut self, block: BlockRef) {
        let block_bytes = self.block_bytes(block);
        self.set_mark(block, mark(block_bytes, false));
        self.arena.free(block, block_bytes);
    }

    /// In one store: a process that is killed leaves the block in use or not.
    fn set_mark(&mut self, block: BlockRef, mark: u32) {
        compiler_fence(Ordering::SeqCst);
        self.arena
            .slice_mut(block, MARK, 4)
            .copy_from_slice(&mark.to_le_bytes());
        compiler_fence(Ordering::SeqCst);
    }

    /// The archived bytes of a record's key.
    #[inline]
    pub(super) fn key_bytes(&self, block: BlockRef) -> &[u8] {
        let (key_bytes, _) = self.lengths(block);
        self.arena.slice(block, HEADER_BYTES, key_bytes)
    }

    /// The archived bytes of a record's value.
    #[inline]
    pub(super) fn value_bytes(&self, block: BlockRef) -> &[u8] {
        let (key_bytes, value_bytes) = self.lengths(block);
        self.arena.slice(block, value_start(key_bytes), value_bytes)
    }

    /// A record's key.
    pub(super) fn key(&self, block: BlockRef) -> R::View<'_> {
        // SAFETY: blocks are aligned to 16, the key starts at offset 16, and the heap holds only keys that were archived
        // or checked (see the type).
        unsafe { R::view(self.key_bytes(block)) }
    }

    /// A record's value.
    pub(super) fn value(&self, block: BlockRef) -> &Archived<V> {
        // SAFETY: the value starts at a multiple of 16, and the heap holds only values that were archived or checked
        // (see the type), or changed since through a `Seal`, which keeps them valid.
        unsafe { archive::access::<V>(self.value_bytes(block)) }
    }

    /// A record's value, to be changed in place.
    #[inline]
    pub(super) fn value_mut(&mut self, block: BlockRef) -> Seal<'_, Archived<V>> {
        let (key_bytes, value_bytes) = self.lengths(block);
        let bytes = self
            .arena
            .slice_mut(block, value_start(key_bytes), value_bytes);
        // SAFETY: as in `value`, and the heap is borrowed mutably.
        unsafe { archive::access_mut::<V>(bytes) }
    }

    /// Asks for a record's first two cache lines.
    #[inline]
    pub(super) fn prefetch(&self, block: BlockRef) {
        let start = self.arena.pointer(block);
        prefetch(start.as_ptr());
        prefetch(start.as_ptr().wrapping_add(64));
    }

    /// How many bytes are in blocks that are in use.
    pub(super) fn bytes_in_use(&self) -> u64 {
        self.arena.bytes_in_use()
    }

    /// The lengths of the key and the value.
    #[inline]
    fn lengths(&self, block: BlockRef) -> (usize, usize) {
        (self.word(block, 0) as usize, self.word(block, 4) as usize)
    }

    /// The size of a block that holds a record, or did.
    fn block_bytes(&self, block: BlockRef) -> usize {
        block_of(self.word(block, MARK)).map_or(0, |(bytes, _)| bytes)
    }

    #[inline]
    fn word(&self, block: BlockRef, offset: usize) -> u32 {
        let bytes = self.arena.slice(block, offset, 4).first_chunk();
        bytes.map_or(0, |bytes| u32::from_le_bytes(*bytes))
    }
}

/// What the last bytes of a block's header say.
fn mark(bytes: usize, is_in_use: bool) -> u32 {
    let exponent = size_step(bytes).trailing_zeros();
    let content = (bytes >> exponent) as u32 | exponent << 4 | u32::from(is_in_use) << 9;
    content | record_check(&content.to_le_bytes(), &[]) << 10
}

/// The size of a block, and whether it is in use; nothing when no block has this mark.
fn block_of(found: u32) -> Option<(usize, bool)> {
    let bytes = ((found & 0xf) as usize) << (found >> 4 & 0x1f);
    let is_in_use = found >> 9 & 1 == 1;
    let is_size = bytes >= ARCHIVE_ALIGNMENT && size_class(bytes) == bytes;
    (is_size && mark(bytes, is_in_use) == found).then_some((bytes, is_in_use))
}

fn value_start(key_bytes: usize) -> usize {
    HEADER_BYTES + key_bytes.next_multiple_of(ARCHIVE_ALIGNMENT)
}

/// Blocks come in few sizes, so that a freed one fits again soon: steps of an eighth of the next power of two.
fn size_class(bytes: usize) -> usize {
    bytes.next_multiple_of(size_step(bytes))
}

fn size_step(bytes: usize) -> usize {
    (bytes.next_power_of_two() / 8).max(ARCHIVE_ALIGNMENT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_says_what_it_was_made_of_and_no_bit_of_it_can_flip() {
        for bytes in (0..40).map(|power| size_class(3 << power >> 2)) {
            if bytes < 16 || u32::try_from(bytes).is_err() {
                continue;
            }
            for is_in_use in [false, true] {
                let mark = mark(bytes, is_in_use);
                assert_eq!(block_of(mark), Some((bytes, is_in_use)));
                for bit in 0..32 {
                    assert_eq!(block_of(mark ^ 1 << bit), None, "{bytes} {bit}");
                }
            }
        }
        assert_eq!(block_of(0), None);
    }
}
