//! Buckets of one cache line: where keys, values and flags lie in them.
//!
//! ```text
//! offset  content
//! 0       keys[n]
//! ...     values[n], aligned
//! 56      which slots are occupied, one bit each
//! 57      1 when a record that belongs here had to go on to a later bucket
//! 58      which slots were touched in the epoch at hand, or in the one before it: the even one of the two
//! 59      the same of the odd one
//! 60      the check, four bytes
//! ```
//!
//! The check is kept when a later process may take the table up. It is an exclusive or: of what an empty bucket here
//! begins with, of the check of each record that is occupied and touched in neither epoch, and of a constant if a record
//! went on. A record leaves it with the store that says that the record is touched, before its bytes are changed, and
//! comes back when it is gathered. So it is right at every moment: what it leaves out lies, as it was before, in the undo
//! logs of epochs that no checkpoint covers.

use std::marker::PhantomData;
use std::ptr::{self, NonNull};
use std::slice;

use super::record_check::record_check;
use crate::error::Result;

/// The size of a bucket: one cache line.
pub(super) const BUCKET_BYTES: usize = 64;

const FLAGS_OFFSET: usize = 56;

/// A part of the check of a bucket that says that a record went on.
const OVERFLOWED_CHECK: u32 = 0x6a09_e667;

/// How many records a bucket holds: as many as fit, and at most 8.
pub(in crate::state) const fn slots_in_bucket<K, V>() -> usize {
    let mut slots = 8;
    while slots > 0 && values_offset::<K, V>(slots) + slots * size_of::<V>() > FLAGS_OFFSET {
        slots -= 1;
    }
    slots
}

const fn values_offset<K, V>(slots: usize) -> usize {
    (slots * size_of::<K>()).next_multiple_of(align_of::<V>())
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

/// Of two epochs that follow each other, which one: their touched records are told apart by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::state) struct Parity(pub(super) u32);

impl Parity {
    /// That of an even epoch.
    pub(super) const EVEN: Self = Self(0);

    /// That of the epochs before and after.
    #[inline(always)]
    pub(super) fn other(self) -> Self {
        Self(self.0 ^ 1)
    }

    /// By how much flags are shifted to give the touched slots.
    #[inline(always)]
    fn shift(self) -> u32 {
        16 + 8 * self.0
    }
}

/// The last eight bytes of a bucket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Flags(u64);

impl Flags {
    /// Those of an empty bucket.
    pub(super) fn empty(check: u32) -> Self {
        Self::default().with_check_changed(check)
    }

    /// Which slots are occupied.
    #[inline(always)]
    pub(super) fn occupied(self) -> u32 {
        (self.0 & 0xff) as u32
    }

    /// Whether a record that belongs here lies in a later bucket.
    #[inline(always)]
    pub(super) fn overflowed(self) -> bool {
        self.0 & 0x100 != 0
    }

    /// Which slots were touched in the epoch of this parity.
    #[inline(always)]
    pub(super) fn touched(self, parity: Parity) -> u32 {
        (self.0 >> parity.shift() & 0xff) as u32
    }

    /// Which slots were touched in neither epoch.
    #[inline(always)]
    pub(super) fn untouched(self) -> u32 {
        !(self.touched(Parity::EVEN) | self.touched(Parity::EVEN.other()))
    }

    /// The check.
    #[inline(always)]
    pub(super) fn check(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// The same, with `check` put into the check, or taken out of it.
    #[inline(always)]
    pub(super) fn with_check_changed(self, check: u32) -> Self {
        Self(self.0 ^ u64::from(check) << 32)
    }

    /// The same, with this slot occupied.
    pub(super) fn with_occupied(self, index: u32) -> Self {
        Self(self.0 | 1 << index)
    }

    /// The same, overflowed.
    pub(super) fn with_overflowed(self) -> Self {
        if self.overflowed() {
            return self;
        }
        Self(self.0 | 0x100).with_check_changed(OVERFLOWED_CHECK)
    }

    /// What is in the check for having overflowed or not.
    #[inline(always)]
    pub(super) fn overflowed_check(self) -> u32 {
        OVERFLOWED_CHECK * u32::from(self.overflowed())
    }

    /// The same, with this slot touched in the epoch of this parity.
    #[inline(always)]
    pub(super) fn with_touched(self, index: u32, parity: Parity) -> Self {
        Self(self.0 | 1 << (index + parity.shift()))
    }

    /// The same, with this slot not touched in the epoch of this parity.
    #[inline(always)]
    pub(super) fn without_touched(self, index: u32, parity: Parity) -> Self {
        Self(self.0 & !(1 << (index + parity.shift())))
    }

    /// The same, with no slot touched in the epoch of this parity.
    #[inline(always)]
    pub(super) fn without_any_touched(self, parity: Parity) -> Self {
        Self(self.0 & !(0xff << parity.shift()))
    }

    /// The same, with these slots touched in the epoch of this parity and none in the other, and without what means
    /// nothing.
    pub(super) fn with_all_touched(self, slots: u32, parity: Parity) -> Self {
        Self(self.0 & 0xffff_ffff_0000_01ff | u64::from(slots) << parity.shift())
    }

    /// The same, with this slot free, and so not touched either.
    pub(super) fn without(self, index: u32) -> Self {
        Self(self.0 & !(0x0101_0001 << index))
    }
}

/// One cache line with up to [`slots_in_bucket`] records. The handle is copied about; who holds it knows that its
/// sub-table is alive.
pub(super) struct Bucket<K, V> {
    start: NonNull<u8>,
    _types: PhantomData<(K, V)>,
}

impl<K, V> Clone for Bucket<K, V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K, V> Copy for Bucket<K, V> {}

impl<K, V> Bucket<K, V> {
    pub(super) const SLOTS: u32 = slots_in_bucket::<K, V>() as u32;

    /// The bucket at this address.
    ///
    /// # Safety
    /// There must be 64 bytes of a table of these types, aligned to as many, all of them initialised, and alive as long
    /// as the handle is used.
    #[inline(always)]
    pub(super) unsafe fn at(start: NonNull<u8>) -> Self {
        Self {
            start,
            _types: PhantomData,
        }
    }

    #[inline(always)]
    pub(super) fn prefetch(self) {
        prefetch(self.start.as_ptr());
    }

    /// Asks for the one that lies so many buckets behind it, if there is one.
    #[inline(always)]
    pub(super) fn prefetch_ahead(self, buckets: usize) {
        prefetch(self.start.as_ptr().wrapping_add(buckets * BUCKET_BYTES));
    }

    /// Where it lies.
    #[inline(always)]
    pub(super) fn address(self) -> usize {
        self.start.addr().get()
    }

    #[inline(always)]
    pub(super) fn flags(self) -> Flags {
        // SAFETY: the last eight bytes of the bucket, aligned to eight.
        Flags(unsafe { self.start.add(FLAGS_OFFSET).cast::<u64>().read() })
    }

    /// In one store: a process that is killed leaves the flags of before or after it.
    #[inline(always)]
    pub(super) fn set_flags(self, flags: Flags) {
        // SAFETY: as in `flags`; the table has one owner.
        unsafe {
            self.start
                .add(FLAGS_OFFSET)
                .cast::<u64>()
                .write_volatile(flags.0)
        }
    }

    /// Which slots hold these key bytes, occupied or not: without branches, for which of them it is cannot be guessed.
    #[inline(always)]
    pub(super) fn matches(self, key: &K) -> u32 {
        // SAFETY: keys in slots have no uninitialised bytes: the stores make a table only for such types.
        let wanted =
            unsafe { slice::from_raw_parts(ptr::from_ref(key).cast::<u8>(), size_of::<K>()) };
        let mut matches = 0;
        for index in 0..Self::SLOTS {
            // SAFETY: the keys lie at the start of the bucket, whose bytes are all initialised; as bytes, what lies in
            // a free slot may be read too.
            let found = unsafe {
                slice::from_raw_parts(
                    self.start.as_ptr().add(index as usize * size_of::<K>()),
                    size_of::<K>(),
                )
            };
            matches |= u32::from(found == wanted) << index;
        }
        matches
    }

    /// Calls `visit` with the slot of each record touched in the epoch of this parity, which then no longer counts as
    /// touched. With `checks`, it is in the check again.
    #[inline(always)]
    pub(super) fn take_touched(
        self,
        parity: Parity,
        checks: bool,
        visit: &mut impl FnMut(Slot<K, V>) -> Result<()>,
    ) -> Result<()> {
        let flags = self.flags();
        let mut touched = flags.touched(parity);
        if touched == 0 {
            return Ok(());
        }
        let mut taken = flags.without_any_touched(parity);
        while touched != 0 {
            let slot = self.slot(touched.trailing_zeros());
            visit(slot)?;
            if checks && taken.untouched() >> slot.index & 1 == 1 {
                taken = taken.with_check_changed(slot.check());
            }
            touched &= touched - 1;
        }
        self.set_flags(taken);
        Ok(())
    }

    /// Calls `visit` with the slot of each record that was not touched in the epoch of this parity. None counts as touched
    /// in the epoch before any more; with `checks`, all of these are in the check again.
    #[inline(always)]
    pub(super) fn take_untouched(
        self,
        parity: Parity,
        checks: bool,
        visit: &mut impl FnMut(Slot<K, V>) -> Result<()>,
    ) -> Result<()> {
        let flags = self.flags();
        let pending = flags.touched(parity.other());
        let mut untouched = flags.occupied() & !flags.touched(parity);
        let mut taken = flags.without_any_touched(parity.other());
        while untouched != 0 {
            let slot = self.slot(untouched.trailing_zeros());
            visit(slot)?;
            if checks && pending >> slot.index & 1 == 1 {
                taken = taken.with_check_changed(slot.check());
            }
            untouched &= untouched - 1;
        }
        if pending != 0 {
            self.set_flags(taken);
        }
        Ok(())
    }

    /// What the records that count towards the check give, and whether there is room for all that are said to be there.
    #[inline(always)]
    pub(super) fn check_of_records(self) -> Option<u32> {
        let flags = self.flags();
        if flags.occupied() >> Self::SLOTS != 0 {
            return None;
        }
        let counted = flags.occupied() & flags.untouched();
        let mut check = flags.overflowed_check();
        // Of every slot, without branches: which of them are occupied cannot be guessed.
        for index in 0..Self::SLOTS {
            let is_counted = counted >> index & 1;
            check ^= self.slot(index).check() & is_counted.wrapping_neg();
        }
        Some(check)
    }

    /// The slot with this number.
    #[inline(always)]
    pub(super) fn slot(self, index: u32) -> Slot<K, V> {
        debug_assert!(index < Self::SLOTS);
        Slot {
            bucket: self,
            index,
        }
    }
}

/// Where a record lies: valid until the table next removes the record or changes its structure.
pub(in crate::state) struct Slot<K, V> {
    pub(super) bucket: Bucket<K, V>,
    pub(super) index: u32,
}

impl<K, V> Clone for Slot<K, V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K, V> Copy for Slot<K, V> {}

impl<K, V> Slot<K, V> {
    #[inline(always)]
    fn key(self) -> NonNull<K> {
        // SAFETY: the index is below the number of slots, so the key lies within the bucket.
        unsafe { self.bucket.start.cast::<K>().add(self.index as usize) }
    }

    #[inline(always)]
    fn value(self) -> NonNull<V> {
        let offset = const { values_offset::<K, V>(slots_in_bucket::<K, V>()) };
        // SAFETY: the index is below the number of slots, so the value lies within the bucket.
        unsafe {
            self.bucket
                .start
                .add(offset)
                .cast::<V>()
                .add(self.index as usize)
        }
    }

    /// What `look` says of the value of an occupied slot.
    #[inline(always)]
    pub(super) fn look<T>(self, look: impl FnOnce(&V) -> T) -> T {
        // SAFETY: the slot is occupied, so it holds a valid value; its sub-table is alive (see `Bucket::at`), and nobody
        // writes to it meanwhile: the table has one owner, who is here.
        look(unsafe { self.value().as_ref() })
    }

    /// What `look` says of the bytes of the key and of the value of an occupied slot, whatever they are.
    #[inline(always)]
    pub(super) fn look_at_bytes<T>(self, look: impl FnOnce(&[u8], &[u8]) -> T) -> T {
        // SAFETY: both lie within the bucket, whose bytes are all initialised; the table has one owner, who is here.
        let (key, value) = unsafe {
            (
                slice::from_raw_parts(self.key().as_ptr().cast(), size_of::<K>()),
                slice::from_raw_parts(self.value().as_ptr().cast(), size_of::<V>()),
            )
        };
        look(key, value)
    }

    /// What its record gives to the check.
    #[inline(always)]
    pub(super) fn check(self) -> u32 {
        self.look_at_bytes(record_check)
    }

    /// Puts another value into the slot.
    pub(super) fn fill_value(self, value: &V) {
        // SAFETY: as in `fill`.
        unsafe { ptr::copy_nonoverlapping(value, self.value().as_ptr(), 1) }
    }

    /// Puts a record into a free slot, which does not yet count as occupied.
    pub(super) fn fill(self, key: &K, value: &V) {
        // SAFETY: both addresses lie within the bucket, aligned as the layout makes them, and apart from `key` and
        // `value`, which are borrowed from elsewhere or lie in another bucket. Archived data is moved by copying its
        // bytes.
        unsafe {
            ptr::copy_nonoverlapping(key, self.key().as_ptr(), 1);
            ptr::copy_nonoverlapping(value, self.value().as_ptr(), 1);
        }
    }
}

/// The right to look into slots, of which each table has one: what is borrowed from a slot is borrowed from it, so the
/// table cannot change its structure meanwhile.
///
/// A slot must be an occupied one of the table that the right belongs to, and the table must not have changed its
/// structure since it was found: the stores look slots up anew when [`super::Table::generation`] has changed.
pub(super) struct SlotAccess<K, V>(pub(super) PhantomData<(K, V)>);

impl<K, V> SlotAccess<K, V> {
    /// The record's key and value.
    #[inline(always)]
    pub(super) fn record(&self, slot: Slot<K, V>) -> (&K, &V) {
        // SAFETY: the slot is occupied and its table alive and unchanged (see the type); it is borrowed shared.
        unsafe { (slot.key().as_ref(), slot.value().as_ref()) }
    }

    /// The record's key, and its value to be changed.
    #[inline(always)]
    pub(super) fn record_mut(&mut self, slot: Slot<K, V>) -> (&K, &mut V) {
        // SAFETY: as in `record`, borrowed mutably; the two do not overlap.
        unsafe { (slot.key().as_ref(), slot.value().as_mut()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_is_filled_as_far_as_its_flags_allow() {
        assert_eq!(slots_in_bucket::<u64, u64>(), 3);
        assert_eq!(slots_in_bucket::<u32, u64>(), 4);
        assert_eq!(slots_in_bucket::<u32, [u8; 4]>(), 7);
        assert_eq!(slots_in_bucket::<u8, ()>(), 8);
        assert_eq!(slots_in_bucket::<u64, [u64; 4]>(), 1);
    }

    #[test]
    fn flags_of_different_slots_and_epochs_do_not_touch_each_other() {
        let even = Parity::EVEN;
        for index in 0..8 {
            let flags = Flags::default()
                .with_occupied(index)
                .with_touched(index, even)
                .with_touched((index + 1) % 8, even.other());
            assert_eq!(flags.occupied(), 1 << index);
            assert_eq!(flags.touched(even), 1 << index);
            assert_eq!(flags.touched(even.other()), 1 << ((index + 1) % 8));
            assert!(!flags.overflowed() && flags.with_overflowed().overflowed());
            let without = flags.without_touched(index, even);
            assert_eq!((without.touched(even), without.occupied()), (0, 1 << index));
            let cleared = flags.without_any_touched(even.other());
            assert_eq!(
                (cleared.touched(even), cleared.touched(even.other())),
                (1 << index, 0)
            );
            let freed = flags.with_overflowed().without(index);
            assert_eq!((freed.occupied(), freed.touched(even)), (0, 0));
            assert!(freed.overflowed());
            assert_eq!(
                flags.untouched() & 0xff,
                0xff & !(1 << index | 1 << ((index + 1) % 8))
            );
            let changed = flags.with_check_changed(0xffff_ffff);
            assert_eq!(
                (changed.check(), changed.occupied()),
                (u32::MAX, 1 << index)
            );
            assert_eq!(changed.with_check_changed(u32::MAX), flags);
        }
    }
}
