//! Sub-tables: a header of one cache line that says which sub-table it is, and then the buckets.
//!
//! ```text
//! offset  size  content
//! 0       4     "FMst"
//! 4       4     size of the sub-table in bytes
//! 8       2     key group
//! 10      2     depth: how many bits of the position it stands for
//! 12      4     0 while it is built or when it is free, "used" when it is in use
//! 16      8     the first position that belongs to it
//! 24      8     XXH3 of bytes 0 to 12 and 16 to 24
//! ```
//!
//! The last of these stands for the sub-table in the ledger's sum of all that are in use, and is what the checks of its
//! buckets begin with.

use std::marker::PhantomData;
use std::ptr::NonNull;

use super::super::arena::{Arena, BlockRef};
use super::super::piece::corrupt;
use super::bucket::{BUCKET_BYTES, Bucket, Flags, Parity, Slot};
use super::record_check::empty_check;
use crate::error::Result;
use crate::model::hash_key;

/// A sub-table grows up to this size, and is split from then on.
pub(super) const SUB_TABLE_BYTES_MAX: usize = 32 << 10;

/// So many bits tell its buckets apart.
pub(super) const BUCKET_BITS: u32 = (SUB_TABLE_BYTES_MAX / BUCKET_BYTES).trailing_zeros();

/// The smallest sub-table has one bucket.
pub(super) const SUB_TABLE_BYTES_MIN: usize = HEADER_BYTES + BUCKET_BYTES;

const HEADER_BYTES: usize = 64;

/// So many buckets are asked for ahead of the one that is verified: the processor does not look beyond a page by itself.
const VERIFY_AHEAD: usize = 64;
const MAGIC: [u8; 4] = *b"FMst";
const IN_USE_OFFSET: usize = 12;
const IN_USE: u32 = u32::from_le_bytes(*b"used");
const CHECKSUM_OFFSET: usize = 24;

/// Which records a sub-table holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// The key group.
    pub(super) group: u16,
    /// How many bits of the position are the same in all its records.
    pub(super) depth: u32,
    /// The first position that belongs to it.
    pub(super) position: u64,
}

/// One block of the table's arena. The handle is copied about; the table frees the block only after the last copy has
/// left its directories.
pub(in crate::state) struct SubTable<K, V> {
    start: NonNull<u8>,
    buckets: u32,
    /// The number under which the table keeps what is seldom needed of it.
    pub(super) number: u32,
    _types: PhantomData<(K, V)>,
}

impl<K, V> Clone for SubTable<K, V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K, V> Copy for SubTable<K, V> {}

impl<K, V> SubTable<K, V> {
    /// An empty sub-table of `bytes` (64 times a power of two), which is not in use yet. With `checks`, its buckets have
    /// their checks.
    pub(super) fn allocate(
        arena: &mut Arena,
        bytes: usize,
        place: Place,
        number: u32,
        checks: bool,
    ) -> Result<(Self, BlockRef)> {
        let block = arena.allocate(bytes)?;
        arena.begin_change();
        let content = arena.slice_mut(block, 0, bytes);
        content.fill(0);
        content[..32].copy_from_slice(&header_line(bytes, place));
        arena.end_change();
        // SAFETY: the block was just allocated with so many bytes, and filled.
        let sub_table: Self = unsafe { Self::at(arena.pointer(block), bytes, number) };
        if checks {
            let checksum = sub_table.checksum();
            for number in 0..sub_table.buckets {
                let check = empty_check(checksum, number);
                sub_table.bucket(number).set_flags(Flags::empty(check));
            }
        }
        Ok((sub_table, block))
    }

    /// The sub-table at this address.
    ///
    /// # Safety
    /// There must be `bytes` bytes of a sub-table of these types, aligned to 64 and initialised, alive as long as the
    /// handle is used.
    unsafe fn at(start: NonNull<u8>, bytes: usize, number: u32) -> Self {
        Self {
            start,
            buckets: ((bytes - HEADER_BYTES) / BUCKET_BYTES) as u32,
            number,
            _types: PhantomData,
        }
    }

    /// How many bytes it takes.
    pub(super) fn bytes(self) -> usize {
        HEADER_BYTES + self.buckets as usize * BUCKET_BYTES
    }

    /// What lies in this block of an arena that an earlier process filled; nothing when it is not a sub-table in use, or
    /// not whole.
    pub(super) fn resume(arena: &Arena, block: BlockRef, number: u32) -> Option<(Self, Place)> {
        let line = arena.slice(block, 0, 32);
        let bytes = checked_size(line)?;
        if !arena.contains(block, bytes) {
            return None;
        }
        let place = Place {
            group: u16::from_le_bytes([line[8], line[9]]),
            depth: u32::from(u16::from_le_bytes([line[10], line[11]])),
            position: u64::from_le_bytes(*line[16..].first_chunk()?),
        };
        // SAFETY: the arena has so many bytes there, initialised and aligned to 64.
        let sub_table = unsafe { Self::at(arena.pointer(block), bytes, number) };
        Some((sub_table, place))
    }

    /// Looks at what an earlier process left: counts the records, compares each bucket with its check, and has what was
    /// touched, in whichever epoch, count as touched in that of `parity`. `on_touched` is called with each bucket where
    /// anything was.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::Corrupt`] when a bucket is not what the process left.
    pub(super) fn verify(
        self,
        parity: Parity,
        mut on_touched: impl FnMut(Bucket<K, V>),
    ) -> Result<u32> {
        let mut records = 0;
        let checksum = self.checksum();
        for number in 0..self.buckets {
            let bucket = self.bucket(number);
            bucket.prefetch_ahead(VERIFY_AHEAD);
            let flags = bucket.flags();
            let check = bucket.check_of_records();
            if check.map(|check| check ^ empty_check(checksum, number)) != Some(flags.check()) {
                return Err(corrupt("a bucket is not what its check says"));
            }
            let occupied = flags.occupied();
            records += occupied.count_ones();
            let touched = occupied & !flags.untouched();
            let plain = flags.with_all_touched(touched, parity);
            if plain != flags {
                bucket.set_flags(plain);
            }
            if touched != 0 {
                on_touched(bucket);
            }
        }
        Ok(records)
    }

    /// What stands for it in the ledger.
    pub(super) fn checksum(self) -> u64 {
        // SAFETY: within the header, aligned to eight.
        unsafe { self.start.add(CHECKSUM_OFFSET).cast::<u64>().read() }
    }

    /// How many records one of this size would hold if it were full.
    pub(super) const fn slots_in(bytes: usize) -> u32 {
        ((bytes - HEADER_BYTES) / BUCKET_BYTES) as u32 * Bucket::<K, V>::SLOTS
    }

    /// How many records it would hold if it were full.
    #[inline]
    pub(super) fn slots(self) -> u32 {
        self.buckets * Bucket::<K, V>::SLOTS
    }

    /// Says, in one store, whether it is in use.
    pub(super) fn set_in_use(self, in_use: bool) {
        // SAFETY: within the header, aligned to four; the table has one owner.
        unsafe {
            self.start
                .add(IN_USE_OFFSET)
                .cast::<u32>()
                .write_volatile(if in_use { IN_USE } else { 0 });
        }
    }

    /// The bucket that a record with this hash belongs to.
    #[inline(always)]
    pub(super) fn home(self, hash: u64) -> Bucket<K, V> {
        self.bucket(self.home_number(hash))
    }

    /// The record with these key bytes for which `confirm` says yes, when its home bucket is this one.
    #[inline(always)]
    pub(super) fn find(
        self,
        hash: u64,
        home: Bucket<K, V>,
        key: &K,
        confirm: impl Fn(&V) -> bool,
    ) -> Option<Slot<K, V>> {
        let flags = home.flags();
        if let Some(slot) = find_in(home, flags, key, &confirm) {
            return Some(slot);
        }
        if !flags.overflowed() {
            return None;
        }
        self.find_beyond(hash, key, &confirm)
    }

    /// Puts a record that is not there yet into the first free slot. There must be one. With `checks`, it is in the
    /// bucket's check.
    pub(super) fn insert(self, hash: u64, key: &K, value: &V, checks: bool) -> Slot<K, V> {
        let mut number = self.home_number(hash);
        loop {
            let bucket = self.bucket(number);
            let flags = bucket.flags();
            let index = flags.occupied().trailing_ones();
            if index < Bucket::<K, V>::SLOTS {
                let slot = bucket.slot(index);
                slot.fill(key, value);
                // The record counts once it is whole, even for who finds the memory after a crash.
                std::sync::atomic::compiler_fence(std::sync::atomic::Ordering::SeqCst);
                let check = if checks { slot.check() } else { 0 };
                bucket.set_flags(flags.with_occupied(index).with_check_changed(check));
                return slot;
            }
            bucket.set_flags(flags.with_overflowed());
            number = self.after(number);
        }
    }

    /// Calls `visit` with each record's slot.
    pub(super) fn for_each(self, mut visit: impl FnMut(Slot<K, V>)) {
        for number in 0..self.buckets {
            let bucket = self.bucket(number);
            let mut occupied = bucket.flags().occupied();
            while occupied != 0 {
                visit(bucket.slot(occupied.trailing_zeros()));
                occupied &= occupied - 1;
            }
        }
    }

    /// Calls `visit` with the slot of each record touched in the epoch of this parity, which then no longer counts as
    /// touched.
    #[inline(always)]
    pub(super) fn take_touched(
        self,
        parity: Parity,
        checks: bool,
        mut visit: impl FnMut(Slot<K, V>) -> Result<()>,
    ) -> Result<()> {
        for number in 0..self.buckets {
            let bucket = self.bucket(number);
            bucket.take_touched(parity, checks, &mut visit)?;
        }
        Ok(())
    }

    /// Calls `visit` with the slot of each record that was not touched in the epoch of this parity. None counts as touched
    /// in the epoch before any more; with `checks`, all of these are in the check again.
    #[inline(always)]
    pub(super) fn take_untouched(
        self,
        parity: Parity,
        checks: bool,
        mut visit: impl FnMut(Slot<K, V>) -> Result<()>,
    ) -> Result<()> {
        for number in 0..self.buckets {
            self.bucket(number)
                .take_untouched(parity, checks, &mut visit)?;
        }
        Ok(())
    }

    /// Which of its buckets this is.
    #[inline(always)]
    pub(super) fn number_of(self, bucket: Bucket<K, V>) -> u32 {
        ((bucket.address() - self.start.addr().get() - HEADER_BYTES) / BUCKET_BYTES) as u32
    }

    /// The bucket with this number, if there are so many.
    #[inline(always)]
    pub(super) fn bucket_at(self, number: u32) -> Option<Bucket<K, V>> {
        (number < self.buckets).then(|| self.bucket(number))
    }

    #[cold]
    #[inline(never)]
    fn find_beyond(self, hash: u64, key: &K, confirm: &impl Fn(&V) -> bool) -> Option<Slot<K, V>> {
        let mut number = self.home_number(hash);
        for _ in 1..self.buckets {
            number = self.after(number);
            let bucket = self.bucket(number);
            let flags = bucket.flags();
            if let Some(slot) = find_in(bucket, flags, key, confirm) {
                return Some(slot);
            }
            if !flags.overflowed() {
                return None;
            }
        }
        None
    }

    /// By the hash's low half: its high bits say which sub-table it is.
    #[inline(always)]
    fn home_number(self, hash: u64) -> u32 {
        ((u64::from(hash as u32) * u64::from(self.buckets)) >> 32) as u32
    }

    #[inline(always)]
    fn after(self, number: u32) -> u32 {
        if number + 1 == self.buckets {
            0
        } else {
            number + 1
        }
    }

    #[inline(always)]
    fn bucket(self, number: u32) -> Bucket<K, V> {
        debug_assert!(number < self.buckets);
        // SAFETY: every caller bounds the number, so the bucket lies within the block, which is initialised (see `at`).
        unsafe {
            Bucket::at(
                self.start
                    .add(HEADER_BYTES + number as usize * BUCKET_BYTES),
            )
        }
    }
}

#[inline(always)]
fn find_in<K, V>(
    bucket: Bucket<K, V>,
    flags: Flags,
    key: &K,
    confirm: &impl Fn(&V) -> bool,
) -> Option<Slot<K, V>> {
    let mut matches = bucket.matches(key) & flags.occupied();
    while matches != 0 {
        let slot = bucket.slot(matches.trailing_zeros());
        if slot.look(confirm) {
            return Some(slot);
        }
        matches &= matches - 1;
    }
    None
}

/// Of what lies at the start of a block: how large the block is, and whether it is in use; nothing when no sub-table was
/// ever made there.
///
/// # Errors
/// [`crate::error::ErrorKind::Corrupt`] when it is something else.
pub(super) fn block_at(bytes: &[u8]) -> Result<Option<(usize, bool)>> {
    let Some(line) = bytes.get(..32) else {
        return Ok(None);
    };
    if line.iter().all(|&byte| byte == 0) {
        return Ok(None);
    }
    let size = checked_size(line).ok_or_else(|| corrupt("the header of a sub-table is damaged"))?;
    match u32::from_le_bytes([line[12], line[13], line[14], line[15]]) {
        0 => Ok(Some((size, false))),
        IN_USE => Ok(Some((size, true))),
        _ => Err(corrupt("a sub-table does not say whether it is in use")),
    }
}

/// The size that a header's first line says, if it is whole.
fn checked_size(line: &[u8]) -> Option<usize> {
    let size = u32::from_le_bytes(*line[4..].first_chunk()?) as usize;
    let checksum = u64::from_le_bytes(*line[24..].first_chunk()?);
    let is_size =
        (SUB_TABLE_BYTES_MIN..=SUB_TABLE_BYTES_MAX).contains(&size) && size.is_power_of_two();
    (line[..4] == MAGIC && is_size && checksum == line_checksum(line)).then_some(size)
}

fn header_line(bytes: usize, place: Place) -> [u8; 32] {
    let mut line = [0; 32];
    line[0..4].copy_from_slice(&MAGIC);
    line[4..8].copy_from_slice(&(bytes as u32).to_le_bytes());
    line[8..10].copy_from_slice(&place.group.to_le_bytes());
    line[10..12].copy_from_slice(&(place.depth as u16).to_le_bytes());
    line[16..24].copy_from_slice(&place.position.to_le_bytes());
    let checksum = line_checksum(&line);
    line[24..32].copy_from_slice(&checksum.to_le_bytes());
    line
}

/// Without the four bytes that change.
fn line_checksum(line: &[u8]) -> u64 {
    let mut constant = [0; 20];
    constant[..12].copy_from_slice(&line[..12]);
    constant[12..].copy_from_slice(&line[16..24]);
    hash_key(&constant)
}
