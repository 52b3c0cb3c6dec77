//! The arena: blocks of a few sizes, cut out of regions, and taken up again when they are freed.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ptr::NonNull;
use std::rc::Rc;

use super::ledger::{Ledger, Owner};
use super::piece::corrupt;
use super::segment::{Region, SegmentPool};
use crate::error::{Error, ErrorKind, Result};

/// The size of an arena's first extent; each further one is twice as large, up to [`EXTENT_BYTES_MAX`].
const EXTENT_BYTES_MIN: usize = 16 << 10;

/// Reserving an extent takes the kernel well under a millisecond at this size.
const EXTENT_BYTES_MAX: usize = 1 << 20;

/// A block of an arena: the number of its extent, and where in the extent it starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BlockRef(u64);

impl BlockRef {
    /// The block that starts there.
    pub(super) fn new(extent: usize, offset: usize) -> Self {
        Self((extent as u64) << 32 | offset as u64)
    }

    /// The reference as it lies in a slot of the table.
    pub(super) fn to_bits(self) -> u64 {
        self.0
    }

    /// The reverse of [`BlockRef::to_bits`].
    pub(super) fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// The number of its extent.
    pub(super) fn extent(self) -> usize {
        (self.0 >> 32) as usize
    }

    /// Where in its extent it starts.
    pub(super) fn offset(self) -> usize {
        (self.0 & 0xffff_ffff) as usize
    }
}

/// Blocks cut out of regions. Freed blocks are kept by size, and given out again first.
pub(super) struct Arena {
    segments: Rc<RefCell<SegmentPool>>,
    owner: Owner,
    extents: Vec<Region>,
    /// How much of the last extent is given out.
    used: usize,
    alignment: usize,
    next_bytes: usize,
    free: BTreeMap<usize, Vec<BlockRef>>,
    bytes: u64,
}

impl Arena {
    /// An arena without a region yet, whose blocks start at multiples of `alignment` (a power of two).
    pub(super) fn new(segments: Rc<RefCell<SegmentPool>>, owner: Owner, alignment: usize) -> Self {
        Self {
            segments,
            owner,
            extents: Vec::new(),
            used: 0,
            alignment,
            next_bytes: EXTENT_BYTES_MIN,
            free: BTreeMap::new(),
            bytes: 0,
        }
    }

    /// Takes up the extents of an earlier process, in the order in which they were made. `block_at` says of what lies at
    /// an address with so many bytes behind it how large the block there is and whether it is in use; nothing where no
    /// block was ever made. Gives the blocks in use.
    pub(super) fn resume(
        &mut self,
        extents: Vec<Region>,
        block_at: impl Fn(&[u8]) -> Result<Option<(usize, bool)>>,
    ) -> Result<Vec<(BlockRef, usize)>> {
        let mut in_use = Vec::new();
        self.next_bytes = EXTENT_BYTES_MAX;
        for (number, extent) in extents.iter().enumerate() {
            let content = extent.as_slice();
            let mut offset = 0;
            while offset < content.len() {
                let Some((bytes, is_in_use)) = block_at(&content[offset..])? else {
                    break;
                };
                if bytes == 0
                    || !bytes.is_multiple_of(self.alignment)
                    || bytes > content.len() - offset
                {
                    return Err(corrupt("a block reaches beyond its extent"));
                }
                let block = BlockRef::new(number, offset);
                if is_in_use {
                    self.bytes += bytes as u64;
                    in_use.push((block, bytes));
                } else {
                    self.free.entry(bytes).or_default().push(block);
                }
                offset += bytes;
            }
            self.used = offset;
        }
        self.extents = extents;
        Ok(in_use)
    }

    /// What follows must be whole for a later process: one that is killed before [`Arena::end_change`] leaves segments
    /// that are of no use.
    pub(super) fn begin_change(&self) {
        self.with_ledger(Ledger::begin_change);
    }

    /// The structure is whole again.
    pub(super) fn end_change(&self) {
        self.with_ledger(Ledger::end_change);
    }

    /// Changes the ledger's sum of what is in use here.
    pub(super) fn change_sum(&self, by: u64) {
        self.with_ledger(|ledger| ledger.change_sum(self.owner, by));
    }

    fn with_ledger(&self, change: impl FnOnce(&mut Ledger)) {
        if let Ok(mut pool) = self.segments.try_borrow_mut()
            && let Some(ledger) = pool.ledger()
        {
            change(ledger);
        }
    }

    /// A block of `bytes`, a multiple of the alignment. Its content is whatever lay there before.
    pub(super) fn allocate(&mut self, bytes: usize) -> Result<BlockRef> {
        debug_assert!(bytes.is_multiple_of(self.alignment));
        self.bytes += bytes as u64;
        if let Some(block) = self.free.get_mut(&bytes).and_then(Vec::pop) {
            return Ok(block);
        }
        let room = self
            .extents
            .last()
            .map_or(0, |extent| extent.len() - self.used);
        if room < bytes {
            self.grow(bytes)?;
        }
        let block = BlockRef::new(self.extents.len() - 1, self.used);
        self.used += bytes;
        Ok(block)
    }

    /// Takes back a block that was allocated with `bytes`.
    pub(super) fn free(&mut self, block: BlockRef, bytes: usize) {
        self.bytes -= bytes as u64;
        self.free.entry(bytes).or_default().push(block);
    }

    /// Whether so many bytes from the start of a block on lie in the arena.
    pub(super) fn contains(&self, block: BlockRef, bytes: usize) -> bool {
        let extent = self.extents.get(block.extent());
        extent.is_some_and(|extent| {
            block.offset().is_multiple_of(self.alignment)
                && block.offset() < extent.len()
                && bytes <= extent.len() - block.offset()
        })
    }

    /// How many bytes are in blocks that are in use.
    pub(super) fn bytes_in_use(&self) -> u64 {
        self.bytes
    }

    /// The address of a block, valid as long as the arena lives.
    pub(super) fn pointer(&self, block: BlockRef) -> NonNull<u8> {
        self.extents[block.extent()].pointer(block.offset())
    }

    /// `bytes` bytes of a block, from `offset` on.
    #[inline]
    pub(super) fn slice(&self, block: BlockRef, offset: usize, bytes: usize) -> &[u8] {
        let start = block.offset() + offset;
        &self.extents[block.extent()].as_slice()[start..start + bytes]
    }

    /// `bytes` bytes of a block, from `offset` on, to be written.
    #[inline]
    pub(super) fn slice_mut(&mut self, block: BlockRef, offset: usize, bytes: usize) -> &mut [u8] {
        let start = block.offset() + offset;
        &mut self.extents[block.extent()].as_mut_slice()[start..start + bytes]
    }

    fn grow(&mut self, bytes: usize) -> Result<()> {
        if u32::try_from(bytes).is_err() {
            return Err(Error::new(
                ErrorKind::Data,
                format!("a record of {bytes} bytes is larger than 4 GiB"),
            ));
        }
        let extent = self
            .segments
            .try_borrow_mut()
            .map_err(|_| Error::new(ErrorKind::Bug, "the segment pool is used twice at once"))?
            .region(self.next_bytes.max(bytes), self.owner)?;
        self.extents.push(extent);
        self.used = 0;
        self.next_bytes = (self.next_bytes * 2).min(EXTENT_BYTES_MAX);
        Ok(())
    }
}
