//! Memory that is mapped and not allocated, so that every scheme gets pages of the same size.

use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};

use memmap2::{Advice, MmapMut};

/// A type of which any bytes are a value, zeros too, and which has nothing to drop.
///
/// # Safety
///
/// Both must be true of the type.
pub(crate) unsafe trait Plain {}

// SAFETY: any 8 bytes are a number.
unsafe impl Plain for u64 {}

/// A slice in anonymous memory of its own; zeros at first, every page already there.
pub(crate) struct Mapped<T> {
    map: MmapMut,
    length: usize,
    of: PhantomData<T>,
}

impl<T: Plain> Mapped<T> {
    /// `length` zeroed values, on huge pages if these are wanted and the machine has some.
    pub(crate) fn new(length: usize, huge_pages: bool) -> Self {
        let bytes = (length * size_of::<T>()).max(1);
        let map = MmapMut::map_anon(bytes).unwrap();
        let advice = if huge_pages {
            Advice::HugePage
        } else {
            Advice::NoHugePage
        };
        map.advise(advice).unwrap();
        map.advise(Advice::PopulateWrite).unwrap();
        assert!(map.as_ptr().cast::<T>().is_aligned());
        Self {
            map,
            length,
            of: PhantomData,
        }
    }
}

impl<T: Plain> Deref for Mapped<T> {
    type Target = [T];

    #[inline]
    fn deref(&self) -> &[T] {
        // SAFETY: the mapping is aligned and long enough for `length` values, any bytes are values, and whoever holds
        // `&self` can change nothing but what `T` itself allows.
        unsafe { std::slice::from_raw_parts(self.map.as_ptr().cast(), self.length) }
    }
}

impl<T: Plain> DerefMut for Mapped<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as above, and `&mut self` makes the slice the only one.
        unsafe { std::slice::from_raw_parts_mut(self.map.as_mut_ptr().cast(), self.length) }
    }
}

/// Brings the cache line of a value into the cache, where the processor can be asked to.
#[inline]
pub(crate) fn prefetch<T>(value: &T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch reads nothing that the program could see, and never faults.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(value).cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = value;
}
