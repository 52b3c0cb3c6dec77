//! Buckets of one cache line, and the sub-tables made of them.
//!
//! ```text
//! offset  content
//! 0       keys[n]
//! ...     values[n], aligned
//! ...     marks[n], 4 bytes each, aligned
//! 60      which slots are occupied, one bit each
//! 61      1 when a record that belongs here had to go on to a later bucket
//! 62      0
//! ```

use std::marker::PhantomData;
use std::ptr::{self, NonNull};
use std::slice;

use super::super::arena::{Arena, BlockRef};
use crate::error::Result;

const BUCKET_BYTES: usize = 64;
const OCCUPIED: usize = 60;
const OVERFLOWED: usize = 61;

/// A sub-table has at most this many buckets: 32 KiB.
pub(super) const BUCKETS_MAX: u32 = 512;

/// How many records a bucket holds: as many as fit, and at most 8.
pub(in crate::state) const fn slots_in_bucket<K, V>() -> usize {
    let mut slots = 8;
    while slots > 0 && marks_offset::<K, V>(slots) + 4 * slots > OCCUPIED {
        slots -= 1;
    }
    slots
}

const fn values_offset<K, V>(slots: usize) -> usize {
    (slots * size_of::<K>()).next_multiple_of(align_of::<V>())
}

const fn marks_offset<K, V>(slots: usize) -> usize {
    (values_offset::<K, V>(slots) + slots * size_of::<V>()).next_multiple_of(4)
}

/// Asks for the cache line of an address; any address will do.
#[inline(always)]
pub(in crate::state) fn prefetch(address: *const u8) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    // SAFETY: a prefetch reads nothing that the program could see, and never faults.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(address.cast());
    }
    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    let _ = address;
}

/// Where a record lies: valid until the table next inserts or removes a record.
pub(in crate::state) struct Slot<K, V> {
    bucket: NonNull<u8>,
    index: u32,
    _types: PhantomData<(K, V)>,
}

impl<K, V> Clone for Slot<K, V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K, V> Copy for Slot<K, V> {}

/// A power of two of buckets in one block of the table's arena. The handle is copied about; the table frees the block
/// only after the last copy has left its directories.
pub(in crate::state) struct SubTable<K, V> {
    buckets: NonNull<u8>,
    mask: u32,
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
    const SLOTS: usize = slots_in_bucket::<K, V>();

    /// An empty sub-table of `buckets` buckets (a power of two).
    pub(super) fn allocate(
        arena: &mut Arena,
        buckets: u32,
        number: u32,
    ) -> Result<(Self, BlockRef)> {
        let bytes = buckets as usize * BUCKET_BYTES;
        let block = arena.allocate(bytes)?;
        arena.slice_mut(block, 0, bytes).fill(0);
        let sub_table = Self {
            buckets: arena.pointer(block),
            mask: buckets - 1,
            number,
            _types: PhantomData,
        };
        Ok((sub_table, block))
    }

    /// How many buckets it has.
    pub(super) fn buckets(self) -> u32 {
        self.mask + 1
    }

    /// How many bytes it takes.
    pub(super) fn bytes(self) -> usize {
        self.buckets() as usize * BUCKET_BYTES
    }

    /// How many records it would hold if it were full.
    pub(super) fn slots(self) -> u32 {
        self.buckets() * Self::SLOTS as u32
    }

    /// Asks for the bucket that a record with this hash belongs to.
    #[inline(always)]
    pub(super) fn prefetch(self, hash: u64) {
        prefetch(self.bucket(self.home(hash)).as_ptr());
    }

    /// The record with these key bytes for which `confirm` says yes.
    #[inline(always)]
    pub(in crate::state) fn find(
        self,
        hash: u64,
        key: &K,
        confirm: impl Fn(&V) -> bool,
    ) -> Option<Slot<K, V>> {
        let mut number = self.home(hash);
        for _ in 0..=self.mask {
            let bucket = self.bucket(number);
            let mut matches = Self::matches(bucket, key) & u32::from(Self::flag(bucket, OCCUPIED));
            while matches != 0 {
                let slot = Slot {
                    bucket,
                    index: matches.trailing_zeros(),
                    _types: PhantomData,
                };
                // SAFETY: the slot is occupied, so it holds a valid value; the sub-table is alive (see the type).
                if confirm(unsafe { slot.value().as_ref() }) {
                    return Some(slot);
                }
                matches &= matches - 1;
            }
            if Self::flag(bucket, OVERFLOWED) == 0 {
                return None;
            }
            number = (number + 1) & self.mask;
        }
        None
    }

    /// Puts a record that is not there yet into the first free slot. There must be one.
    pub(super) fn insert(self, hash: u64, key: &K, value: &V, mark: u32) -> Slot<K, V> {
        let mut number = self.home(hash);
        loop {
            let bucket = self.bucket(number);
            let occupied = u32::from(Self::flag(bucket, OCCUPIED));
            let index = occupied.trailing_ones();
            if (index as usize) < Self::SLOTS {
                let slot = Slot {
                    bucket,
                    index,
                    _types: PhantomData,
                };
                // SAFETY: all three addresses lie within the bucket, aligned as the layout makes them, and apart from
                // `key` and `value`, which are borrowed from elsewhere. Archived data is moved by copying its bytes.
                unsafe {
                    ptr::copy_nonoverlapping(key, slot.key().as_ptr(), 1);
                    ptr::copy_nonoverlapping(value, slot.value().as_ptr(), 1);
                    slot.mark().write(mark);
                }
                Self::set_flag(bucket, OCCUPIED, (occupied | 1 << index) as u8);
                return slot;
            }
            Self::set_flag(bucket, OVERFLOWED, 1);
            number = (number + 1) & self.mask;
        }
    }

    /// Calls `visit` with each record's slot.
    pub(super) fn for_each(self, mut visit: impl FnMut(Slot<K, V>)) {
        for number in 0..self.buckets() {
            let bucket = self.bucket(number);
            let mut occupied = Self::flag(bucket, OCCUPIED);
            while occupied != 0 {
                visit(Slot {
                    bucket,
                    index: occupied.trailing_zeros(),
                    _types: PhantomData,
                });
                occupied &= occupied - 1;
            }
        }
    }

    fn home(self, hash: u64) -> u32 {
        hash as u32 & self.mask
    }

    #[inline(always)]
    fn bucket(self, number: u32) -> NonNull<u8> {
        // SAFETY: every caller masks or bounds the number, so the bucket lies within the block.
        unsafe { self.buckets.add(number as usize * BUCKET_BYTES) }
    }

    /// Which slots hold these key bytes, occupied or not: without branches, for which of them it is cannot be guessed.
    #[inline(always)]
    fn matches(bucket: NonNull<u8>, key: &K) -> u32 {
        // SAFETY: keys in slots have no uninitialised bytes: the stores make a table only for such types.
        let wanted =
            unsafe { slice::from_raw_parts(ptr::from_ref(key).cast::<u8>(), size_of::<K>()) };
        let mut matches = 0;
        for index in 0..Self::SLOTS {
            // SAFETY: the keys lie at the start of the bucket, whose bytes are all initialised; as bytes, what lies in
            // a free slot may be read too.
            let found = unsafe {
                slice::from_raw_parts(bucket.as_ptr().add(index * size_of::<K>()), size_of::<K>())
            };
            matches |= u32::from(found == wanted) << index;
        }
        matches
    }

    #[inline(always)]
    fn flag(bucket: NonNull<u8>, offset: usize) -> u8 {
        // SAFETY: the offset is one of the two constants, within the bucket.
        unsafe { bucket.add(offset).read() }
    }

    #[inline(always)]
    fn set_flag(bucket: NonNull<u8>, offset: usize, flag: u8) {
        // SAFETY: the offset is one of the two constants, within the bucket; the table has one owner.
        unsafe { bucket.add(offset).write(flag) }
    }
}

impl<K, V> Slot<K, V> {
    const SLOTS: usize = slots_in_bucket::<K, V>();

    #[inline(always)]
    fn key(self) -> NonNull<K> {
        // SAFETY: the index is below the number of slots, so the key lies within the bucket.
        unsafe { self.bucket.cast::<K>().add(self.index as usize) }
    }

    #[inline(always)]
    fn value(self) -> NonNull<V> {
        let offset = const { values_offset::<K, V>(Self::SLOTS) };
        // SAFETY: the index is below the number of slots, so the value lies within the bucket.
        unsafe { self.bucket.add(offset).cast::<V>().add(self.index as usize) }
    }

    #[inline(always)]
    fn mark(self) -> NonNull<u32> {
        let offset = const { marks_offset::<K, V>(Self::SLOTS) };
        // SAFETY: the index is below the number of slots, so the mark lies within the bucket.
        unsafe {
            self.bucket
                .add(offset)
                .cast::<u32>()
                .add(self.index as usize)
        }
    }
}

/// The right to look into slots, of which each table has one: what is borrowed from a slot is borrowed from it, so the
/// table cannot change its structure meanwhile.
///
/// A slot must come from the table that the right belongs to, and the table must not have inserted or removed a record
/// since: the stores look slots up anew when [`super::Table::generation`] has changed.
pub(super) struct SlotAccess<K, V>(pub(super) PhantomData<(K, V)>);

impl<K, V> SlotAccess<K, V> {
    /// The record's key and value.
    #[inline(always)]
    pub(super) fn record(&self, slot: Slot<K, V>) -> (&K, &V) {
        // SAFETY: the slot is occupied and its table alive and unchanged (see the type); it is borrowed shared.
        unsafe { (slot.key().as_ref(), slot.value().as_ref()) }
    }

    /// The record's mark.
    #[inline(always)]
    pub(super) fn mark(&self, slot: Slot<K, V>) -> u32 {
        // SAFETY: as in `record`.
        unsafe { slot.mark().read() }
    }

    /// The record's key, its value and its mark, the latter two to be changed.
    #[inline(always)]
    pub(super) fn record_mut(&mut self, slot: Slot<K, V>) -> (&K, &mut V, &mut u32) {
        // SAFETY: as in `record`, borrowed mutably; the three do not overlap.
        unsafe {
            (
                slot.key().as_ref(),
                slot.value().as_mut(),
                slot.mark().as_mut(),
            )
        }
    }

    /// Frees the slot.
    pub(super) fn clear(&mut self, slot: Slot<K, V>) {
        let occupied = SubTable::<K, V>::flag(slot.bucket, OCCUPIED);
        SubTable::<K, V>::set_flag(slot.bucket, OCCUPIED, occupied & !(1 << slot.index));
    }
}
