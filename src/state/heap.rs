//! The heap: blocks that hold a key and a value of varying size, as rkyv archived them.
//!
//! ```text
//! offset  size                  content
//! 0       4                     length of the key
//! 4       4                     length of the value
//! 8       4                     size of the block
//! 12      4                     1 when the block is in use, else 0
//! 16      length of the key     key, then zeros up to a multiple of 16
//! ...     length of the value   value
//! ```

use std::cell::RefCell;
use std::marker::PhantomData;
use std::rc::Rc;
use std::sync::atomic::{Ordering, compiler_fence};

use rkyv::Archived;
use rkyv::seal::Seal;

use super::archive::{self, ARCHIVE_ALIGNMENT, RecordKey, StateValue};
use super::arena::{Arena, BlockRef};
use super::ledger::Owner;
use super::piece::corrupt;
use super::segment::{Region, SegmentPool};
use super::table::prefetch;
use crate::error::{Error, ErrorKind, Result};

const HEADER_BYTES: usize = 16;
const IN_USE: usize = 12;

/// Blocks of one state's records.
///
/// What allows using a block's content where it lies: all of it was archived by [`RecordKey::append`] and
/// [`archive::append`], or passed [`RecordKey::check`] and [`archive::check`] when it was restored. The variable store
/// is the only writer, and passes in nothing else.
pub(super) struct Heap<R, V> {
    arena: Arena,
    _types: PhantomData<(R, V)>,
}

impl<R: RecordKey, V: StateValue> Heap<R, V> {
    /// An empty heap.
    pub(super) fn new(segments: Rc<RefCell<SegmentPool>>, owner: Owner) -> Self {
        Self {
            arena: Arena::new(segments, owner, ARCHIVE_ALIGNMENT),
            _types: PhantomData,
        }
    }

    /// Takes up the blocks of an earlier process; gives those in use. What lies in one must not be looked at
    /// before it has passed [`Heap::check_bounds`] and [`Heap::check_content`].
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`].
    pub(super) fn resume(&mut self, extents: Vec<Region>) -> Result<Vec<BlockRef>> {
        let blocks = self.arena.resume(extents, |bytes| {
            let word = |at| match bytes.get(at..).and_then(|bytes| bytes.first_chunk()) {
                Some(bytes) => u32::from_le_bytes(*bytes),
                None => 0,
            };
            let block_bytes = word(8) as usize;
            Ok((block_bytes > 0).then_some((block_bytes, word(IN_USE) != 0)))
        })?;
        Ok(blocks.into_iter().map(|(block, _)| block).collect())
    }

    /// Whether a block is one in use that its record lies in. Without that, it must not be looked at.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] when it is not.
    pub(super) fn check_bounds(&self, block: BlockRef) -> Result<()> {
        if !self.arena.contains(block, HEADER_BYTES) {
            return Err(corrupt("a record lies outside its heap"));
        }
        let (key_bytes, value_bytes, block_bytes) = self.header(block);
        let in_use = *self.arena.slice(block, IN_USE, 4) == 1_u32.to_le_bytes();
        let fits = value_start(key_bytes) + value_bytes <= block_bytes;
        if !in_use || !fits || !self.arena.contains(block, block_bytes) {
            return Err(corrupt("a record of the heap is not whole"));
        }
        Ok(())
    }

    /// Whether a block's key and value have the form of their types.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] when they do not.
    pub(super) fn check_content(&self, block: BlockRef) -> Result<()> {
        R::check(self.key_bytes(block))?;
        archive::check::<V>(self.value_bytes(block))
    }

    /// Puts a record into a new block.
    pub(super) fn insert(&mut self, key: &[u8], value: &[u8]) -> Result<BlockRef> {
        let value_start = value_start(key.len());
        let bytes = size_class(value_start + value.len());
        let too_large = |_| Error::new(ErrorKind::Data, "a record is larger than 4 GiB");
        let header = [
            u32::try_from(key.len()).map_err(too_large)?,
            u32::try_from(value.len()).map_err(too_large)?,
            u32::try_from(bytes).map_err(too_large)?,
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
        self.set_in_use(block, true);
        Ok(block)
    }

    /// Replaces the value of a record. When its block is too small, the record is also in another block then, which is
    /// given; the caller removes this one.
    pub(super) fn replace_value(&mut self, block: BlockRef, value: &[u8]) -> Result<BlockRef> {
        let (key_bytes, _, block_bytes) = self.header(block);
        let value_start = value_start(key_bytes);
        if value_start + value.len() <= block_bytes {
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
        let (_, _, block_bytes) = self.header(block);
        self.set_in_use(block, false);
        self.arena.free(block, block_bytes);
    }

    fn set_in_use(&mut self, block: BlockRef, in_use: bool) {
        compiler_fence(Ordering::SeqCst);
        self.arena
            .slice_mut(block, IN_USE, 4)
            .copy_from_slice(&u32::from(in_use).to_le_bytes());
        compiler_fence(Ordering::SeqCst);
    }

    /// The archived bytes of a record's key.
    #[inline]
    pub(super) fn key_bytes(&self, block: BlockRef) -> &[u8] {
        let (key_bytes, _, _) = self.header(block);
        self.arena.slice(block, HEADER_BYTES, key_bytes)
    }

    /// The archived bytes of a record's value.
    #[inline]
    pub(super) fn value_bytes(&self, block: BlockRef) -> &[u8] {
        let (key_bytes, value_bytes, _) = self.header(block);
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
        let (key_bytes, value_bytes, _) = self.header(block);
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

    /// The lengths of the key and the value, and the size of the block.
    #[inline]
    fn header(&self, block: BlockRef) -> (usize, usize, usize) {
        let header = self.arena.slice(block, 0, HEADER_BYTES);
        let number = |at: usize| {
            u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
                as usize
        };
        (number(0), number(4), number(8))
    }
}

fn value_start(key_bytes: usize) -> usize {
    HEADER_BYTES + key_bytes.next_multiple_of(ARCHIVE_ALIGNMENT)
}

/// Blocks come in few sizes, so that a freed one fits again soon: steps of an eighth of the next power of two.
fn size_class(bytes: usize) -> usize {
    let step = (bytes.next_power_of_two() / 8).max(ARCHIVE_ALIGNMENT);
    bytes.next_multiple_of(step)
}
